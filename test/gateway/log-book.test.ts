// The lines of functions in memory: their order, their bounds, who follows them, and when they go.

import { expect, test } from 'vitest'

import { LogBook, REMOVED_KEPT_MS, timestampOf } from '../../src/gateway/log-book.ts'
import type { LogBookOptions } from '../../src/gateway/log-book.ts'
import { ManualClock } from '../../src/sdk/index.ts'

const START = Date.UTC(2026, 0, 5, 10, 0, 1)
const ALL = (): boolean => true

function bookWith(options: Partial<LogBookOptions> = {}): { readonly book: LogBook; readonly clock: ManualClock } {
  const clock = new ManualClock(START)
  return { book: new LogBook({ clock, ...options }), clock }
}

function texts(book: LogBook, name: string, from = 0): readonly string[] {
  return book.read(name, from, 1_000_000).lines.map(({ text }) => text)
}

test('lines have a time in nanoseconds that grows, also where the clock stands still or goes back', () => {
  const { book, clock } = bookWith()
  for (let index = 0; index < 1000; index++) {
    if (index === 500) clock.jump(-5000)
    book.append('a.ns', 'a-1', `line ${index}`)
  }
  const times = book.read('a.ns', 0, 1000).lines.map(timestampOf)
  expect(times[0]).toMatch(/^2026-01-05T10:00:01\.000\d{6}Z$/)
  expect(times.every((time) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/.test(time))).toBe(true)
  expect([...times].sort()).toEqual(times)
  expect(new Set(times).size).toBe(1000)
})

test('a function keeps its last lines, and a reader learns how many it missed', () => {
  const { book } = bookWith({ linesMax: 10 })
  for (let index = 0; index < 25; index++) book.append('a.ns', 'a-1', String(index))
  expect(texts(book, 'a.ns')).toEqual(['15', '16', '17', '18', '19', '20', '21', '22', '23', '24'])
  expect(book.read('a.ns', 3, 2)).toMatchObject({ lines: [{ text: '15' }, { text: '16' }], next: 17, missed: 12 })
  expect(book.read('a.ns', 17, 2)).toMatchObject({ lines: [{ text: '17' }, { text: '18' }], next: 19, missed: 0 })
  expect(book.read('a.ns', 25, 2)).toEqual({ lines: [], next: 25, missed: 0 })
})

test('bytes of one function are bounded, its last line stays whatever its size', () => {
  const { book } = bookWith({ bytesMax: 5000 })
  book.append('a.ns', 'a-1', 'small')
  book.append('a.ns', 'a-1', 'x'.repeat(1500))
  expect(texts(book, 'a.ns')).toHaveLength(2)
  book.append('a.ns', 'a-1', 'y'.repeat(100_000))
  const [last, ...others] = texts(book, 'a.ns')
  expect(others).toEqual([])
  expect(last).toMatch(/^y+$/)
  expect(last?.length).toBeLessThan(20_000)
})

test('of all functions together the loudest pays', () => {
  const { book } = bookWith({ totalBytesMax: 100_000 })
  book.append('quiet.ns', 'quiet-1', 'still here')
  for (let index = 0; index < 5000; index++) book.append('loud.ns', 'loud-1', `${index} ${'x'.repeat(50)}`)
  expect(texts(book, 'quiet.ns')).toEqual(['still here'])
  const loud = texts(book, 'loud.ns')
  expect(loud.length).toBeGreaterThan(100)
  expect(loud.length).toBeLessThan(500)
  expect(loud.at(-1)).toMatch(/^4999 /)
})

test('memory stays flat over a million lines', () => {
  const { book } = bookWith({ linesMax: 1000 })
  for (let index = 0; index < 1_000_000; index++) book.append('a.ns', 'a-1', 'x')
  expect(book.read('a.ns', 0, 2000)).toMatchObject({ next: 1_000_000, missed: 999_000 })
})

test('where to begin: by number, by time, by both, and for one instance', async () => {
  const { book, clock } = bookWith()
  for (let index = 0; index < 10; index++) {
    book.append('a.ns', index % 2 === 0 ? 'a-1' : 'a-2', String(index))
    await clock.advance(1000)
  }
  expect(book.startOf('a.ns', undefined, undefined, ALL)).toBe(0)
  expect(book.startOf('a.ns', undefined, 3, ALL)).toBe(7)
  expect(book.startOf('a.ns', undefined, 99, ALL)).toBe(0)
  expect(book.startOf('a.ns', START + 4000, undefined, ALL)).toBe(4)
  expect(book.startOf('a.ns', START + 4000, 2, ALL)).toBe(8)
  expect(book.startOf('a.ns', START + 60_000, undefined, ALL)).toBe(10)
  expect(book.startOf('a.ns', undefined, 2, ({ instance }) => instance === 'a-1')).toBe(6)
})

test('the lines of a removed function go after a while, unless it comes back', async () => {
  const { book, clock } = bookWith()
  for (const name of ['gone.ns', 'back.ns', 'followed.ns']) book.append(name, 'x-1', 'line')
  const unfollow = book.follow('followed.ns', () => {})
  for (const name of ['gone.ns', 'back.ns', 'followed.ns']) book.expire(name)
  await clock.advance(REMOVED_KEPT_MS - 1)
  book.keep('back.ns')
  expect(['gone.ns', 'back.ns', 'followed.ns'].map((name) => texts(book, name).length)).toEqual([1, 1, 1])
  await clock.advance(1)
  expect(['gone.ns', 'back.ns', 'followed.ns'].map((name) => texts(book, name).length)).toEqual([0, 1, 0])
  expect(['gone.ns', 'back.ns', 'followed.ns'].map((name) => book.has(name))).toEqual([false, true, true])
  unfollow()
  expect(book.has('followed.ns')).toBe(false)
  expect(clock.pending).toBe(0)
})

test('who follows a function that comes back hears it again', async () => {
  const { book, clock } = bookWith()
  let woken = 0
  book.append('a.ns', 'a-1', 'before')
  book.follow('a.ns', () => (woken += 1))
  book.expire('a.ns')
  await clock.advance(REMOVED_KEPT_MS)
  book.keep('a.ns')
  book.append('a.ns', 'a-1', 'after')
  expect(woken).toBe(1)
  expect(book.read('a.ns', 1, 10)).toMatchObject({ lines: [{ text: 'after' }], missed: 0 })
})

test('followers are woken by each line, and at the end', () => {
  const { book } = bookWith()
  const seen: string[] = []
  const unfollow = book.follow('a.ns', () => seen.push('a'))
  book.follow('b.ns', () => seen.push('b'))
  book.append('a.ns', 'a-1', '1')
  book.append('b.ns', 'b-1', '1')
  unfollow()
  book.append('a.ns', 'a-1', '2')
  expect(seen).toEqual(['a', 'b'])
  book[Symbol.dispose]()
  expect(seen).toEqual(['a', 'b', 'b'])
  expect(book.isClosed).toBe(true)
  book.append('b.ns', 'b-1', 'late')
  expect(book.has('b.ns')).toBe(false)
})
