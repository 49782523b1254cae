// Where the hub's durable consumers stand, and what the server does not tell of that. Asks only. Called by peek.ts.

import { RetentionPolicy } from '@nats-io/jetstream'
import type { ConsumerInfo, JetStreamManager, StreamInfo } from '@nats-io/jetstream'

import type { NatsConfig } from './dial.ts'
import type { Stand } from './stream-reader.ts'
import { isMissing } from './streams.ts'
import type { Place } from './streams.ts'

/** A stand, and how exact it is. */
export interface Standing extends Stand {
  /** Delivered and not settled: out with a hub, or waiting to be delivered again. */
  readonly out: number
  /** Of these, delivered more than once: how often is not told. */
  readonly repeated: number
  /** What was settled before something older, at most: it is not told which that is, and it is shown. */
  readonly uncertain: number
}

/** Where a consumer that is not there yet will begin: by `deliver`. */
export async function standingOf(
  manager: JetStreamManager,
  { stream, consumer }: Place,
  filter: string,
  { deliver }: Pick<NatsConfig, 'deliver'>,
): Promise<Standing> {
  const info = await manager.streams.info(stream)
  try {
    return { filter, ...standingIn(await manager.consumers.info(stream, consumer), info) }
  } catch (error) {
    if (!isMissing(error)) throw error
    const next = deliver === 'all' ? info.state.first_seq : info.state.last_seq + 1
    return { filter, next, delivered: 0, out: 0, repeated: 0, uncertain: 0 }
  }
}

function standingIn(
  { ack_floor: floor, delivered, num_ack_pending: out, num_redelivered: repeated }: ConsumerInfo,
  { config }: StreamInfo,
): Omit<Standing, 'filter'> {
  // No more than there are places; and each delivery has a number of its own, of which the repeated have used up two or more.
  const places = delivered.stream_seq - floor.stream_seq
  const deliveries = delivered.consumer_seq - floor.consumer_seq - repeated
  const uncertain = Math.max(0, Math.min(places, deliveries) - out)
  // A work queue deletes what is settled.
  const isTold = config.retention === RetentionPolicy.Workqueue
  return { next: floor.stream_seq + 1, delivered: delivered.stream_seq, out, repeated, uncertain: isTold ? 0 : uncertain } // prettier-ignore
}

/** What is not as it seems; undefined where everything is told. */
export function cautionOf(standings: readonly Standing[]): string | undefined {
  const sum = (count: (one: Standing) => number): number => standings.reduce((total, one) => total + count(one), 0)
  const [out, repeated, uncertain] = [sum((one) => one.out), sum((one) => one.repeated), sum((one) => one.uncertain)]
  const sentences: string[] = []
  if (out > 0)
    sentences.push(`${events(out)} delivered and not settled: shown with attempt 2, as if they came again from a hub that has them now`) // prettier-ignore
  if (repeated > 0)
    sentences.push(`${events(repeated)} delivered more than once, so that the next attempt is 3 or later: the server does not tell it`) // prettier-ignore
  if (uncertain > 0)
    sentences.push(`up to ${events(uncertain)} settled before older ones and shown all the same: the server does not tell which`) // prettier-ignore
  return sentences.length === 0 ? undefined : `${sentences.join('; ')}.`
}

function events(count: number): string {
  return count === 1 ? '1 event was' : `${count} events were`
}
