import { describe, expect, test } from 'vitest'

import { HubError } from '../../src/sdk/index.ts'
import type { DeadLetter } from '../../src/sdk/index.ts'
import { MESSAGE, TelemetryRig, report } from './rig.ts'

const LETTER: DeadLetter = { message: MESSAGE, function: 'echo', reason: 'answered 500', attempts: 2, failedAtMs: 0 }
const FAULT = new HubError('HUB_SOURCE_LOST', 'connection lost')

describe('an invocation', () => {
  test('that succeeds is silent unless asked for', () => {
    const rig = new TelemetryRig()
    expect(rig.events.reportsSuccess).toBe(false)
    rig.events.invoked(report())
    expect(rig.lines).toEqual([])
  })

  test.each([
    ['printResponse', {}],
    ['printRequestBody', { requestBody: 'the request body' }],
    ['printResponseBody', { responseBody: 'the answer' }],
  ])('with %s is a line at level info, with no other body', (option, bodies) => {
    const rig = new TelemetryRig({ [option]: true })
    expect(rig.events.reportsSuccess).toBe(true)
    rig.events.invoked(report({ responseBody: Buffer.from('the answer') }))
    const { time: _, ...record } = rig.records()[0] ?? {}
    expect(record).toEqual({
      level: 'info',
      event: 'invocation.answered',
      msg: '[200] orders => echo (3 bytes)',
      connector: 'mqtt',
      topic: 'orders',
      function: 'echo',
      messageId: 'm1',
      attempt: 1,
      status: 200,
      durationMs: 12,
      ...bodies,
    })
  })

  test('that fails is a warning, once a window for each function and status', async () => {
    const rig = new TelemetryRig()
    for (let count = 0; count < 5; count++) rig.events.invoked(report({ status: 500 }))
    rig.events.invoked(report({ status: 404 }))
    rig.events.invoked(report({ status: 0, error: new HubError('HUB_INVOKE_TIMEOUT', 'echo: no answer') }))
    await rig.clock.advance(10_000)
    rig.events.invoked(report({ status: 500 }))
    expect(rig.records().map(({ level, msg, code }) => [level, msg, code])).toEqual([
      ['warn', '[500] orders => echo (3 bytes)', undefined],
      ['warn', '[404] orders => echo (3 bytes)', undefined],
      ['warn', 'orders => echo: echo: no answer', 'HUB_INVOKE_TIMEOUT'],
      ['warn', '[500] orders => echo (3 bytes) (and 4 more like it)', undefined],
    ])
  })
})

test('no line holds a body or a header of an event, unless asked', () => {
  const rig = new TelemetryRig({ log: { level: 'debug' } })
  const { events } = rig
  events.invoked(report({ responseBody: Buffer.from('the answer') }))
  events.invoked(report({ status: 500, responseBody: Buffer.from('the answer') }))
  events.retrying('mqtt', 'echo', MESSAGE, 'answered 500', 1000, 1)
  events.deadLettered('mqtt', LETTER)
  events.deadLetterFailed('mqtt', LETTER, FAULT)
  events.filterFailed('mqtt', 'echo', MESSAGE, 'no such key')
  events.settleFailed('mqtt', MESSAGE, FAULT)
  events.lost('mqtt', 'echo', MESSAGE)
  expect(rig.lines).toHaveLength(8)
  for (const hidden of ['the request body', 'the answer', 'header value'])
    expect(rig.lines.join('')).not.toContain(hidden)
})

test('each failure is a line and moves its metric, also where the line is held back', async () => {
  const rig = new TelemetryRig()
  const { events } = rig
  for (let count = 0; count < 3; count++) {
    events.retrying('mqtt', 'echo', MESSAGE, 'answered 500', 1000, 1)
    events.filterFailed('mqtt', 'echo', MESSAGE, 'no such key')
    events.settleFailed('mqtt', MESSAGE, FAULT)
    events.deadLetterFailed('mqtt', LETTER, FAULT)
  }
  events.deadLettered('mqtt', LETTER)
  events.lost('mqtt', 'echo', MESSAGE)
  expect(rig.records().map(({ event }) => event)).toEqual([
    'delivery.retry',
    'delivery.filter-failed',
    'delivery.settle-failed',
    'delivery.dead-letter-failed',
    'delivery.dead-lettered',
    'delivery.lost',
  ])
  const labels = '{connector="mqtt",function="echo"}'
  expect(await rig.sample(`retries_total${labels}`)).toBe(3)
  expect(await rig.sample(`filter_errors_total${labels}`)).toBe(3)
  expect(await rig.sample('settle_failures_total{connector="mqtt"}')).toBe(3)
  expect(await rig.sample('dead_letter_failures_total{connector="mqtt"}')).toBe(3)
  expect(await rig.sample(`dead_letters_total${labels}`)).toBe(1)
  expect(await rig.sample(`lost_total${labels}`)).toBe(1)
})

test('a failure carries its code and what to do', () => {
  const rig = new TelemetryRig()
  rig.events.settleFailed('mqtt', MESSAGE, FAULT)
  expect(rig.records()[0]).toMatchObject({ level: 'error', code: 'HUB_SOURCE_LOST' })
  expect(rig.records()[0]?.['msg']).toContain(FAULT.hint)
})

test('the gateway going and coming is one line each and a gauge', async () => {
  const rig = new TelemetryRig()
  expect(await rig.sample('gateway_up')).toBe(1)
  rig.events.gatewayUnreachable(new HubError('HUB_GATEWAY_UNREACHABLE', 'refused'))
  expect(await rig.sample('gateway_up')).toBe(0)
  rig.events.gatewayReachable(90_000)
  expect(await rig.sample('gateway_up')).toBe(1)
  expect(rig.records().map(({ event, level }) => [event, level])).toEqual([
    ['gateway.unreachable', 'error'],
    ['gateway.reachable', 'info'],
  ])
})

test('a connector speaks under its own name, and its warnings are held back when they repeat', () => {
  const rig = new TelemetryRig()
  const log = rig.events.sourceLog('mqtt')
  log.debug('a', 'hidden')
  log.info('b', 'shown', { topic: 'x' })
  log.warn('c', 'once')
  log.warn('c', 'once')
  expect(rig.records().map(({ connector, event, msg }) => [connector, event, msg])).toEqual([
    ['mqtt', 'b', 'shown'],
    ['mqtt', 'c', 'once'],
  ])
})
