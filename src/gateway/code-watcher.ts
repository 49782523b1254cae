// Watches the folder of a function for changed code, however an editor writes it. Restarts nothing itself: whoever runs the
// function does.

import { readdirSync, statSync, watch } from 'node:fs'
import type { Dirent, FSWatcher } from 'node:fs'
import { extname, join } from 'node:path'

import { errorText } from '../sdk/index.ts'
import type { Clock, ClockTimer } from '../sdk/index.ts'

export interface CodeWatcherOptions {
  /** Absolute. */
  readonly folder: string
  readonly clock: Clock
  /** Once it is quiet again: what is new, changed or gone, as paths below the folder. */
  readonly onChange: (files: readonly string[]) => void
  /** What is not watched as it should be; each thing once. */
  readonly onProblem: (text: string) => void
  /** Quiet time after a change: editors write in several steps. Default 100 ms. */
  readonly debounceMs?: number
}

const DEBOUNCE_MS = 100
/** What cannot be watched is looked at this often instead. */
const LOOK_MS = 2000
const FOLDERS_MAX = 100
const FILES_MAX = 1000
/** Of others, and often large. */
const FOREIGN_FOLDERS = new Set(['node_modules', '__pycache__', 'venv'])
/**
 * Code and what is loaded like code; also files without any ending, such as programs. Not data: a function that keeps its
 * own in its folder would be started again by each call.
 */
const CODE = new Set([
  '', '.js', '.mjs', '.cjs', '.ts', '.mts', '.cts', '.json', '.node', '.wasm', '.py', '.pl', '.php', '.rb', '.lua', '.sh',
]) // prettier-ignore

interface WatchedFolder {
  readonly watcher: FSWatcher
  /** Of the folder: another one of the same name is watched anew. */
  readonly inode: number
}

export class CodeWatcher implements Disposable {
  readonly #options: CodeWatcherOptions
  /** By path below the folder, '' for itself. */
  readonly #watched = new Map<string, WatchedFolder>()
  readonly #problems = new Set<string>()
  /** What tells two states of a file apart, by path below the folder. */
  #files: ReadonlyMap<string, string>
  #timer: ClockTimer | undefined
  #isComplete = true
  #isClosed = false

  /** Watches at once. */
  constructor(options: CodeWatcherOptions) {
    this.#options = options
    this.#files = this.#look() ?? new Map()
    if (!this.#isComplete) this.#schedule(LOOK_MS)
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    this.#isClosed = true
    this.#timer?.cancel()
    for (const name of this.#watched.keys()) this.#unwatch(name)
  }

  #schedule(delayMs: number): void {
    if (this.#isClosed) return
    this.#timer?.cancel()
    this.#timer = this.#options.clock.after(delayMs, () => this.#compare())
  }

  #compare(): void {
    const before = this.#files
    const files = this.#look()
    if (!this.#isComplete) this.#schedule(LOOK_MS)
    // A folder that is not there is being replaced: what runs of it runs on.
    if (files === undefined) return
    this.#files = files
    const names = new Set([...before.keys(), ...files.keys()])
    const changed = [...names].filter((name) => before.get(name) !== files.get(name)).toSorted()
    if (changed.length > 0) this.#options.onChange(changed)
  }

  /** Watches every folder before it reads it, so that no change falls between the two. Undefined when there is none. */
  #look(): ReadonlyMap<string, string> | undefined {
    const files = new Map<string, string>()
    const folders = ['']
    this.#isComplete = true
    for (let next = 0; next < folders.length; next += 1) {
      const name = folders[next] as string
      const entries = this.#entries(name)
      if (entries === undefined && name === '') return undefined
      for (const entry of entries ?? []) {
        const path = join(name, entry.name)
        if (entry.isDirectory() ? isForeign(entry.name) : !isCode(entry.name)) continue
        if (!entry.isDirectory()) this.#add(path, files)
        else if (folders.length < FOLDERS_MAX) folders.push(path)
        else this.#problem(`has more than ${FOLDERS_MAX} folders, and the rest is not watched`)
      }
    }
    for (const name of this.#watched.keys()) if (!folders.includes(name)) this.#unwatch(name)
    return files
  }

  #add(path: string, files: Map<string, string>): void {
    if (files.size >= FILES_MAX) {
      this.#problem(`has more than ${FILES_MAX} files of code, and the rest is not watched`)
      return
    }
    try {
      const stats = statSync(join(this.#options.folder, path))
      // Links to folders are not followed: they may lead in circles.
      if (stats.isFile()) files.set(path, `${stats.mtimeMs} ${stats.size} ${stats.ino}`)
    } catch {
      // Gone since it was listed, or a link to nowhere: it is not there.
    }
  }

  #entries(name: string): readonly Dirent[] | undefined {
    try {
      this.#watch(name)
      return readdirSync(join(this.#options.folder, name), { withFileTypes: true })
    } catch (error) {
      this.#unwatch(name)
      this.#isComplete = false
      if (name === '') this.#problem(`cannot be read: ${errorText(error)}`)
      return undefined
    }
  }

  /** @throws when there is no such folder */
  #watch(name: string): void {
    const path = join(this.#options.folder, name)
    const { ino: inode } = statSync(path)
    if (this.#watched.get(name)?.inode === inode) return
    this.#unwatch(name)
    try {
      const watcher = watch(path)
      watcher.on('change', (_kind, file) => {
        if (file === null || isCode(String(file))) this.#schedule(this.#options.debounceMs ?? DEBOUNCE_MS)
      })
      watcher.on('error', () => {
        this.#unwatch(name)
        this.#schedule(LOOK_MS)
      })
      this.#watched.set(name, { watcher, inode })
    } catch (error) {
      // As many watches as the system allows are in use: the folder is compared from time to time.
      this.#isComplete = false
      this.#problem(`cannot be watched, and is looked at every ${LOOK_MS / 1000} s: ${errorText(error)}`)
    }
  }

  #unwatch(name: string): void {
    this.#watched.get(name)?.watcher.close()
    this.#watched.delete(name)
  }

  #problem(what: string): void {
    if (this.#problems.has(what)) return
    this.#problems.add(what)
    this.#options.onProblem(`${this.#options.folder} ${what}`)
  }
}

function isForeign(name: string): boolean {
  return name.startsWith('.') || FOREIGN_FOLDERS.has(name)
}

/** Also true of most names of folders: what happens to one is looked at. */
function isCode(name: string): boolean {
  return !name.startsWith('.') && !name.endsWith('~') && CODE.has(extname(name).toLowerCase())
}
