import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { SqliteDeadLetters } from '../../src/delivery/dead-letters.ts'
import type { DeadLetter } from '../../src/sdk/index.ts'
import { message } from './rig.ts'

let folder = ''
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'letters-'))))
afterEach(() => rmSync(folder, { recursive: true }))

const FULL: DeadLetter = {
  message: message('1', {
    body: Uint8Array.from([0, 255, 13, 10]),
    headers: { 'X-A': '1' },
    moreHeaders: ['X-A', '2'],
    contentType: 'text/plain',
    orderingKey: 'k',
    path: '/x',
    attempt: 3,
    timestampMs: 5,
    target: 'a.fn',
  }),
  function: 'a.fn',
  reason: 'answered 500',
  status: 500,
  attempts: 3,
  failedAtMs: 7,
}

test('a letter comes back whole after the file was closed and opened again', async () => {
  const path = join(folder, 'sub', 'letters.db')
  using first = new SqliteDeadLetters(path)
  await first.put(FULL)
  first.close()
  using again = new SqliteDeadLetters(path)
  const [stored] = again.list(10)
  expect(stored).toMatchObject({ ...FULL, number: 1, message: { ...FULL.message, body: expect.any(Uint8Array) } })
  expect([...(stored?.message.body ?? [])]).toEqual([0, 255, 13, 10])
})

test('what a letter does not state stays absent', async () => {
  using letters = new SqliteDeadLetters(':memory:')
  const bare: DeadLetter = { message: message('1'), function: 'a', reason: 'r', attempts: 0, failedAtMs: 1.6 }
  await letters.put(bare)
  const [stored] = letters.list(1)
  expect(stored).not.toHaveProperty('status')
  for (const name of ['contentType', 'orderingKey', 'path']) expect(stored?.message).not.toHaveProperty(name)
  expect(stored?.failedAtMs).toBe(2)
})

test.each([
  ['nanoseconds', 1.7e18],
  ['more than SQLite can count to', 1.7e21],
])('a time stamp of %s neither keeps a letter out of the store nor the others in it', async (_, timestampMs) => {
  using letters = new SqliteDeadLetters(':memory:')
  for (const one of [message('1', { timestampMs }), message('2', { timestampMs: 5 })]) await letters.put({ ...FULL, message: one }) // prettier-ignore
  const times = letters.list(10).map(({ message: stored }) => stored.timestampMs)
  expect(times).toEqual([8.64e15, 5])
})

test('its size follows what is stored and what is removed', async () => {
  using letters = new SqliteDeadLetters(join(folder, 'letters.db'))
  const empty = letters.size()
  expect(empty.count).toBe(0)
  await letters.put({ ...FULL, message: message('1', { body: Buffer.alloc(1024 * 1024) }) })
  const full = letters.size()
  expect(full.count).toBe(1)
  expect(full.bytes - empty.bytes).toBeGreaterThanOrEqual(1024 * 1024)
  expect(full.bytes - empty.bytes).toBeLessThan(1.1 * 1024 * 1024)
  await letters.remove(1)
  expect(letters.size()).toEqual(empty)
})

test('its count follows every process, and what could not be stored', async () => {
  const path = join(folder, 'letters.db')
  using here = new SqliteDeadLetters(path, { bytesMax: 5 * 600, dropped: () => {} })
  using there = new SqliteDeadLetters(path)
  const counts: number[] = []
  const look = (): void => void counts.push(here.size().count, there.size().count)
  look()
  for (const id of ['1', '2', '3']) await here.put({ ...FULL, message: message(id) })
  look()
  await there.remove(1)
  look()
  await there.put(FULL)
  await here.remove(2)
  look()
  // Two of the oldest go for the newest.
  for (const id of ['5', '6', '7', '8']) await here.put({ ...FULL, message: message(id) })
  look()
  await expect(here.put({ ...FULL, attempts: 0.5 })).rejects.toThrow(/cannot store REAL value/)
  look()
  expect(counts).toEqual([0, 0, 3, 3, 2, 2, 2, 2, here.count(), here.count(), here.count(), here.count()])
  expect(here.count()).toBeLessThan(6)
})

test('pages oldest first', async () => {
  using letters = new SqliteDeadLetters(':memory:')
  await Promise.all(['1', '2', '3'].map((id) => letters.put({ ...FULL, message: message(id) })))
  expect(letters.count()).toBe(3)
  const page = letters.list(2)
  expect(page.map(({ message: { id } }) => id)).toEqual(['1', '2'])
  expect(letters.list(2, page[1]?.number).map(({ message: { id } }) => id)).toEqual(['3'])
})

test('a closed store refuses a letter, so that its event stays unsettled', async () => {
  const letters = new SqliteDeadLetters(':memory:')
  letters.close()
  await expect(letters.put(FULL)).rejects.toMatchObject({ code: 'HUB_STATE_UNUSABLE' })
})

describe('with a bound', () => {
  const KIB = 1024
  const drops: number[] = []
  const bound = { bytesMax: 100 * KIB, dropped: (count: number) => void drops.push(count) }
  const letterOf = (id: string, bytes: number): DeadLetter => ({ ...FULL, message: message(id, { body: Buffer.alloc(bytes) }) }) // prettier-ignore
  const idsOf = (letters: SqliteDeadLetters): string[] => letters.list(100).map(({ message: { id } }) => id)
  beforeEach(() => void drops.splice(0))

  test('the oldest make room for newer ones, also after a restart', async () => {
    const path = join(folder, 'letters.db')
    {
      using letters = new SqliteDeadLetters(path, bound)
      for (let id = 1; id <= 9; id += 1) await letters.put(letterOf(String(id), 10 * KIB))
      expect(drops).toEqual([])
    }
    using letters = new SqliteDeadLetters(path, bound)
    // Each is half a kibibyte more than its body: ten are above the bound, eight below nine tenths of it.
    await letters.put(letterOf('10', 10 * KIB))
    expect(drops).toEqual([2])
    expect(idsOf(letters)).toEqual(['3', '4', '5', '6', '7', '8', '9', '10'])
    await letters.put(letterOf('11', 10 * KIB))
    expect([drops, letters.count()]).toEqual([[2], 9])
  })

  test('the newest stays, however large', async () => {
    using letters = new SqliteDeadLetters(':memory:', bound)
    await letters.put(letterOf('1', 10 * KIB))
    await letters.put(letterOf('2', 200 * KIB))
    expect(idsOf(letters)).toEqual(['2'])
    await letters.put(letterOf('3', 10 * KIB))
    expect(idsOf(letters)).toEqual(['3'])
    expect(drops).toEqual([1, 1])
  })

  test('what another process has removed counts no more', async () => {
    const path = join(folder, 'letters.db')
    using letters = new SqliteDeadLetters(path, bound)
    for (const id of ['1', '2', '3']) await letters.put(letterOf(id, 30 * KIB))
    using other = new SqliteDeadLetters(path)
    await other.remove(2)
    await letters.put(letterOf('4', 30 * KIB))
    expect([drops, idsOf(letters)]).toEqual([[], ['1', '3', '4']])
  })
})
