import fc from 'fast-check'
import { expect, test } from 'vitest'

import { topicMatches } from '../../src/sdk/index.ts'
import { Overlaps } from './overlaps.ts'

const SUBJECTS = ['a', 'a.a', 'a.b', 'b.a', 'b.b', 'a.a.a', 'a.b.b']
const filter = fc.constantFrom('a.*', '*.a', '*.b', 'a.>', '*.*', '>', 'a.b', 'b.a', '*.*.b', 'a.a.>')

test('of the copies of a message exactly one counts, whichever subscriptions the server has already', () => {
  fc.assert(
    fc.property(fc.uniqueArray(filter, { minLength: 1 }), fc.nat(), (filters, some) => {
      const overlaps = new Overlaps()
      overlaps.set(filters)
      // It reads them one after the other.
      const known = filters.slice(0, 1 + (some % filters.length))
      for (const subject of SUBJECTS) {
        const copies = known.filter((one) => topicMatches('nats', one, subject))
        const counting = copies.filter((one) => !overlaps.isCopy(one, subject))
        expect(counting).toHaveLength(Math.min(1, copies.length))
      }
    }),
  )
})

test('a subscription that was ended does not count any more', () => {
  const overlaps = new Overlaps()
  overlaps.set(['a.*', '*.b'])
  expect(overlaps.isCopy('*.b', 'a.b')).toBe(true)
  overlaps.set(['*.b'])
  expect(overlaps.isCopy('*.b', 'a.b')).toBe(false)
})
