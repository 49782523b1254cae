import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { topicMatches } from '../../src/sdk/index.ts'
import { consumerName, covers, overlap, wantedSubjects } from './subjects.ts'

const token = fc.constantFrom('a', 'b', '*')
const subject = fc
  .tuple(fc.array(token, { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([tokens, rest]) => [...tokens, ...(rest ? ['>'] : [])].join('.'))
/** Every subject of up to 4 tokens over a, b and c. */
const concrete = [1, 2, 3, 4].flatMap((length) =>
  Array.from({ length: 3 ** length }, (_, index) =>
    Array.from({ length }, (_unused, place) => 'abc'[Math.floor(index / 3 ** place) % 3]).join('.'),
  ),
)
const matched = (filter: string): string[] => concrete.filter((one) => topicMatches('nats', filter, one))

describe('filters against every subject they can match', () => {
  test('covers', () => {
    fc.assert(
      fc.property(subject, subject, (outer, inner) => {
        const all = matched(outer)
        expect(covers(outer, inner)).toBe(matched(inner).every((one) => all.includes(one)))
      }),
    )
  })

  test('overlap', () => {
    fc.assert(
      fc.property(subject, subject, (left, right) => {
        const all = matched(left)
        expect(overlap(left, right)).toBe(matched(right).some((one) => all.includes(one)))
      }),
    )
  })
})

test('what is wanted is read once', () => {
  const wanted = ['a.b', 'a.*', 'a.b', 'c', 'd.>', 'd.e.f'].map((topic) => ({ kind: 'topic', topic }) as const)
  expect(wantedSubjects(wanted)).toEqual(['a.*', 'c', 'd.>'])
})

test('consumer names are valid, readable and different', () => {
  const names = ['a.b', 'a_b', 'a.*', 'a.>', 'ä', 'x'.repeat(300)].map((one) => consumerName('hub', one))
  expect(new Set(names).size).toBe(names.length)
  for (const name of names) expect(name).toMatch(/^hub-[A-Za-z0-9_-]{1,64}-[0-9a-f]{8}$/)
  expect(consumerName('hub', 'orders.*.created')).toMatch(/^hub-orders_any_created-/)
})
