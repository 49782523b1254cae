import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describe, expect, test, vi } from 'vitest'

import { StackWatcher } from '../../src/discovery/index.ts'
import type { Snapshot } from '../../src/discovery/index.ts'
import { ManualClock } from '../../src/sdk/index.ts'
import { RecordedEvents } from './fixtures.ts'

const DEBOUNCE_MS = 100

class Watching implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'stack-'))
  readonly clock = new ManualClock()
  readonly events = new RecordedEvents()
  readonly snapshots: Snapshot[] = []
  readonly watcher: StackWatcher

  constructor(...names: readonly string[]) {
    const paths = names.map((name) => join(this.directory, name))
    this.watcher = new StackWatcher({ paths, clock: this.clock, events: this.events, debounceMs: DEBOUNCE_MS, env: {} })
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.directory, name), text)
  }

  start(): void {
    this.watcher.start((snapshot) => this.snapshots.push(snapshot))
  }

  /** Moves the clock on, each time the file system has spoken, until the condition holds. */
  until(condition: () => boolean): Promise<void> {
    return vi.waitFor(
      async () => {
        await this.clock.advance(DEBOUNCE_MS)
        if (!condition()) throw new Error(`not yet: ${JSON.stringify(this.watcher.status())}`)
      },
      { timeout: 10_000, interval: 5 },
    )
  }

  get names(): string[] | undefined {
    return this.snapshots.at(-1)?.functions.map(({ fullName }) => fullName)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.watcher.close()
    rmSync(this.directory, { recursive: true })
  }
}

const stack = (...names: readonly string[]): string =>
  `functions:\n${names.map((name) => `  ${name}: { image: x }\n`).join('')}`

describe('a stack watcher', () => {
  test('reads at the start, and again when a file changes or is replaced', async () => {
    await using watching = new Watching('stack.yaml')
    watching.write('stack.yaml', stack('a'))
    watching.start()
    expect(watching.names).toEqual(['a'])
    watching.write('stack.yaml', stack('a', 'b'))
    await watching.until(() => watching.names?.length === 2)
    const [first, second] = watching.snapshots
    expect(second?.functions[0]).toBe(first?.functions[0])
    watching.write('stack.yaml.tmp', stack('c'))
    renameSync(join(watching.directory, 'stack.yaml.tmp'), join(watching.directory, 'stack.yaml'))
    await watching.until(() => watching.names?.[0] === 'c')
    expect(watching.events.failures).toEqual([])
  })

  test('keeps the last good reading while a file is broken', async () => {
    await using watching = new Watching('stack.yaml')
    watching.write('stack.yaml', stack('a'))
    watching.start()
    watching.write('stack.yaml', 'functions: [')
    await watching.until(() => watching.watcher.status().problem !== undefined)
    expect(watching.watcher.status().problem).toMatch(/^HUB_CONFIG_UNREADABLE: .*stack\.yaml:1:\d+: /)
    expect(watching.watcher.status().functions).toBe(1)
    expect(watching.names).toEqual(['a'])
    watching.write('stack.yaml', stack('b'))
    await watching.until(() => watching.names?.[0] === 'b')
    expect(watching.watcher.status().problem).toBeUndefined()
    expect(watching.events.recoveries).toBe(1)
  })

  test('finds a file that comes late', async () => {
    await using watching = new Watching('stack.yaml')
    watching.start()
    expect(watching.watcher.status()).toMatchObject({ lastGoodAtMs: undefined, functions: 0 })
    expect(watching.watcher.status().problem).toContain('no such file')
    watching.write('stack.yaml', stack('a'))
    await watching.until(() => watching.names?.[0] === 'a')
  })

  test('follows a mounted ConfigMap, whose files change by swapping a link', async () => {
    await using watching = new Watching('stack.yaml')
    const swap = (version: string, names: string[]): void => {
      mkdirSync(join(watching.directory, version))
      watching.write(`${version}/stack.yaml`, stack(...names))
      symlinkSync(version, join(watching.directory, '..data_tmp'))
      renameSync(join(watching.directory, '..data_tmp'), join(watching.directory, '..data'))
    }
    swap('..v1', ['a'])
    symlinkSync('..data/stack.yaml', join(watching.directory, 'stack.yaml'))
    watching.start()
    expect(watching.names).toEqual(['a'])
    swap('..v2', ['b'])
    await watching.until(() => watching.names?.[0] === 'b')
  })

  test('finds its directory again after it was removed and made anew', async () => {
    await using watching = new Watching('sub/stack.yaml')
    mkdirSync(join(watching.directory, 'sub'))
    watching.write('sub/stack.yaml', stack('a'))
    watching.start()
    rmSync(join(watching.directory, 'sub'), { recursive: true })
    await watching.until(() => watching.watcher.status().problem !== undefined)
    mkdirSync(join(watching.directory, 'sub'))
    watching.write('sub/stack.yaml', stack('b'))
    await watching.until(() => watching.names?.[0] === 'b')
    watching.write('sub/stack.yaml', stack('c'))
    await watching.until(() => watching.names?.[0] === 'c')
    expect(watching.watcher.status()).toMatchObject({ problem: undefined, functions: 1 })
  })

  test('joins several files, watches what they include, and names what is in both', async () => {
    await using watching = new Watching('one.yaml', 'two.yaml')
    watching.write('env.yaml', 'environment: { x: first }\n')
    watching.write('one.yaml', 'functions:\n  a:\n    environment_file: [env.yaml]\n')
    watching.write('two.yaml', stack('b', 'a'))
    watching.start()
    expect(watching.names).toEqual(['a', 'b'])
    expect(watching.snapshots[0]?.findings).toMatchObject([{ level: 'error', function: 'a', position: { line: 3 } }])
    watching.write('env.yaml', 'environment: { x: second }\n')
    await watching.until(() => watching.snapshots.length > 1)
    expect(watching.snapshots[1]?.functions[0]).toMatchObject({ environment: { x: 'second' } })
  })

  test('is silent when nothing that matters changed', async () => {
    await using watching = new Watching('stack.yaml')
    watching.write('stack.yaml', stack('a'))
    watching.start()
    const readAtMs = watching.watcher.status().lastGoodAtMs
    watching.write('stack.yaml', `${stack('a')}# a comment\n`)
    await watching.until(() => watching.watcher.status().lastGoodAtMs !== readAtMs)
    expect(watching.snapshots).toHaveLength(1)
  })

  test('is closed twice, and then hears nothing', async () => {
    await using watching = new Watching('stack.yaml')
    watching.write('stack.yaml', stack('a'))
    watching.start()
    await watching.watcher.close()
    await watching.watcher.close()
    watching.write('stack.yaml', stack('b'))
    expect(watching.clock.pending).toBe(0)
    expect(watching.names).toEqual(['a'])
  })
})
