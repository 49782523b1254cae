// The time by the clock that stamps the messages, which ours may be far from. Called by letter-place.ts.

import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs'

import type { Access } from './access.ts'
import { queueProblem } from './problems.ts'
import type { Address } from './queues.ts'

/** `Date` of an answer has whole seconds, cut off, and servers make it once a second. */
const RESOLUTION_MS = 3000

/** Unix milliseconds, up to three seconds late; by our own clock where the server tells none. @throws HubError HUB_SOURCE_* */
export async function serverTime(
  { url, topic }: Address,
  { clients, context: { clock }, at }: Access,
  signal: AbortSignal,
): Promise<number> {
  const command = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['ApproximateNumberOfMessages'] })
  let date: string | undefined
  command.middlewareStack.add(
    (next) => async (call) => {
      const result = await next(call)
      date = (result.response as { readonly headers?: Readonly<Record<string, string>> }).headers?.['date']
      return result
    },
    { step: 'deserialize', priority: 'low' },
  )
  try {
    await clients.work.send(command, { abortSignal: signal })
  } catch (error) {
    signal.throwIfAborted()
    throw queueProblem(error, at, topic)
  }
  const atMs = Date.parse(date ?? '')
  return (Number.isNaN(atMs) ? clock.now() : atMs) + RESOLUTION_MS
}
