import { expect, test } from 'vitest'

import { instantText } from '../../src/cli/instant-text.ts'

test.for([
  [0, '1970-01-01T00:00:00.000Z'],
  [8.64e15, '+275760-09-13T00:00:00.000Z'],
  [8.64e15 + 1, '?'],
  [1.8e18, '?'],
  [Number.NaN, '?'],
  [Number.POSITIVE_INFINITY, '?'],
] as const)('%d is %s', ([ms, text]) => {
  expect(instantText(ms)).toBe(text)
})
