import { describe, expect, test } from 'vitest'

import { LINES_A_SECOND } from '../../src/cli/delivery-sample.ts'
import { LiveView } from '../../src/cli/live-view.ts'
import type { LedgerCall, LedgerEntry } from '../../src/delivery/ledger.ts'
import { ManualClock } from '../../src/sdk/index.ts'

const ESCAPE = String.fromCharCode(27)

function rig(color = false): { view: LiveView; text: () => string; clock: ManualClock } {
  let written = ''
  const clock = new ManualClock(Date.UTC(2026, 0, 1, 12))
  const view = new LiveView(
    { write: (text) => void (written += text), warn: () => {}, color, warnColor: false, isInteractive: false },
    clock,
  )
  return { view, text: () => written, clock }
}

function entry(end: LedgerEntry['end'], ...calls: readonly Partial<LedgerCall>[]): LedgerEntry {
  return {
    id: 'x',
    source: 'mqtt',
    topic: 'words/a',
    receivedAtMs: 0,
    durationMs: 9,
    end,
    calls: calls.map((call) => ({
      function: 'f',
      result: 'acked',
      invocations: 1,
      status: 200,
      reason: '',
      durationMs: 7,
      ...call,
    })),
  }
}

test('what the broker agreed to is counted, nothing is no news', () => {
  const { view, text } = rig()
  view.subscribed('orders', [])
  view.subscribed('mqtt', [{ kind: 'topic', topic: 'a' }, { kind: 'topic', topic: 'b' }]) // prettier-ignore
  view.subscribed('cron', [{ kind: 'schedule', function: 'f', expression: '@hourly', overlap: 'allow', catchUp: 'none', jitterMs: 0 }]) // prettier-ignore
  expect(text()).toBe('12:00:00 mqtt subscribed to 2 topics\n12:00:00 cron subscribed to 1 schedule\n')
})

describe('a delivery', () => {
  test.for([
    [entry('acked', {}), '✓ mqtt words/a → f  200 in 7ms'],
    [entry('acked', { invocations: 3 }), '✓ mqtt words/a → f  200 in 7ms, 3 attempts'],
    [entry('filtered', { result: 'filtered', status: 0, reason: 'filter' }), '· mqtt words/a → f  filtered out'],
    [entry('deadLettered', { result: 'deadLettered', status: 500, reason: 'status 500 after 6 attempts' }), '✗ mqtt words/a → f  dead letter: status 500 after 6 attempts'],
    [entry('returned', { result: 'returned', status: 0, reason: 'shutdown' }), '↺ mqtt words/a → f  shutdown'],
    [entry('unmatched'), '· mqtt words/a → no function'],
  ] as const)('$end', ([delivery, expected]) => {
    const { view, text } = rig()
    view.delivery(delivery)
    expect(text()).toBe(`12:00:00 ${expected}\n`)
  }) // prettier-ignore

  test('to several functions has a line with its own outcome for each', () => {
    const { view, text } = rig()
    view.delivery(entry('deadLettered', {}, { function: 'g', result: 'deadLettered', reason: 'status 400' }))
    expect(text()).toBe('12:00:00 ✓ mqtt words/a → f  200 in 7ms\n12:00:00 ✗ mqtt words/a → g  dead letter: status 400\n') // prettier-ignore
  })

  test('beyond what a person can read in a second is counted', async () => {
    const { view, text, clock } = rig()
    for (let count = 0; count < 120; count++) view.delivery(entry('acked', {}))
    expect(text().split('\n')).toHaveLength(LINES_A_SECOND + 1)
    await clock.advance(1000)
    expect(text()).toContain(`\n… ${120 - LINES_A_SECOND} more: ${120 - LINES_A_SECOND} acked\n`)
  })

  test('that was left out is counted before the books', () => {
    const { view, text } = rig()
    for (let count = 0; count <= LINES_A_SECOND; count++) view.delivery(entry('acked', {}))
    view.totals([])
    expect(text()).toMatch(/\n… 1 more: 1 acked\n$/)
  })
})

test('colours only where they are wanted', () => {
  const [plain, coloured] = [rig(), rig(true)]
  for (const { view } of [plain, coloured]) view.delivery(entry('acked', {}))
  expect(plain.text()).not.toContain(ESCAPE)
  expect(coloured.text()).toContain(`${ESCAPE}[32m✓`)
})

test.for([false, true])('what comes from outside cannot drive the terminal (colour %s)', (color) => {
  const { view, text } = rig(color)
  const evil = `${ESCAPE}[2J${ESCAPE}]0;owned\u0007\r\n\u0085`
  view.delivery({ ...entry('acked', {}), topic: evil })
  view.functionOutput('f', evil)
  const lines = text().split('\n')
  expect(lines).toHaveLength(3)
  for (const line of lines) {
    expect(line).not.toContain(`${ESCAPE}[2J`)
    expect(line).not.toContain(`${ESCAPE}]`)
    for (const control of ['\u0007', '\r', '\u0085']) expect(line).not.toContain(control)
  }
})

test('the books at the end', () => {
  const { view, text } = rig()
  const counts = { received: 9, acked: 3, unmatched: 1, filtered: 2, deadLettered: 1, returned: 1, inFlight: 1 }
  view.totals([['mqtt', counts]])
  expect(text()).toBe(
    'mqtt: received 9 = acked 3 + unmatched 1 + filtered 2 + dead letters 1 + returned 1 + in flight 1\n',
  )
})
