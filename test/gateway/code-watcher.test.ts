// Real files, a clock that is moved by hand: what is written in which way, and what is told of it.

import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

import { describe, expect, test, vi } from 'vitest'

import { CodeWatcher } from '../../src/gateway/code-watcher.ts'
import { ManualClock } from '../../src/sdk/index.ts'

const DEBOUNCE_MS = 100
const LOOK_MS = 2000

class Watching implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'code-'))
  readonly folder = join(this.directory, 'handler')
  readonly clock = new ManualClock()
  readonly changes: (readonly string[])[] = []
  readonly problems: string[] = []
  readonly watcher: CodeWatcher

  constructor(files: Readonly<Record<string, string>>) {
    for (const [name, text] of Object.entries(files)) this.write(name, text)
    this.watcher = new CodeWatcher({
      folder: this.folder,
      clock: this.clock,
      onChange: (changed) => this.changes.push(changed),
      onProblem: (text) => this.problems.push(text),
      debounceMs: DEBOUNCE_MS,
    })
  }

  write(name: string, text: string): void {
    const path = join(this.folder, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }

  /** Moves the clock on, each time the file system has spoken, until something is told. */
  next(stepMs = DEBOUNCE_MS): Promise<readonly string[]> {
    return vi.waitFor(
      async () => {
        await this.clock.advance(stepMs)
        const changed = this.changes.shift()
        if (changed === undefined) throw new Error(`nothing was told; ${this.problems.join(', ')}`)
        return changed
      },
      { timeout: 30_000, interval: 5 },
    )
  }

  [Symbol.dispose](): void {
    this.watcher[Symbol.dispose]()
    rmSync(this.directory, { recursive: true })
  }
}

describe('a watcher of code', () => {
  test('tells what was written in place, written by renaming, added and removed', async () => {
    using watching = new Watching({ 'handler.js': '1', 'lib/words.js': '1' })
    watching.write('handler.js', '22')
    expect(await watching.next()).toEqual(['handler.js'])

    watching.write('handler.js.tmp', '333')
    renameSync(join(watching.folder, 'handler.js.tmp'), join(watching.folder, 'handler.js'))
    expect(await watching.next()).toEqual(['handler.js'])

    watching.write('lib/words.js', '22')
    expect(await watching.next()).toEqual(['lib/words.js'])

    watching.write('more/deep/handler.py', '1')
    expect(await watching.next()).toEqual(['more/deep/handler.py'])
    watching.write('more/deep/handler.py', '22')
    expect(await watching.next()).toEqual(['more/deep/handler.py'])

    rmSync(join(watching.folder, 'more'), { recursive: true })
    expect(await watching.next()).toEqual(['more/deep/handler.py'])
    expect(watching.problems).toEqual([])
  })

  test('tells several changes as one, and none of what is not code of the function', async () => {
    using watching = new Watching({ 'handler.js': '1' })
    watching.write('node_modules/left-pad/index.js', '1')
    watching.write('.git/hooks/check.js', '1')
    watching.write('__pycache__/handler.py', '1')
    watching.write('.handler.js.swp', '1')
    watching.write('handler.js~', '1')
    watching.write('data.sqlite', '1')
    watching.write('a.js', '1')
    watching.write('handler.js', '22')
    expect(await watching.next()).toEqual(['a.js', 'handler.js'])
    watching.write('node_modules/left-pad/index.js', '22')
    watching.write('data.sqlite', '22')
    watching.write('b.js', '1')
    expect(await watching.next()).toEqual(['b.js'])
    expect(watching.changes).toEqual([])
  })

  test('follows a folder that is replaced by another, and one that comes later', async () => {
    using watching = new Watching({ 'handler.js': '1' })
    mkdirSync(join(watching.directory, 'next'))
    writeFileSync(join(watching.directory, 'next/handler.js'), '22')
    renameSync(watching.folder, join(watching.directory, 'before'))
    renameSync(join(watching.directory, 'next'), watching.folder)
    expect(await watching.next()).toEqual(['handler.js'])
    watching.write('handler.js', '333')
    expect(await watching.next()).toEqual(['handler.js'])

    rmSync(watching.folder, { recursive: true })
    await vi.waitFor(async () => {
      await watching.clock.advance(DEBOUNCE_MS)
      expect(watching.problems).toEqual([expect.stringMatching(/handler cannot be read: .*ENOENT/)])
    })
    // What ran of it runs on: nothing is told before there is code again.
    expect(watching.changes).toEqual([])
    watching.write('handler.js', '4444')
    expect(await watching.next(LOOK_MS)).toEqual(['handler.js'])
  })

  test('has bounds, and says when it reaches one', async () => {
    const files = Array.from({ length: 1001 }, (_, index) => [`f${index}.js`, ''] as const)
    const folders = Array.from({ length: 120 }, (_, index) => [`d${index}/x.css`, ''] as const)
    using watching = new Watching(Object.fromEntries([...files, ...folders]))
    expect(watching.problems.map((text) => text.replace(/^\S+ /, '')).toSorted()).toEqual([
      'has more than 100 folders, and the rest is not watched',
      'has more than 1000 files of code, and the rest is not watched',
    ])
    watching.write('f0.js', '1')
    expect(await watching.next()).toEqual(['f0.js'])
  })

  test('does not follow links to folders, which may lead in circles, and is quiet once it is closed', async () => {
    using watching = new Watching({ 'handler.js': '1' })
    symlinkSync('.', join(watching.folder, 'circle'))
    watching.write('handler.js', '22')
    expect(await watching.next()).toEqual(['handler.js'])
    watching.watcher[Symbol.dispose]()
    expect(watching.clock.pending).toBe(0)
    watching.write('handler.js', '333')
    await watching.clock.advance(LOOK_MS)
    expect(watching.changes).toEqual([])
  })
})
