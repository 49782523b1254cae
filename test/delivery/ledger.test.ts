import { expect, test } from 'vitest'

import { Ledger } from '../../src/delivery/ledger.ts'
import type { DeliveryEnd, LedgerEntry } from '../../src/delivery/ledger.ts'

const entry = (id: string, end: DeliveryEnd = 'acked'): LedgerEntry => ({
  id,
  source: 'test',
  topic: 'orders',
  receivedAtMs: 0,
  durationMs: 1,
  end,
  calls: [],
})

test('balances what came against what became of it, and shows what is missing', () => {
  const ledger = new Ledger(10)
  let inFlight = 1
  ledger.measureInFlight(() => inFlight)
  const ends: DeliveryEnd[] = ['acked', 'unmatched', 'filtered', 'deadLettered', 'returned']
  for (let count = 0; count <= ends.length; count++) ledger.received()
  for (const end of ends) ledger.ended(entry(end, end))
  expect(ledger.counts).toEqual({
    received: 6,
    acked: 1,
    unmatched: 1,
    filtered: 1,
    deadLettered: 1,
    returned: 1,
    inFlight: 1,
  })
  expect(ledger.imbalance).toBe(0)
  inFlight = 0
  expect(ledger.imbalance).toBe(1)
})

test.each([
  [0, []],
  [1, ['5']],
  [3, ['3', '4', '5']],
  [5, ['1', '2', '3', '4', '5']],
  [9, ['1', '2', '3', '4', '5']],
])('with room for %i remembers the latest, oldest first', (entriesMax, expected) => {
  const ledger = new Ledger(entriesMax)
  for (const id of ['1', '2', '3', '4', '5']) ledger.ended(entry(id))
  expect(ledger.entries().map(({ id }) => id)).toEqual(expected)
  expect(ledger.counts.acked).toBe(5)
})

test('tells listeners until they stop', () => {
  const ledger = new Ledger(0)
  const heard: string[] = []
  const stop = ledger.listen(({ id }) => void heard.push(id))
  ledger.ended(entry('1'))
  stop()
  ledger.ended(entry('2'))
  expect(heard).toEqual(['1'])
})
