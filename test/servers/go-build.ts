// Builds several commands at once with Go's own tool, those that a module of ours requires: what they share is compiled once.
// Knows none of them; called by their set-up. For one command that is a module of its own see go-install.ts.

import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { withLock } from './cache.ts'
import { runCommand } from './provide.ts'
import type { Progress } from './provide.ts'

export interface GoCommands {
  readonly go: string
  /** Folder with `go.mod` and `go.sum`, which pin everything. Nothing is written there. */
  readonly module: string
  /** Packages of commands that it requires. */
  readonly packages: readonly [string, ...string[]]
  /** For people. */
  readonly what: string
  /** Each for the downloads and for the build; far beyond what they take on a small machine. Milliseconds. */
  readonly limitMs: number
  readonly progress: Progress
  readonly linkerFlags: string
  /** More flags of `go build`. */
  readonly flags: readonly string[]
}

/** Else modules are read-only and cannot be removed. */
const WRITABLE = '-modcacherw'

/**
 * Puts the commands into `folder`, each under the name that Go gives it, and leaves nothing else there.
 * @throws Error when a module is missing or is not what was pinned, or the build fails or takes too long
 */
export async function goBuild(folder: string, options: GoCommands): Promise<void> {
  // One build after the other: together they take no less time, and several gigabytes of memory.
  await withLock('go-build', () => build(folder, options))
}

async function build(folder: string, options: GoCommands): Promise<void> {
  const { go, module, packages, what, limitMs, progress, linkerFlags, flags } = options
  // Caches of its own, since they grow to gigabytes and are of no use once it is built.
  const caches = join(folder, 'caches')
  mkdirSync(caches)
  const own = {
    GOWORK: 'off',
    GOPATH: join(caches, 'path'),
    GOMODCACHE: join(caches, 'modules'),
    GOCACHE: join(caches, 'build'),
  }
  const common = { folder: module, env: { ...own, CGO_ENABLED: '0' }, timeoutMs: limitMs, progress }
  // By itself, so that people can tell a slow download from a slow build.
  await step(`downloading ${what}`, [go, 'list', WRITABLE, '-deps', ...packages])
  await step(`building ${what}`, [go, 'build', WRITABLE, '-trimpath', `-ldflags=-s -w ${linkerFlags}`, ...flags, '-o', `${folder}/`, ...packages]) // prettier-ignore
  rmSync(caches, { recursive: true, force: true })

  async function step(doing: string, argv: readonly [string, ...string[]]): Promise<void> {
    progress(doing)
    await runCommand({ ...common, argv, doing })
  }
}
