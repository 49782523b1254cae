import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { assign, partitionKey, partitionOf } from './assignor.ts'
import type { Member, TopicPartition } from './assignor.ts'

function member(id: string, topics: readonly string[], owned: readonly string[] = [], generation = 1): Member {
  return { id, topics: new Set(topics), owned: owned.map(partitionOf), generation }
}

function keys(partitions: readonly TopicPartition[] | undefined): readonly string[] {
  return (partitions ?? []).map(({ topic, partition }) => partitionKey(topic, partition))
}

/** As the group does: rounds until nobody has to let go of anything. */
function settle(
  members: readonly Member[],
  partitions: ReadonlyMap<string, number>,
): ReadonlyMap<string, readonly string[]> {
  // prettier-ignore
  let current = members
  for (let round = 0; round < 4; round++) {
    const assigned = assign(current, partitions)
    const next = current.map((one) => ({ ...one, owned: assigned.get(one.id) ?? [], generation: round + 2 }))
    const isStable = next.every((one, index) => keys(one.owned).toSorted().join() === keys(current[index]?.owned).toSorted().join()) // prettier-ignore
    current = next
    if (isStable) break
  }
  return new Map(current.map(({ id, owned }) => [id, keys(owned)]))
}

describe('assign', () => {
  test('one member gets all of its topics, and nothing of topics that do not exist', () => {
    const assigned = assign([member('a', ['orders', 'gone'])], new Map([['orders', 3], ['gone', 0], ['other', 2]])) // prettier-ignore
    expect(keys(assigned.get('a'))).toEqual(['orders/0', 'orders/1', 'orders/2'])
  })

  test('what moves is given to nobody until its owner let go of it', () => {
    const before = [member('a', ['t'], ['t/0', 't/1', 't/2', 't/3']), member('b', ['t'])]
    const first = assign(before, new Map([['t', 4]]))
    expect([keys(first.get('a')).length, keys(first.get('b')).length]).toEqual([2, 0])
    const after = before.map((one) => ({ ...one, owned: first.get(one.id) ?? [], generation: 2 }))
    const second = assign(after, new Map([['t', 4]]))
    expect(keys(second.get('a'))).toEqual(keys(first.get('a')))
    expect(keys(second.get('b')).length).toBe(2)
  })

  test('a third member gets its share, although nobody has more than the upper bound', () => {
    const settled = settle([member('a', ['t'], ['t/0', 't/1']), member('b', ['t'], ['t/2', 't/3']), member('c', ['t'])], new Map([['t', 4]])) // prettier-ignore
    expect([...settled.values()].map(({ length }) => length).toSorted((left, right) => left - right)).toEqual([1, 1, 2])
  })

  test('claims of an earlier generation and of two members at once are not believed', () => {
    const stale = assign([member('a', ['t'], ['t/0'], 1), member('b', ['t'], [], 2)], new Map([['t', 2]]))
    expect([...keys(stale.get('a')), ...keys(stale.get('b'))].toSorted()).toEqual(['t/0', 't/1'])
    const both = assign([member('a', ['t'], ['t/0']), member('b', ['t'], ['t/0'])], new Map([['t', 1]]))
    expect([...keys(both.get('a')), ...keys(both.get('b'))]).toEqual(['t/0'])
  })

  test('any group comes to rest: every partition has one reader that wants it, balanced, and moves no more than needed', () => {
    const topics = ['a', 'b', 'c']
    const group = fc.uniqueArray(fc.record({ id: fc.stringMatching(/^[a-z]{3}$/), topics: fc.subarray(topics, { minLength: 1 }) }), { selector: ({ id }) => id, minLength: 1, maxLength: 6 }) // prettier-ignore
    const counts = fc.record({ a: fc.nat(7), b: fc.nat(7), c: fc.nat(7) })
    fc.assert(
      fc.property(group, group, counts, (earlier, later, sizes) => {
        const partitions = new Map(Object.entries(sizes))
        const before = settle(earlier.map(({ id, topics: own }) => member(id, own)), partitions) // prettier-ignore
        const members = later.map(({ id, topics: own }) => member(id, own, before.get(id) ?? []))
        const after = settle(members, partitions)
        const given = [...after].flatMap(([id, own]) => own.map((key) => [key, id] as const))
        const wanted = topics.flatMap((topic) => members.some((one) => one.topics.has(topic)) ? Array.from({ length: partitions.get(topic) ?? 0 }, (_, index) => partitionKey(topic, index)) : []) // prettier-ignore
        expect(given.map(([key]) => key).toSorted()).toEqual(wanted.toSorted())
        for (const [key, id] of given) expect(members.find((one) => one.id === id)?.topics.has(partitionOf(key).topic)).toBe(true) // prettier-ignore
        const load = (id: string): number => after.get(id)?.length ?? 0
        const couldMove = members.flatMap((heavy) => members.filter((light) => load(heavy.id) >= load(light.id) + 2 && after.get(heavy.id)?.some((key) => light.topics.has(partitionOf(key).topic)))) // prettier-ignore
        expect(couldMove).toEqual([])
        // With the same members nothing moves.
        expect(settle(members.map((one) => ({ ...one, owned: (after.get(one.id) ?? []).map(partitionOf), generation: 9 })), partitions)).toEqual(new Map([...after].map(([id, own]) => [id, own.toSorted((left, right) => own.indexOf(left) - own.indexOf(right))]))) // prettier-ignore
      }),
      { numRuns: 300 },
    )
  })
})
