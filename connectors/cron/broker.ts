// Cron's side of the conformance suite. There is no server: the driver holds the clock, and publishing an event is to let
// time pass until the schedule fires once more.

import { ManualClock, parseSchedule } from '../../src/sdk/index.ts'
import type { CatchUpPolicy, EventMessage, Subscription } from '../../src/sdk/index.ts'
import type { SourceScope, TestBroker, TestEvent } from '../../test/conformance/contract.ts'

/** @param catchUp of every schedule: with `all` fires survive the absence of their source */
export function startBroker(catchUp: CatchUpPolicy): TestBroker {
  const clock = new ManualClock()
  const tags = new Map<string, string>()
  let topics = 0

  const subscription = (expression: string): Subscription => ({
    kind: 'schedule',
    function: 'conformance.fn',
    expression,
    overlap: 'allow',
    catchUp,
    jitterMs: 0,
  })

  return {
    name: `a clock that is set by hand, catch-up ${catchUp}`,
    clock,
    features: {
      bodies: 'generated',
      emptyBody: true,
      bodyBytesMax: 0,
      headers: [],
      keys: false,
      ordered: true,
      countsAttempts: false,
      stableIds: true,
      survivesRestart: false,
      retryDelayMs: 0,
    },
    config: (_scope: SourceScope) => ({}),
    /** Once an hour, each at a second of its own. */
    topic: () => Promise.resolve(`${topics % 60} ${Math.floor(topics++ / 60)} * * * *`),
    subscription,
    async publish(topic: string, events: readonly TestEvent[]): Promise<void> {
      const schedule = parseSchedule(topic)
      for (const { tag } of events) {
        const atMs = schedule.next(clock.now()) as number
        tags.set(`${topic}@${atMs}`, tag)
        await clock.advance(atMs - clock.now())
      }
    },
    tagOf: ({ headers, timestampMs }: EventMessage) => tags.get(`${headers['X-Cron-Schedule']}@${timestampMs}`),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}
