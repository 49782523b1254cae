import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { topicMatches } from '../../src/sdk/index.ts'
import type { Subscription } from '../../src/sdk/index.ts'
import { CopyFilter } from './copies.ts'
import { covers, wantedFilters, withoutKey } from './filters.ts'

const wanted = (...topics: string[]): Subscription[] => topics.map((topic) => ({ kind: 'topic', topic }))
const none = { topics: undefined, sharedGroup: undefined }

describe('covers', () => {
  const topic = fc.array(fc.constantFrom('a', 'b', '$x', ''), { minLength: 1, maxLength: 4 })
  /** The topic with some levels made + and perhaps the rest made #: mostly related, sometimes not. */
  const shape = fc.tuple(fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), fc.option(fc.nat(4)))
  const filterOf = (levels: readonly string[], [plus, hash]: readonly [boolean[], number | null]): string => {
    const filter = levels.map((level, index) => (plus[index] === true ? '+' : level))
    return (hash === null ? filter : [...filter.slice(0, hash), '#']).join('/')
  }

  test('what a covered filter matches, its cover matches too', () => {
    let covered = 0
    fc.assert(
      fc.property(topic, topic, shape, shape, (levels, other, outerShape, innerShape) => {
        for (const inner of [filterOf(levels, innerShape), filterOf(other, innerShape)]) {
          const outer = filterOf(levels, outerShape)
          for (const name of [levels.join('/'), other.join('/')]) {
            if (!covers(outer, inner) || !topicMatches('mqtt', inner, name)) continue
            covered += 1
            expect(topicMatches('mqtt', outer, name), `${outer} ${inner} ${name}`).toBe(true)
          }
        }
      }),
    )
    expect(covered).toBeGreaterThan(0)
  })

  test.for([
    ['a/#', 'a', true],
    ['a/#', 'a/+/c', true],
    ['#', 'a/#', true],
    ['a/+', 'a/b', true],
    ['a/+', 'a/#', false],
    ['a/b', 'a/+', false],
    ['a/+/c', 'a/b/+', false],
    ['#', '$SYS/broker', false],
    ['+/broker', '$SYS/broker', false],
    ['$SYS/#', '$SYS/broker', true],
    ['$share/g/a/#', '$share/g/a/b', true],
    ['$share/g/a/#', '$share/h/a/b', false],
    ['$share/g/a/#', 'a/b', false],
    ['a/#', '$share/g/a/b', false],
  ] as const)('%s covers %s: %s', ([outer, inner, expected]) => {
    expect(covers(outer, inner)).toBe(expected)
  })
})

describe('wantedFilters', () => {
  test('leaves out repetitions and what is covered', () => {
    expect(wantedFilters(wanted('a/b', 'a/#', 'a/b', 'c', 'a/+/d'), none)).toEqual(['a/#', 'c'])
  })

  test('puts every filter into the shared group, but not those that name one', () => {
    const options = { topics: undefined, sharedGroup: 'hub' }
    expect(wantedFilters(wanted('a/#', 'a/b', '$share/other/a/b'), options)).toEqual([
      '$share/hub/a/#',
      '$share/other/a/b',
    ])
  })

  test('configured topics replace the wanted ones', () => {
    expect(wantedFilters(wanted('a'), { topics: ['key/#'], sharedGroup: undefined })).toEqual(['key/#'])
  })
})

describe('copies', () => {
  const overlapping = (): CopyFilter => {
    const copies = new CopyFilter()
    copies.use(['a/+/c', 'a/b/+'], true)
    return copies
  }

  test('the same content by another subscription is a copy, by the same one a new event, in any order', () => {
    const copies = overlapping()
    const ways = [1, 2, 1, 1, 2, 2].map((id) => copies.isCopy('a/b/c', 'on', [id]))
    expect(ways).toEqual([false, true, false, false, true, true])
  })

  test('where one subscription matches, or the broker sends no identifiers, everything is an event', () => {
    const copies = overlapping()
    expect([1, 2].map((id) => copies.isCopy('a/b/d', 'on', [id]))).toEqual([false, false])
    expect([1, 2].map(() => copies.isCopy('a/b/c', 'on', []))).toEqual([false, false])
  })

  test('one message with the identifiers of all its subscriptions is one event each time', () => {
    const copies = overlapping()
    expect([1, 2].map(() => copies.isCopy('a/b/c', 'on', [1, 2]))).toEqual([false, false])
  })

  test('once a subscription has ended, an earlier event is not taken for the twin of a later one', () => {
    const copies = overlapping()
    expect(copies.isCopy('a/b/c', 'on', [1])).toBe(false)
    copies.use(['a/b/+', 'a/#'], true)
    expect(copies.isCopy('a/b/c', 'on', [2])).toBe(false)
  })

  test('shared subscriptions take no part: their copies may go to another replica', () => {
    const copies = new CopyFilter()
    copies.use(['$share/g/a/+/c', '$share/g/a/b/+', 'a/#'], true)
    expect([1, 2, 3].map((id) => copies.isCopy('a/b/c', 'on', [id]))).toEqual([false, false, false])
  })
})

test('a channel key goes up to the first slash, behind the shared group', () => {
  expect(['k/sensors/#', '$share/g/k/doors/+', 'alone'].map(withoutKey)).toEqual(['sensors/#', 'doors/+', 'alone'])
})
