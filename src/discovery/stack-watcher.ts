// Watches stack files on disk and keeps the last good reading of all of them. Parses nothing itself; used by `dev`, and by
// `run` without a gateway to list.

import { watch, type FSWatcher } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'

import { HubError, errorText } from '../sdk/index.ts'
import type { Clock, ClockTimer } from '../sdk/index.ts'
import type { Finding } from './finding.ts'
import {
  sameAnnotations,
  type DiscoveryEvents,
  type DiscoveryStatus,
  type FunctionInfo,
  type FunctionWatcher,
  type Snapshot,
} from './function.ts'
import { LastGood } from './last-good.ts'
import { readStackFile, type StackFileOptions, type StackFunction } from './stack-file.ts'

export interface StackWatcherOptions extends StackFileOptions {
  readonly paths: readonly string[]
  readonly clock: Clock
  readonly events: DiscoveryEvents
  /** Quiet time after a change before the files are read: editors write in several steps. Default 100 ms. */
  readonly debounceMs?: number
}

export interface StackSnapshot extends Snapshot {
  readonly functions: readonly StackFunction[]
}

const DEBOUNCE_MS = 100
/** A file or directory that cannot be read or watched is looked at again this often. */
const RETRY_MS = 2000
/** A mounted ConfigMap changes by swapping this link, and its files are links through it. */
const KUBERNETES_LINK = '..data'

export class StackWatcher implements FunctionWatcher {
  readonly #options: StackWatcherOptions
  readonly #lastGood: LastGood
  /** By directory: files are replaced by renaming, which a watch on the file itself would lose. */
  readonly #watches = new Map<string, { readonly watcher: FSWatcher; names: ReadonlySet<string> }>()
  #files: readonly string[]
  #timer: ClockTimer | undefined
  #onSnapshot: ((snapshot: StackSnapshot) => void) | undefined
  #closed = false

  constructor(options: StackWatcherOptions) {
    this.#options = options
    this.#lastGood = new LastGood(options.clock, options.events)
    this.#files = options.paths.map((path) => resolve(path))
  }

  /** Reads at once, before it returns. @throws Error when started twice */
  start(onSnapshot: (snapshot: StackSnapshot) => void): void {
    if (this.#onSnapshot !== undefined) throw new Error('a watcher is started once')
    this.#onSnapshot = onSnapshot
    this.#read()
  }

  status(): DiscoveryStatus {
    return this.#lastGood.status()
  }

  close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    this.#unwatchAll()
    return Promise.resolve()
  }

  #unwatchAll(): void {
    for (const { watcher } of this.#watches.values()) watcher.close()
    this.#watches.clear()
  }

  #read(): void {
    // Watched before read, so that no change falls between the two.
    const allWatched = this.#watch()
    let isRead = false
    try {
      const stacks = this.#options.paths.map((path) => readStackFile(path, this.#options))
      this.#files = stacks.flatMap(({ files }) => files)
      const { functions, findings } = this.#merge(stacks)
      this.#lastGood.accept(functions, findings, this.#onSnapshot as (snapshot: Snapshot) => void)
      isRead = true
    } catch (error) {
      this.#lastGood.fail(error)
      // The directory may be another one by now, and a watch stays with the old one.
      this.#unwatchAll()
    }
    // Included files are known only now.
    if (!(this.#watch() && allWatched && isRead)) this.#schedule(RETRY_MS)
  }

  #merge(stacks: readonly { readonly functions: readonly StackFunction[]; readonly findings: readonly Finding[] }[]): {
    readonly functions: readonly FunctionInfo[]
    readonly findings: readonly Finding[]
  } {
    const last = new Map(this.#lastGood.functions?.map((info) => [info.fullName, info]))
    const functions = new Map<string, FunctionInfo>()
    const findings = stacks.flatMap((stack) => stack.findings)
    for (const info of stacks.flatMap((stack) => stack.functions)) {
      const { fullName } = info
      const before = last.get(fullName) as StackFunction | undefined
      if (!functions.has(fullName))
        functions.set(fullName, before !== undefined && sameFunction(before, info) ? before : info)
      else findings.push(twice(info))
    }
    return { functions: [...functions.values()], findings }
  }

  /** @returns false when a directory could not be watched */
  #watch(): boolean {
    const wanted = Map.groupBy(this.#files, (file) => dirname(file))
    for (const [directory, { watcher }] of this.#watches) {
      if (wanted.has(directory)) continue
      watcher.close()
      this.#watches.delete(directory)
    }
    let complete = true
    for (const [directory, files] of wanted) {
      const names = new Set(files.map((file) => basename(file)))
      const current = this.#watches.get(directory)
      if (current !== undefined) current.names = names
      else complete = this.#watchDirectory(directory, names) && complete
    }
    return complete
  }

  #watchDirectory(directory: string, names: ReadonlySet<string>): boolean {
    try {
      const watcher = watch(directory)
      watcher.on('change', (_kind, name) => {
        const watched = this.#watches.get(directory)?.names
        const concerns = name === null || name === KUBERNETES_LINK || watched?.has(String(name)) === true
        if (concerns) this.#schedule(this.#options.debounceMs ?? DEBOUNCE_MS)
      })
      watcher.on('error', (error) => this.#unwatched(directory, error))
      this.#watches.set(directory, { watcher, names })
      return true
    } catch (error) {
      this.#unwatched(directory, error)
      return false
    }
  }

  #unwatched(directory: string, error: unknown): void {
    this.#watches.get(directory)?.watcher.close()
    this.#watches.delete(directory)
    this.#lastGood.fail(
      new HubError('HUB_CONFIG_UNREADABLE', `${directory} cannot be watched: ${errorText(error)}`, {
        cause: error,
        canRetry: true,
      }),
    )
    this.#schedule(RETRY_MS)
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return
    this.#timer?.cancel()
    this.#timer = this.#options.clock.after(delayMs, () => this.#read())
  }
}

/** Positions count too, because findings carry them. */
function sameFunction(left: StackFunction, right: StackFunction): boolean {
  const { annotations: leftAnnotations, positions: leftPositions, ...leftRest } = left
  const { annotations: rightAnnotations, positions: rightPositions, ...rightRest } = right
  return (
    sameAnnotations(leftAnnotations, rightAnnotations) &&
    JSON.stringify(leftRest) === JSON.stringify(rightRest) &&
    JSON.stringify([...leftPositions]) === JSON.stringify([...rightPositions])
  )
}

function twice({ fullName, positions }: StackFunction): Finding {
  const position = positions.get('')
  return {
    level: 'error',
    code: 'HUB_CONFIG_INVALID',
    function: fullName,
    annotation: '',
    message: `${fullName} stands in more than one stack file; the first one counts`,
    hint: 'Rename one of them, or give it another namespace.',
    ...(position === undefined ? {} : { position }),
  }
}
