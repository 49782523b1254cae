// One message got from a quorum queue, as its consumer would see it. Called by quorum-taker.ts and handover.ts.

import type { Channel, GetMessage } from 'amqplib'

/** Unsettled, on this channel; undefined when there is none now. @throws what the broker answers */
export async function getOne(channel: Channel, queue: string): Promise<GetMessage | undefined> {
  const message = await channel.get(queue)
  if (message === false) return undefined
  // A consumer is not told of none.
  const { headers } = message.properties
  if (headers?.['x-delivery-count'] === 0) delete headers['x-delivery-count']
  return message
}
