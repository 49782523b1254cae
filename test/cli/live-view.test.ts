import { describe, expect, test } from 'vitest'

import { LiveView } from '../../src/cli/live-view.ts'
import type { LedgerCall, LedgerEntry } from '../../src/delivery/ledger.ts'

const ESCAPE = String.fromCharCode(27)

function rig(color = false): { view: LiveView; text: () => string; at: (ms: number) => void } {
  let written = ''
  let nowMs = Date.UTC(2026, 0, 1, 12)
  const view = new LiveView(
    { write: (text) => void (written += text), warn: () => {}, color, warnColor: false, isInteractive: false },
    () => nowMs,
  )
  return { view, text: () => written, at: (ms) => void (nowMs += ms) }
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

  test('beyond what a person can read in a second is counted', () => {
    const { view, text, at } = rig()
    for (let count = 0; count < 120; count++) view.delivery(entry('acked', {}))
    expect(text().split('\n')).toHaveLength(51)
    at(1000)
    view.delivery(entry('acked', {}))
    expect(text()).toContain('… and 70 more deliveries\n')
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
