// Connecting, ending and closing, and what must not be left behind.

import { strict as assert } from 'node:assert'

import type { Harness } from '../harness.ts'
import type { RunningSource } from '../running-source.ts'
import { ackAll } from '../running-source.ts'
import type { Scenario } from '../scenario.ts'
import { unlessDurable } from '../scenario.ts'

/** Open handles of this process by kind, as Node counts them. */
function handles(): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

function grown(before: Readonly<Record<string, number>>): string[] {
  return Object.entries(handles())
    .filter(([kind, count]) => kind !== 'Immediate' && count > (before[kind] ?? 0))
    .map(([kind, count]) => `${kind} ${before[kind] ?? 0} -> ${count}`)
}

async function oneRound(harness: Harness, topic: string): Promise<RunningSource> {
  const source = await harness.open([topic], { decide: ackAll })
  const tags = await harness.publish(topic, 1)
  await harness.arrived(tags, source)
  await harness.within(source.close(), 'close')
  return source
}

export const lifecycleScenarios: readonly Scenario[] = [
  {
    name: 'close is legal before connect and may be called again',
    async run(harness) {
      const { source } = harness.source()
      await harness.within(source.close(), 'close before connect')
      await harness.within(source.close(), 'second close')
      const opened = await harness.open([await harness.topic('close')])
      await harness.within(opened.close(), 'close')
      await harness.within(opened.source.close(), 'close again')
      await harness.within(Promise.all([opened.source.close(), opened.source.close()]), 'close twice at once')
    },
  },
  {
    name: 'deliveries ends when its signal is aborted and when the source is closed',
    async run(harness) {
      const topic = await harness.topic('ending')
      const aborted = harness.source()
      const abort = new AbortController()
      await harness.within(aborted.source.connect(abort.signal), 'connect')
      await harness.within(aborted.subscribe([topic]), 'subscribe')
      const reading = aborted.source.deliveries(abort.signal)[Symbol.asyncIterator]().next()
      abort.abort()
      assert.equal((await harness.within(reading, 'deliveries after abort')).done, true)
      await harness.within(aborted.source.close(), 'close')

      const closed = await harness.open([topic])
      await harness.within(closed.close(), 'close and the end of deliveries')
      assert.equal(closed.ending, 'ended', 'deliveries threw although the source was closed on purpose')
    },
  },
  {
    name: 'connect gives up when its signal is aborted',
    async run(harness) {
      const { source } = harness.source()
      await harness.within(assert.rejects(source.connect(AbortSignal.abort())), 'connect with an aborted signal')
    },
  },
  {
    name: 'a closed source leaves no open handle and no armed timer',
    async run(harness) {
      const topic = await harness.topic('handles')
      // The first round opens what the driver and the client keep on purpose: connections of the publisher, worker pools.
      await oneRound(harness, topic)
      const before = handles()
      const source = await oneRound(harness, topic)
      assert.equal(source.clock.armed, 0, `${source.clock.armed} timers of the source are still armed`)
      let left: string[] = []
      const clean = harness.until(() => (left = grown(before)).length === 0, 'no open handle is left')
      await clean.catch(() => assert.fail(`open handles are left behind: ${left.join(', ')}`))
    },
  },
  {
    name: 'a probe reports the server on a source that was never connected, and consumes nothing',
    unless: unlessDurable,
    async run(harness) {
      const topic = await harness.topic('probe')
      await harness.within((await harness.open([topic])).close(), 'close')
      const tags = await harness.publish(topic, 2)
      const { source } = harness.source()
      const report = await harness.within(source.probe([topic], new AbortController().signal), 'probe')
      assert.notEqual(report.server.trim(), '')
      assert.deepEqual(report.topics.map((line) => [line.topic, line.ok]), [[topic, true]]) // prettier-ignore
      harness.said.push(JSON.stringify(report))
      await harness.within(source.close(), 'close after probe')
      await harness.arrived(tags, await harness.open([topic]))
    },
  },
]
