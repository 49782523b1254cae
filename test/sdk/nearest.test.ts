import { expect, test } from 'vitest'

import { nearest } from '../../src/sdk/index.ts'

test.each([
  ['conection', ['connection', 'collection'], 'connection'],
  ['cafile', ['certFile', 'caFile'], 'caFile'],
  ['tlss', ['tls', 'topic'], 'tls'],
  ['prot', ['port', 'host'], 'port'],
  ['inFlghtMx', ['inFlightMax'], 'inFlightMax'],
  ['port', ['port', 'sport'], 'port'],
])('%s in %j is %s', (wrong, candidates, expected) => {
  expect(nearest(wrong, candidates)).toBe(expected)
})

test.each([
  ['x', ['a', 'b']],
  ['foo', ['feb', 'mar']],
  ['password', ['username', 'brokers']],
  ['anything', []],
  ['', ['a']],
  ['y'.repeat(10_000), ['yes']],
])('%s resembles nothing in %j', (wrong, candidates) => {
  expect(nearest(wrong, candidates)).toBeUndefined()
})
