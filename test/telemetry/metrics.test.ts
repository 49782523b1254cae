import { totalmem } from 'node:os'

import { expect, test } from 'vitest'

import { Ledger } from '../../src/delivery/ledger.ts'
import type { DeliveryEnd } from '../../src/delivery/ledger.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { VERSION } from '../../src/telemetry/version.ts'
import { TelemetryRig } from './rig.ts'

test('invocations are counted by connector, function and status, and timed in seconds', async () => {
  const rig = new TelemetryRig()
  const meter = rig.metrics.invocationMeter('mqtt', 'echo')
  expect(rig.metrics.invocationMeter('mqtt', 'echo')).toBe(meter)
  meter.finished(200, 1000)
  meter.finished(200, 3000)
  meter.finished(0, 10)
  for (let scrape = 0; scrape < 2; scrape++) {
    expect(await rig.sample('invocations_total{connector="mqtt",function="echo",code="200"}')).toBe(2)
    expect(await rig.sample('invocations_total{connector="mqtt",function="echo",code="0"}')).toBe(1)
  }
  expect(await rig.sample('invocation_seconds_count{connector="mqtt"}')).toBe(3)
  expect(await rig.sample('invocation_seconds_sum{connector="mqtt"}')).toBeCloseTo(4.01)
})

test('the ends of deliveries and what is in flight add up to what was received', async () => {
  const rig = new TelemetryRig()
  const ledger = new Ledger(0)
  ledger.measureInFlight(() => 2)
  const ends: DeliveryEnd[] = ['acked', 'acked', 'unmatched', 'filtered', 'deadLettered', 'returned']
  for (let count = 0; count < ends.length + 2; count++) ledger.received()
  for (const end of ends)
    ledger.ended({ id: '', source: '', topic: '', receivedAtMs: 0, durationMs: 0, end, calls: [] })
  rig.metrics.watch({
    ledgers: () => [
      { connector: 'mqtt', counts: ledger.counts, imbalance: ledger.imbalance, invoking: 1, inFlightMax: 9 },
    ],
    discoveryAgeSeconds: () => 4,
    deadLettersStored: () => ({ count: 7, bytes: 8192 }),
    topicLags: () => [{ connector: 'kafka', subject: 'orders', events: 13, seconds: 30 }],
    functionLags: () => [{ connector: 'kafka', subject: 'bill', events: 3, seconds: 1.5 }],
  })
  const ended: (number | undefined)[] = []
  for (const end of ['acked', 'unmatched', 'filtered', 'dead_lettered', 'returned'])
    ended.push(await rig.sample(`deliveries_total{connector="mqtt",end="${end}"}`))
  expect(ended).toEqual([2, 1, 1, 1, 1])
  const own: (number | undefined)[] = []
  for (const name of [
    'deliveries_received_total',
    'deliveries_in_flight',
    'ledger_imbalance',
    'invocations_in_flight',
    'invocations_in_flight_max',
  ])
    own.push(await rig.sample(`${name}{connector="mqtt"}`))
  expect(own).toEqual([8, 2, 0, 1, 9])
  const lags: (number | undefined)[] = []
  for (const name of ['lag_events', 'lag_seconds'])
    lags.push(await rig.sample(`${name}{connector="kafka",topic="orders"}`))
  for (const name of ['function_lag_events', 'function_lag_seconds'])
    lags.push(await rig.sample(`${name}{connector="kafka",function="bill"}`))
  expect(lags).toEqual([13, 30, 3, 1.5])
  expect(await rig.sample('discovery_age_seconds')).toBe(4)
  expect([await rig.sample('dead_letters_stored'), await rig.sample('dead_letters_stored_bytes')]).toEqual([7, 8192])
})

test('a connector is in one state at a time', async () => {
  const rig = new TelemetryRig()
  rig.events.connectorState('mqtt', 'failing', 'x')
  rig.events.connectorState('mqtt', 'active', 'x')
  const state = (name: string): Promise<number | undefined> =>
    rig.sample(`connector_state{connector="mqtt",state="${name}"}`)
  expect([await state('failing'), await state('active')]).toEqual([0, 1])
})

test("a connector's own counter is shared by name and labelled by connector", async () => {
  const rig = new TelemetryRig()
  rig.events.sourceCounter('a', 'fires_total', 'Fires.', ['kind']).add(2, { kind: 'x' })
  rig.events.sourceCounter('b', 'fires_total', 'Fires.', ['kind']).add(3, { kind: 'x' })
  expect(await rig.sample('fires_total{connector="a",kind="x"}')).toBe(2)
  expect(await rig.sample('fires_total{connector="b",kind="x"}')).toBe(3)
  for (const name of ['fires', 'Fires_total', '1_total'])
    expect(() => rig.events.sourceCounter('a', name, 'x', [])).toThrowError(
      expect.objectContaining({ code: 'HUB_CONNECTOR_BROKEN' }),
    )
})

test("a connector's own gauge is read at each scrape, by every connector that has it", async () => {
  const rig = new TelemetryRig()
  let paused = 1
  const read = (): readonly { labels: readonly string[]; value: number }[] => [{ labels: ['orders'], value: paused }]
  rig.metrics.sourceGauge('a', 'partitions_paused', 'Paused.', ['topic'], read)
  rig.metrics.sourceGauge('b', 'partitions_paused', 'Paused.', ['topic'], () => [])
  expect(await rig.sample('partitions_paused{connector="a",topic="orders"}')).toBe(1)
  paused = 2
  expect(await rig.sample('partitions_paused{connector="a",topic="orders"}')).toBe(2)
  expect(await rig.sample('partitions_paused{connector="b",topic="orders"}')).toBeUndefined()
  for (const name of ['fires_total', 'Paused', '1_paused'])
    expect(() => rig.metrics.sourceGauge('a', name, 'x', [], () => [])).toThrowError(
      expect.objectContaining({ code: 'HUB_CONNECTOR_BROKEN' }),
    )
})

test('failures of a connector begin at 0, and stay what they are when it is said again', async () => {
  const metrics = new Metrics()
  metrics.countFailuresOf('mqtt')
  metrics.settleFailures.inc({ connector: 'mqtt' })
  metrics.countFailuresOf('mqtt')
  const lines = (await metrics.registry.metrics()).split('\n')
  expect(lines).toContain('connector_hub_settle_failures_total{connector="mqtt"} 1')
  expect(lines).toContain('connector_hub_connector_retries_total{connector="mqtt"} 0')
  expect(lines).toContain('connector_hub_dead_letter_failures_total{connector="mqtt"} 0')
})

test('the process shows its memory beside what it may have, its processor time and its version', async () => {
  const text = await new Metrics().registry.metrics()
  const value = (name: string): number => Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1])
  const [resident, limit] = [value('process_resident_memory_bytes'), value('connector_hub_memory_limit_bytes')]
  expect(resident).toBeGreaterThan(1_000_000)
  expect(limit).toBeGreaterThan(resident)
  expect(limit).toBeLessThanOrEqual(totalmem())
  expect(value('process_cpu_seconds_total')).toBeGreaterThan(0)
  expect(Math.abs(value('process_start_time_seconds') - (Date.now() / 1000 - process.uptime()))).toBeLessThan(60)
  expect(text).toContain(`connector_hub_build_info{version="${VERSION}"} 1`)
})
