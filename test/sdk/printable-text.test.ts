import { expect, test } from 'vitest'

import { printableText } from '../../src/sdk/index.ts'

test('keeps printable ASCII and nothing else', () => {
  const ascii = Array.from({ length: 95 }, (_, at) => String.fromCharCode(0x20 + at)).join('')
  expect(printableText(ascii)).toBe(ascii)
  expect(printableText('a\r\nb\u001B[31m\u007F größer')).toBe('a??b?[31m? gr??er')
})

test('is cut, by itself at 500 characters', () => {
  expect(printableText('orders', 3)).toBe('ord')
  expect(printableText('x'.repeat(501))).toBe('x'.repeat(500))
})
