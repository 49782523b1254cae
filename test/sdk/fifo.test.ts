import fc from 'fast-check'
import { expect, test } from 'vitest'

import { Fifo } from '../../src/sdk/index.ts'

test('gives back in the order of arrival, however pushes and shifts are mixed', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -1500, max: 3000 }), { maxLength: 12 }), (moves) => {
      const fifo = new Fifo<number>()
      const model: number[] = []
      let next = 0
      for (const move of moves) {
        for (let count = 0; count < move; count++) {
          fifo.push(next)
          model.push(next++)
        }
        for (let count = 0; count < -move; count++) expect(fifo.shift()).toBe(model.shift())
        expect(fifo.length).toBe(model.length)
      }
    }),
    { numRuns: 30 },
  )
})

test('an empty one gives nothing and can be used again', () => {
  const fifo = new Fifo<string>()
  expect(fifo.shift()).toBeUndefined()
  fifo.push('a')
  expect([fifo.shift(), fifo.shift(), fifo.length]).toEqual(['a', undefined, 0])
})

test('retain keeps the order of what stays, also when some are gone from the head', () => {
  const fifo = new Fifo<number>()
  for (let item = 0; item < 10; item++) fifo.push(item)
  fifo.shift()
  fifo.retain((item) => item % 2 === 0)
  fifo.push(11)
  expect(fifo.length).toBe(5)
  expect([1, 2, 3, 4, 5, 6].map(() => fifo.shift())).toEqual([2, 4, 6, 8, 11, undefined])
})
