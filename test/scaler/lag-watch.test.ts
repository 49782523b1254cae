// When a broker is asked how much waits, over which connection, and what is said of it.

import { expect, test } from 'vitest'

import { activity, lagEvents } from '../../src/scaler/verdict.ts'
import { HubError, ManualClock } from '../../src/sdk/index.ts'
import type { TopicLag } from '../../src/sdk/index.ts'
import { LogRecord } from '../conformance/recording.ts'
import { Broker, INTERVAL_MS, known, watchOf } from './rig.ts'

/** What was begun has ended. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('one connection is asked again and again, each time after the interval', async () => {
  const [broker, clock] = [new Broker(), new ManualClock(0)]
  const watch = watchOf(broker, clock)
  const heard: number[] = []
  watch.onReading(() => heard.push(broker.asked))
  watch.look()
  broker.answer = [known(1)]
  for (const afterMs of [0, INTERVAL_MS - 1, 1, INTERVAL_MS]) {
    await clock.advance(afterMs)
    await settled()
  }
  expect([broker.opened, broker.asked, heard]).toEqual([1, 3, [1, 2, 3]])
  expect(watch.reading).toEqual({ kind: 'read', lags: [known(1)], held: 0 })
  await watch.close()
  await clock.advance(10 * INTERVAL_MS)
  expect([broker.asked, broker.disposed]).toEqual([3, 1])
})

test('a connection that broke is replaced at the next look', async () => {
  const [broker, clock, log] = [new Broker(), new ManualClock(0), new LogRecord()]
  const watch = watchOf(broker, clock, 'rabbit', log)
  watch.look()
  broker.answer = new HubError('HUB_SOURCE_LOST', 'gone', { canRetry: true })
  await clock.advance(0)
  await settled()
  expect(watch.reading).toMatchObject({ kind: 'unknown', problem: { code: 'HUB_SOURCE_LOST' } })
  broker.answer = []
  await clock.advance(INTERVAL_MS)
  await settled()
  expect([broker.opened, broker.disposed, watch.reading.kind]).toEqual([2, 1, 'read'])
  expect(log.lines.join('\n')).toMatch(/scaler.unknown[^]*replicas stay as they are: gone[^]*scaler.known/)
  await watch.close()
})

test('what waiting does not mend is asked rarely, whoever wants it sooner', async () => {
  const [broker, clock] = [new Broker(), new ManualClock(0)]
  const watch = watchOf(broker, clock)
  broker.answer = new HubError('HUB_SOURCE_AUTH', 'refused')
  watch.look()
  for (let look = 0; look < 6; look++) {
    await clock.advance(look === 0 ? 0 : INTERVAL_MS - 1)
    await settled()
    watch.look()
    await clock.advance(0)
  }
  expect(broker.asked).toBe(1)
  await clock.advance(30_000)
  await settled()
  expect(broker.asked).toBeGreaterThan(1)
  await watch.close()
})

test('a broker that says nothing is let go after ten seconds', async () => {
  const [broker, clock] = [new Broker(), new ManualClock(0)]
  const watch = watchOf(broker, clock)
  broker.answer = 'silent'
  watch.look()
  await clock.advance(9999)
  await settled()
  expect([broker.asked, broker.disposed]).toEqual([1, 0])
  await clock.advance(1)
  await settled()
  expect(watch.reading).toMatchObject({ kind: 'unknown', problem: { code: 'HUB_SOURCE_UNREACHABLE', message: 'the broker of rabbit gave no answer within 10s' } }) // prettier-ignore
  expect(broker.disposed).toBe(1)
  await watch.close()
})

test('the end does not wait for a broker that says nothing', async () => {
  const [broker, clock] = [new Broker(), new ManualClock(0)]
  const watch = watchOf(broker, clock)
  broker.answer = 'silent'
  watch.look()
  await clock.advance(0)
  await watch.close()
  expect(broker.disposed).toBe(1)
})

test('replicas are asked what they have, where the broker does not tell it, and must say so', async () => {
  const [broker, clock] = [new Broker(), new ManualClock(0)]
  const untold: TopicLag = { topic: 'orders', kind: 'known', waiting: 3, unsettled: undefined }
  let asked = 0
  broker.held = () => Promise.resolve((asked += 1) * 10)
  const watch = watchOf(broker, clock)
  broker.answer = [known(3)]
  watch.look()
  await clock.advance(0)
  await settled()
  expect([asked, lagEvents(watch.reading)]).toEqual([0, { value: 3 }])
  broker.answer = [untold, known(1)]
  await clock.advance(INTERVAL_MS)
  await settled()
  expect([asked, lagEvents(watch.reading)]).toEqual([1, { value: 14 }])
  expect(activity(watch.reading, 13)).toEqual({ value: true })
  await watch.close()
})

test('without replicas to ask, what the broker does not tell is not counted', async () => {
  const [broker, clock] = [new Broker(), new ManualClock(0)]
  const watch = watchOf(broker, clock)
  broker.answer = [{ topic: 'orders', kind: 'known', waiting: 3, unsettled: undefined }]
  watch.look()
  await clock.advance(0)
  await settled()
  expect(lagEvents(watch.reading)).toEqual({ value: 3 })
  await watch.close()
})
