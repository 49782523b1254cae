// Where the hub's durable consumers stand, and what the server does not tell of that. Asks only. Called by peek.ts.

import { RetentionPolicy } from '@nats-io/jetstream'
import type { ConsumerInfo, JetStreamManager } from '@nats-io/jetstream'

import type { NatsConfig } from './dial.ts'
import type { Stand } from './stream-reader.ts'
import { isMissing } from './streams.ts'
import type { Place } from './streams.ts'

/** A stand, and how exact it is. */
export interface Standing extends Stand {
  readonly stream: string
  /** `limits` keeps what is settled, the others delete it; `interest` keeps nothing for a consumer that is not there. */
  readonly retention: RetentionPolicy
  readonly isThere: boolean
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
  const { config, state } = await manager.streams.info(stream)
  const { retention } = config
  try {
    const standing = standingIn(await manager.consumers.info(stream, consumer), retention)
    return { filter, stream, retention, isThere: true, ...standing }
  } catch (error) {
    if (!isMissing(error)) throw error
    const next = deliver === 'all' ? state.first_seq : state.last_seq + 1
    return { filter, stream, retention, isThere: false, next, delivered: 0, out: 0, repeated: 0, uncertain: 0 }
  }
}

function standingIn(
  { ack_floor: floor, delivered, num_ack_pending: out, num_redelivered: repeated }: ConsumerInfo,
  retention: RetentionPolicy,
): Pick<Standing, 'next' | 'delivered' | 'out' | 'repeated' | 'uncertain'> {
  // No more than there are places; and each delivery has a number of its own, of which the repeated have used up two or more.
  const places = delivered.stream_seq - floor.stream_seq
  const deliveries = delivered.consumer_seq - floor.consumer_seq - repeated
  const uncertain = Math.max(0, Math.min(places, deliveries) - out)
  // A work queue deletes what is settled.
  const isTold = retention === RetentionPolicy.Workqueue
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
  const { Limits, Interest } = RetentionPolicy
  const isIdle = ({ retention, isThere }: Standing): boolean => !isThere && retention === Interest
  const deleting = streamsOf(standings, (one) => one.retention !== Limits && !isIdle(one))
  if (deleting !== '') sentences.push(`${deleting} deletes what is settled: what a hub settles meanwhile may not be seen`) // prettier-ignore
  const idle = streamsOf(standings, isIdle)
  if (idle !== '') sentences.push(`${idle} keeps only what has a consumer (interest retention), and that of the hub is not there yet: what comes may not be seen`) // prettier-ignore
  return sentences.length === 0 ? undefined : `${sentences.join('; ')}.`
}

function streamsOf(standings: readonly Standing[], isMeant: (standing: Standing) => boolean): string {
  const names = [...new Set(standings.filter(isMeant).map(({ stream }) => stream))]
  return names.length === 0 ? '' : `${names.length === 1 ? 'the stream' : 'each of the streams'} ${names.join(', ')}`
}

function events(count: number): string {
  return count === 1 ? '1 event was' : `${count} events were`
}
