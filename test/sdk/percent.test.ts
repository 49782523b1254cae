import { expect, test } from 'vitest'

import { isPercentEncoded, percentDecoded } from '../../src/sdk/index.ts'

test.for([
  ['', true],
  ['s3cret', true],
  ['50%25', true],
  ['%C3%A9', true],
  ['é', true],
  ['50%', false],
  ['%zz', false],
  ['%C3', false],
] as const)('%j: %s', ([text, isEncoded]) => {
  expect(isPercentEncoded(text)).toBe(isEncoded)
})

test.for([
  ['50%25', '50%'],
  ['%C3%A9', 'é'],
  ['a+b', 'a+b'],
  ['50%', undefined],
] as const)('%j is %j', ([text, decoded]) => {
  expect(percentDecoded(text)).toBe(decoded)
})
