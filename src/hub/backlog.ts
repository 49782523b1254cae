// How far behind a connector is, by topic and by function: what the broker still has, and what is open here. Pure; read by
// the metrics at every scrape.

import type { TopicBacklog } from '../sdk/index.ts'
import type { Lag } from '../telemetry/metrics.ts'

/** What the dispatcher has open for one function. */
export interface OpenCalls {
  readonly count: number
  /** When the oldest of the events was produced; Unix milliseconds. */
  readonly oldestMs: number
}

/** Of each topic: all that is not settled with the broker. */
export function topicLags(connector: string, backlogs: readonly TopicBacklog[], nowMs: number): readonly Lag[] {
  return backlogs.map(({ topic, waiting, unsettled, oldestWaitingMs, oldestUnsettledMs }) => ({
    connector,
    subject: topic,
    events: waiting + unsettled,
    seconds: ageSeconds(nowMs, oldestWaitingMs, oldestUnsettledMs),
  }))
}

/** Of each function: what waits in its topics, and what it was handed and has not settled itself. */
export function functionLags(
  connector: string,
  backlogs: readonly TopicBacklog[],
  functionsOf: (topic: string) => Iterable<string>,
  open: ReadonlyMap<string, OpenCalls>,
  nowMs: number,
): readonly Lag[] {
  const sums = new Map<string, { events: number; oldestMs: number | undefined }>()
  const add = (name: string, events: number, oldestMs: number | undefined): void => {
    const sum = sums.get(name) ?? { events: 0, oldestMs: undefined }
    sum.events += events
    sum.oldestMs = earlier(sum.oldestMs, oldestMs)
    sums.set(name, sum)
  }
  for (const { topic, waiting, oldestWaitingMs } of backlogs)
    for (const name of functionsOf(topic)) add(name, waiting, oldestWaitingMs)
  for (const [name, { count, oldestMs }] of open) add(name, count, oldestMs)
  return [...sums].map(([name, { events, oldestMs }]) => ({
    connector,
    subject: name,
    events,
    seconds: ageSeconds(nowMs, oldestMs, undefined),
  }))
}

function earlier(left: number | undefined, right: number | undefined): number | undefined {
  return left === undefined || right === undefined ? (left ?? right) : Math.min(left, right)
}

function ageSeconds(nowMs: number, left: number | undefined, right: number | undefined): number {
  const oldestMs = earlier(left, right)
  // A producer's clock may be ahead of ours.
  return oldestMs === undefined ? 0 : Math.max(0, nowMs - oldestMs) / 1000
}
