// The table and the totals at the end of a run say what ran, what did not, and against which server.

import { expect, test } from 'vitest'

import { serverTable, sum, totalsText } from './summary.ts'

const result = (path: string, passed: number, failed = 0, skipped = 0) => ({ path, passed, failed, skipped })
const NATS = { name: 'nats', connector: 'nats', version: '2.15.2', origin: 'PATH' }
const MOSQUITTO = { name: 'mosquitto', connector: 'mqtt', version: 'MISSING', origin: 'not root' }

test('a line a connector: its server and the results of each suite', () => {
  const results = [
    result('connectors/nats/conformance.test.ts', 40, 0, 2),
    result('connectors/nats/subjects.test.ts', 3),
    result('connectors/nats/nats.test.ts', 20, 1),
    result('connectors/nats/faults.test.ts', 9),
    result('connectors/mqtt/kill.test.ts', 0, 0, 1),
    result('connectors/mqtt/kill-async.test.ts', 0, 0, 1),
    result('connectors/cron/conformance.test.ts', 30),
    result('test/sdk/units.test.ts', 5),
  ]
  expect(serverTable(results, [NATS, MOSQUITTO])?.split('\n')).toEqual([
    'connector  server             from      conformance           kill       faults    tests',
    'cron       none                         30 passed             -          -         -',
    'mqtt       mosquitto MISSING  not root  -                     2 skipped  -         -',
    'nats       nats 2.15.2        PATH      40 passed, 2 skipped  -          9 passed  23 passed, 1 failed',
  ])
})

test('nothing of a connector ran: no table', () => {
  expect(serverTable([result('test/sdk/units.test.ts', 5)], [NATS])).toBeUndefined()
})

test('the totals add up, in the form that machines read', () => {
  expect(totalsText(sum([result('a', 1, 2, 3), result('b', 10, 20, 30)]))).toBe('11 passed, 22 failed, 33 skipped')
  expect(totalsText(sum([]))).toBe('0 passed, 0 failed, 0 skipped')
})
