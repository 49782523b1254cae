// The cache of the test servers: a version is there whole or not at all, and one process makes it.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { cacheFolder, fillCache, withLock } from './cache.ts'

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'hub-cache-'))
  vi.stubEnv('XDG_CACHE_HOME', root)
})
afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(root, { recursive: true, force: true })
})

const locks = (): readonly string[] => readdirSync(join(root, 'connector-hub')).filter((name) => name.endsWith('.lock'))

test('a version is filled once, however many ask for it at a time', async () => {
  let fills = 0
  const ask = (): Promise<string> =>
    fillCache('server', '1.0', async (staging) => {
      fills += 1
      await Promise.resolve(writeFileSync(join(staging, 'binary'), 'x'))
    })
  const folders = await Promise.all([ask(), ask(), ask()])
  expect(fills).toBe(1)
  expect(new Set(folders)).toEqual(new Set([cacheFolder('server', '1.0')]))
  expect(readFileSync(join(cacheFolder('server', '1.0'), 'binary'), 'utf8')).toBe('x')
  expect(locks()).toEqual([])
})

test('what fails half-way leaves nothing and is tried again', async () => {
  const half = fillCache('server', '1.0', (staging) => {
    writeFileSync(join(staging, 'half'), '')
    return Promise.reject(new Error('no network'))
  })
  await expect(half).rejects.toThrow('no network')
  expect(readdirSync(dirname(cacheFolder('server', '1.0')))).toEqual([])
  await fillCache('server', '1.0', () => Promise.resolve())
  expect(existsSync(cacheFolder('server', '1.0'))).toBe(true)
})

test('what a killed process left is removed, and its lock taken over', async () => {
  const dead = spawnSync('true').pid
  const lock = join(root, 'connector-hub', 'server-1.0.lock')
  mkdirSync(lock, { recursive: true })
  writeFileSync(join(lock, `${dead}-1`), '')
  mkdirSync(`${cacheFolder('server', '1.0')}.partial-${dead}`, { recursive: true })
  await fillCache('server', '1.0', () => Promise.resolve())
  expect(readdirSync(dirname(cacheFolder('server', '1.0')))).toEqual(['1.0'])
  expect(locks()).toEqual([])
})

test('a lock is not taken from its owner, and a process id that came round again is not its owner', async () => {
  const order: string[] = []
  let release = (): void => {}
  const first = withLock('build', async () => {
    await new Promise<void>((resolve) => (release = resolve))
    order.push('first')
  })
  const second = withLock('build', () => Promise.resolve(order.push('second')))
  // Our own process id with another start: the owner of this one is gone.
  const stale = join(root, 'connector-hub', 'other.lock')
  mkdirSync(stale)
  writeFileSync(join(stale, `${process.pid}-0`), '')
  await withLock('other', () => Promise.resolve(order.push('other')))
  release()
  await Promise.all([first, second])
  expect(order).toEqual(['other', 'first', 'second'])
})
