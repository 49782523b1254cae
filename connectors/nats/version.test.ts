import { expect, test } from 'vitest'

import { tooOldFor, understandsReasons } from './version.ts'

test.for([
  ['2.9.25', false],
  ['2.10.0', false],
  ['2.10.3', false],
  ['2.10.4', true],
  ['2.10.29', true],
  ['2.11.0-dev', true],
  ['3.0.0', true],
  ['1.99.99', false],
  [undefined, false],
  ['unknown', false],
] as const)('a server of version %s understands the reason of a termination: %s', ([version, expected]) => {
  expect(understandsReasons(version)).toBe(expected)
})

test.for([
  ['2.9.3', '2.9.4'],
  ['2.8.4', '2.9.4'],
  ['2.9.4', undefined],
  ['2.15.0', undefined],
  ['3.0.0', undefined],
  ['unknown', undefined],
  [undefined, undefined],
] as const)('a server of version %s needs an update to: %s', ([version, expected]) => {
  expect(tooOldFor(version)).toBe(expected)
})
