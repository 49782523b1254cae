import fc from 'fast-check'
import { expect, test } from 'vitest'

import { topicMatches } from '../../src/sdk/index.ts'
import { Overlaps } from './overlaps.ts'

const SUBJECTS = ['a', 'a.a', 'a.b', 'b.a', 'b.b', 'a.a.a', 'a.b.b']
const filter = fc.constantFrom('a.*', '*.a', '*.b', 'a.>', '*.*', '>', 'a.b', 'b.a', '*.*.b', 'a.a.>')
/** Each replica has some filters for long, and has just asked for some more. */
const replica = fc.record({ old: fc.uniqueArray(filter, { maxLength: 4 }), fresh: fc.uniqueArray(filter, { maxLength: 3 }) }) // prettier-ignore

interface Member {
  readonly filters: readonly string[]
  readonly overlaps: Overlaps
}

function memberOf(old: readonly string[], fresh: readonly string[]): Member {
  const added = fresh.filter((one) => !old.includes(one)).toSorted()
  const overlaps = new Overlaps()
  overlaps.asked(added, old)
  return { filters: [...old, ...added], overlaps }
}

/** How often a message is handed out when the group of each filter gives its copy to the member that `choose` says. */
function handedOut(subject: string, members: readonly Member[], choose: (count: number) => number): number {
  const filters = new Set(
    members.flatMap(({ filters: own }) => own).filter((one) => topicMatches('nats', one, subject)),
  )
  let count = 0
  for (const one of filters) {
    const group = members.filter(({ filters: own }) => own.includes(one))
    if (!group[choose(group.length)]?.overlaps.isCopy(one, subject)) count += 1
  }
  return count
}

test('replicas with the same subscriptions: each message is handed out once, whoever gets which copy', () => {
  fc.assert(
    fc.property(fc.uniqueArray(filter, { minLength: 1 }), fc.infiniteStream(fc.nat()), (filters, choices) => {
      const members = [memberOf(filters, []), memberOf([], filters), memberOf(filters.toReversed(), [])]
      for (const subject of SUBJECTS) {
        const expected = filters.some((one) => topicMatches('nats', one, subject)) ? 1 : 0
        expect(handedOut(subject, members, (count) => choices.next().value % count)).toBe(expected)
      }
    }),
  )
})

test('while the subscriptions of replicas differ and change: no message is dropped by all', () => {
  fc.assert(
    fc.property(fc.array(replica, { minLength: 1, maxLength: 3 }), fc.infiniteStream(fc.nat()), (replicas, choices) => {
      const members = replicas.map(({ old, fresh }) => memberOf(old, fresh))
      const wanted = members.flatMap(({ filters }) => filters)
      for (const subject of SUBJECTS) {
        if (!wanted.some((one) => topicMatches('nats', one, subject))) continue
        expect(handedOut(subject, members, (count) => choices.next().value % count)).toBeGreaterThan(0)
      }
    }),
  )
})

test('the server has not read a new subscription yet: its copies come, those of the old one are not dropped for it', () => {
  const { overlaps } = memberOf(['b.*'], ['*.a'])
  expect(overlaps.isCopy('b.*', 'b.a')).toBe(false)
  overlaps.asked([], ['b.*', '*.a'])
  expect(overlaps.isCopy('b.*', 'b.a')).toBe(true)
  expect(overlaps.isCopy('*.a', 'b.a')).toBe(false)
})
