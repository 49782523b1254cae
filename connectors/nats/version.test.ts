import { expect, test } from 'vitest'

import { understandsReasons } from './version.ts'

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
