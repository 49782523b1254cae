// The files of secrets beside stack files, `.secrets/<name>`, where faas-cli local-run has them: which there is, and when one
// has changed. Shows no value to anybody. Used by stack-deployment.ts.

import { existsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

import type { Clock, ClockTimer } from '../sdk/index.ts'

/** Looked at, not watched: neither the folder nor the file need be there, and there are few. */
const LOOK_MS = 1000

export class SecretFiles implements Disposable {
  readonly #folders: readonly string[]
  readonly #clock: Clock
  /** What tells two states of a file apart, by its path: of every one that was asked for. */
  readonly #seen = new Map<string, string>()
  #timer: ClockTimer | undefined

  /** @param stacks paths of stack files */
  constructor(stacks: readonly string[], clock: Clock) {
    this.#folders = [...new Set(stacks.map((path) => join(dirname(resolve(path)), '.secrets')))]
    this.#clock = clock
  }

  /** Its file, in the first folder that has one. @param name of a secret, valid */
  find(name: string): string | undefined {
    // Before it is read, so that no change falls between the two.
    for (const path of this.#pathsOf(name)) this.#seen.set(path, stateOf(path))
    return this.#pathsOf(name).find((path) => existsSync(path))
  }

  /** Where it would be found. */
  placeOf(name: string): string {
    return this.#pathsOf(name)[0] as string
  }

  /** Once for each look that finds new, changed or missing files among those that were asked for. */
  follow(onChange: () => void): void {
    this.#timer = this.#clock.after(LOOK_MS, () => {
      const changed = [...this.#seen].filter(([path, state]) => state !== stateOf(path))
      for (const [path] of changed) this.#seen.set(path, stateOf(path))
      if (changed.length > 0) onChange()
      this.follow(onChange)
    })
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    this.#timer?.cancel()
  }

  #pathsOf(name: string): readonly string[] {
    return this.#folders.map((folder) => join(folder, name))
  }
}

/** Never throws: what cannot be looked at, such as a link to itself, is missing. */
function stateOf(path: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(path)
    return `${mtimeMs} ${size} ${ino}`
  } catch {
    return ''
  }
}
