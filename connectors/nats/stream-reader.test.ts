// Reading beside consumers, against a stream that is looked through whole: whatever is in it, and however it grows.

import type { StoredMsg } from '@nats-io/jetstream'
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { topicMatches } from '../../src/sdk/index.ts'
import { StreamReader } from './stream-reader.ts'
import type { Found, StreamAccess } from './stream-reader.ts'

/** Subjects by their place, from 1; empty: deleted. */
class Stream implements StreamAccess {
  readonly subjects: string[] = []
  asked = 0
  atOnce = 0
  #asking = 0

  last(): Promise<number> {
    return Promise.resolve(this.subjects.length)
  }

  async next(sequence: number, filter: string): Promise<StoredMsg | null> {
    this.asked += 1
    this.#asking += 1
    this.atOnce = Math.max(this.atOnce, this.#asking)
    await Promise.resolve()
    this.#asking -= 1
    const index = this.subjects.findIndex((subject, at) => at + 1 >= sequence && subject !== '' && topicMatches('nats', filter, subject)) // prettier-ignore
    return index === -1 ? null : ({ seq: index + 1, subject: this.subjects[index] } as StoredMsg)
  }
}

const subject = fc.constantFrom('a.b', 'a.c', 'c.b', 'c.c', '')
const stand = fc.record({
  filter: fc.constantFrom('a.*', '*.b', 'a.b', '>'),
  next: fc.nat({ max: 30 }),
  delivered: fc.nat({ max: 30 }),
})

async function seenOf(reader: StreamReader): Promise<Found[]> {
  const seen: Found[] = []
  for await (const found of reader.upToNow()) seen.push(found)
  return seen
}

test('everything that a filter matches from where it stands is found, in order and once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(subject, { maxLength: 60 }), { maxLength: 4 }),
      fc.array(stand, { minLength: 1, maxLength: 3 }),
      async (growths, stands) => {
        const stream = new Stream()
        const reader = new StreamReader(stream, stands)
        const seen: Found[] = []
        for (const growth of growths) {
          stream.subjects.push(...growth)
          seen.push(...(await seenOf(reader)))
        }
        const expected = stream.subjects.flatMap((one, index) => {
          const sequence = index + 1
          const by = stands.filter(({ filter, next }) => one !== '' && sequence >= next && topicMatches('nats', filter, one)) // prettier-ignore
          return by.length === 0 ? [] : [[sequence, by.every(({ delivered }) => sequence <= delivered)]]
        })
        expect(seen.map(({ message, again }) => [message.seq, again])).toEqual(expected)
      },
    ),
  )
})

test('a dense stream is asked for many places at once, a sparse one for few in vain, and both within a bound', async () => {
  const dense = new Stream()
  dense.subjects.push(...Array.from({ length: 1000 }, () => 'a.b'))
  expect(await seenOf(new StreamReader(dense, [{ filter: 'a.*', next: 1, delivered: 0 }]))).toHaveLength(1000)
  expect([dense.asked, dense.atOnce]).toEqual([1000, 32])
  const sparse = new Stream()
  sparse.subjects.push(...Array.from({ length: 1000 }, (_, index) => (index % 10 === 0 ? 'a.b' : 'c.c')))
  expect(await seenOf(new StreamReader(sparse, [{ filter: 'a.*', next: 1, delivered: 0 }]))).toHaveLength(100)
  expect(sparse.asked).toBeLessThan(200)
  const many = Array.from({ length: 40 }, () => ({ filter: 'a.*', next: 1, delivered: 0 }))
  const shared = new Stream()
  shared.subjects.push(...dense.subjects)
  expect(await seenOf(new StreamReader(shared, many))).toHaveLength(1000)
  expect(shared.atOnce).toBe(1)
})

test('what comes while a part of the filters was asked already does not overtake', async () => {
  const stream = new Stream()
  stream.subjects.push('c.c')
  const access: StreamAccess = {
    last: () => stream.last(),
    async next(sequence, filter) {
      const found = await stream.next(sequence, filter)
      if (stream.asked === 1) stream.subjects.push('c.b', 'a.c')
      return found
    },
  }
  const stands = ['*.b', 'a.*'].map((filter) => ({ filter, next: 1, delivered: 0 }))
  const reader = new StreamReader(access, stands)
  const seen = [...(await seenOf(reader)), ...(await seenOf(reader))]
  expect(seen.map(({ message }) => message.seq)).toEqual([2, 3])
})
