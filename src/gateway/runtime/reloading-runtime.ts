// Hot reload of one replica: when the code in its folder changes, a process with the new code is started beside it and takes
// over once it has loaded; running calls end where they began. Code that does not load changes nothing.

import type { Clock } from '../../sdk/index.ts'
import { CodeWatcher } from '../code-watcher.ts'
import type { RuntimeSpec } from '../function-spec.ts'
import { startRuntime } from './start.ts'
import type { StartOptions } from './start.ts'
import type { FunctionRuntime, InstanceLog, RuntimeAnswer, RuntimeRequest } from './runtime.ts'

export interface ReloadingOptions {
  /** Of the code; absolute. */
  readonly folder: string
  readonly start: (log: InstanceLog) => FunctionRuntime
  readonly clock: Clock
  readonly log: InstanceLog
}

/** One state of the code, and the calls it has taken. */
interface Generation {
  readonly runtime: FunctionRuntime
  inFlight: number
  isRetired: boolean
}

const FILES_NAMED_MAX = 3

/** As `startRuntime`, with hot reload where code stays loaded between calls. */
export function startReloading(options: StartOptions & { readonly clock: Clock }): FunctionRuntime {
  const { spec, clock, log } = options
  const folder = loadedFrom(spec.runtime)
  if (folder === undefined) return startRuntime(options)
  return new ReloadingRuntime({ folder, clock, log, start: (own) => startRuntime({ ...options, log: own }) })
}

/** Undefined: each call finds what is there at its time. */
function loadedFrom(runtime: RuntimeSpec): string | undefined {
  if (runtime.kind === 'node' || runtime.kind === 'python') return runtime.handler
  return runtime.kind === 'server' ? runtime.directory : undefined
}

export class ReloadingRuntime implements FunctionRuntime {
  readonly #options: ReloadingOptions
  readonly #watcher: CodeWatcher
  /** Those with calls in flight, the current one, and one that is being tried. */
  readonly #generations = new Set<Generation>()
  #current: Generation
  #reloading: Promise<void> | undefined
  /** Changed while a reload was under way. */
  #waiting = new Set<string>()
  #isClosed = false

  constructor(options: ReloadingOptions) {
    this.#options = options
    const { folder, clock, log } = options
    this.#current = this.#begin(log)
    this.#watcher = new CodeWatcher({
      folder,
      clock,
      onChange: (files) => this.#changed(files),
      onProblem: (text) => log.lifecycle(`hot reload: ${text}`),
    })
  }

  get ready(): boolean {
    return this.#current.runtime.ready
  }

  get pids(): readonly number[] {
    return [...this.#generations].flatMap(({ runtime }) => runtime.pids ?? [])
  }

  async warm(): Promise<boolean> {
    return await this.#current.runtime.warm()
  }

  async call(request: RuntimeRequest): Promise<RuntimeAnswer> {
    const generation = this.#current
    generation.inFlight += 1
    try {
      const answer = await generation.runtime.call(request)
      const last = answer.socket ?? answer.body
      if (last instanceof Uint8Array) this.#leave(generation)
      else last.once('close', () => this.#leave(generation))
      return answer
    } catch (error) {
      this.#leave(generation)
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#watcher[Symbol.dispose]()
    await Promise.all([...this.#generations].map((generation) => this.#end(generation)))
    await this.#reloading
  }

  #begin(log: InstanceLog): Generation {
    const generation: Generation = { runtime: this.#options.start(log), inFlight: 0, isRetired: false }
    this.#generations.add(generation)
    return generation
  }

  #leave(generation: Generation): void {
    generation.inFlight -= 1
    if (generation.isRetired && generation.inFlight === 0) void this.#end(generation)
  }

  async #end(generation: Generation): Promise<void> {
    this.#generations.delete(generation)
    await generation.runtime[Symbol.asyncDispose]()
  }

  #changed(files: readonly string[]): void {
    for (const file of files) this.#waiting.add(file)
    this.#reloading ??= this.#reloadAll().finally(() => (this.#reloading = undefined))
  }

  async #reloadAll(): Promise<void> {
    while (this.#waiting.size > 0 && !this.#isClosed) {
      const files = namesOf(this.#waiting)
      this.#waiting = new Set()
      await this.#reload(files)
    }
  }

  /** Never rejects. */
  async #reload(files: string): Promise<void> {
    const { log } = this.#options
    // Of a trial that fails, what it prints says why; that the next call would start it again is not true of it.
    let held: string[] | undefined = []
    const next = this.#begin({
      output: (line) => log.output(line),
      watchdog: (line) => log.watchdog(line),
      lifecycle: (line) => (held === undefined ? log.lifecycle(line) : held.push(line)),
    })
    const isLoaded = await next.runtime.warm()
    if (this.#isClosed) return
    if (!isLoaded) {
      log.lifecycle(`${files} changed and does not load: the code from before runs on`)
      await this.#end(next)
      return
    }
    for (const line of held) log.lifecycle(line)
    held = undefined
    log.lifecycle(`${files} changed: the new code runs`)
    const before = this.#current
    this.#current = next
    before.isRetired = true
    if (before.inFlight === 0) await this.#end(before)
  }
}

function namesOf(files: ReadonlySet<string>): string {
  const names = [...files].toSorted()
  const rest = names.length - FILES_NAMED_MAX
  return rest > 0 ? `${names.slice(0, FILES_NAMED_MAX).join(', ')} and ${rest} more` : names.join(', ')
}
