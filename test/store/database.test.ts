import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { openDatabase } from '../../src/store/database.ts'
import type { Database } from '../../src/store/database.ts'

const SCHEMA = ['CREATE TABLE t (v TEXT NOT NULL UNIQUE) STRICT']

let folder = ''
let path = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'store-'))
  path = join(folder, 'state', 'hub.db')
})
afterEach(() => rmSync(folder, { recursive: true }))

const values = ({ sqlite }: Pick<Database, 'sqlite'>): unknown[] =>
  sqlite
    .prepare('SELECT v FROM t ORDER BY rowid')
    .all()
    .map((row) => row['v'])

const add = (database: Database, value: string): Promise<unknown> =>
  database.commit(() => database.sqlite.prepare('INSERT INTO t VALUES (?)').run(value))

test('writes of one turn are one commit: nobody sees a part of them', async () => {
  using database = openDatabase(path, SCHEMA)
  using reader = new DatabaseSync(path)
  const seen: number[] = []
  const work = ['1', '2', '3'].map((value) =>
    database.commit(() => {
      database.sqlite.prepare('INSERT INTO t VALUES (?)').run(value)
      seen.push(values({ sqlite: reader }).length)
      return value
    }),
  )
  expect(seen).toEqual([])
  expect(await Promise.all(work)).toEqual(['1', '2', '3'])
  expect(seen).toEqual([0, 0, 0])
  expect(values({ sqlite: reader })).toEqual(['1', '2', '3'])
})

test('a write that fails is undone alone, with all that it had done', async () => {
  using database = openDatabase(path, SCHEMA)
  const twice = database.commit(() => {
    database.sqlite.exec("INSERT INTO t VALUES ('half')")
    database.sqlite.exec("INSERT INTO t VALUES ('1')")
  })
  const results = await Promise.allSettled([add(database, '1'), twice, add(database, '2')])
  // The failing one comes second in the text and first in the queue.
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
  expect(values(database)).toEqual(['half', '1', '2'])
})

test('a failing write between others leaves no trace', async () => {
  using database = openDatabase(path, SCHEMA)
  const first = add(database, '1')
  const broken = database.commit(() => {
    database.sqlite.exec("INSERT INTO t VALUES ('half')")
    throw new Error('changed my mind')
  })
  const last = add(database, '2')
  await expect(broken).rejects.toThrow('changed my mind')
  await Promise.all([first, last])
  expect(values(database)).toEqual(['1', '2'])
})

test('close writes what waits, and refuses what comes later', async () => {
  const database = openDatabase(path, SCHEMA)
  const waiting = add(database, '1')
  database.close()
  database.close()
  await waiting
  await expect(add(database, '2')).rejects.toMatchObject({ code: 'HUB_STATE_UNUSABLE' })
  using again = openDatabase(path, SCHEMA)
  expect(values(again)).toEqual(['1'])
})

test('brings an older file to the newest schema and keeps its rows; refuses one of a newer version', async () => {
  {
    using first = openDatabase(path, SCHEMA)
    await add(first, '1')
  }
  const newer = [...SCHEMA, "ALTER TABLE t ADD COLUMN w TEXT NOT NULL DEFAULT 'x'"]
  {
    using second = openDatabase(path, newer)
    expect(second.sqlite.prepare('SELECT * FROM t').all()).toMatchObject([{ v: '1', w: 'x' }])
  }
  expect(() => openDatabase(path, SCHEMA)).toThrowError(
    expect.objectContaining({ code: 'HUB_STATE_UNUSABLE', message: expect.stringContaining('newer version') }),
  )
  using third = openDatabase(path, newer)
  expect(values(third)).toEqual(['1'])
})

test.each([
  ['has it to itself', 'BEGIN EXCLUSIVE'],
  ['brings it to its schema, and finds that done', 'PRAGMA journal_mode = WAL; BEGIN IMMEDIATE'],
])('waits while another process %s', async (_, begin) => {
  const { NODE_OPTIONS: _options, ...env } = process.env
  mkdirSync(dirname(path))
  const child = fork(new URL('migrate-child.ts', import.meta.url), [path, SCHEMA[0] ?? '', begin], {
    execArgv: [],
    env,
  })
  const exit = once(child, 'exit')
  expect(await Promise.race([once(child, 'message'), exit])).toContain('begun')
  using database = openDatabase(path, SCHEMA)
  expect(values(database)).toEqual(['1'])
  expect(await exit).toEqual([0, null])
})

test('a file that is no database is refused and left as it is', () => {
  const other = join(folder, 'notes.txt')
  const text = 'these are my notes, not a database. '.repeat(10)
  writeFileSync(other, text)
  expect(() => openDatabase(other, SCHEMA)).toThrowError(expect.objectContaining({ code: 'HUB_STATE_UNUSABLE' }))
  expect(statSync(other).size).toBe(text.length)
})

test('the folder it makes is for its owner only', () => {
  using _ = openDatabase(path, SCHEMA)
  expect(statSync(join(folder, 'state')).mode & 0o777).toBe(0o700)
})

test('what a commit resolved for is there after SIGKILL', async () => {
  const { NODE_OPTIONS: _options, ...env } = process.env
  const child = fork(new URL('commit-child.ts', import.meta.url), [path], { execArgv: [], env })
  const exit = once(child, 'exit')
  expect(await Promise.race([once(child, 'message'), exit])).toContain('committed')
  child.kill('SIGKILL')
  expect(await exit).toEqual([null, 'SIGKILL'])
  using database = openDatabase(path, SCHEMA)
  expect(values(database)).toEqual(['1', '2', '3'])
})
