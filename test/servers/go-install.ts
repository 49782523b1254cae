// Builds one command with Go's own tool, for servers and programs that are written in Go. Knows none of them; called by their
// set-ups.

import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { withLock } from './cache.ts'
import { runCommand } from './provide.ts'
import type { Progress } from './provide.ts'

export interface GoCommand {
  /** The `go` to use. */
  readonly go: string
  readonly module: string
  /** Of the command in the module, such as `cmd/tool`; without: the module itself is the command. */
  readonly path?: string
  /** With its `v`. */
  readonly version: string
  /** Far beyond what it takes on a small machine with other builds beside it. Milliseconds. */
  readonly buildMs: number
  readonly progress: Progress
  /** More flags of `go build`. */
  readonly flags?: readonly string[]
  /** Go files to add to the module, by path. */
  readonly added?: Readonly<Record<string, string>> | undefined
  /**
   * `h1:…` of the module, compared here, for a version that the module proxy has and the public checksum database has not.
   * Without: the database says. The modules it needs are always those of its own `go.sum`, or of the database.
   */
  readonly sum?: string | undefined
}

const PROBE_MS = 60_000
/** Else modules are read-only and cannot be removed. */
const WRITABLE = '-modcacherw'

/**
 * Puts the command into `folder`, and leaves nothing else there.
 * @throws Error when the module proxy does not give the module, or the build fails or takes too long
 */
export async function goInstall(folder: string, options: GoCommand): Promise<void> {
  // One after the other: together they take no less time, and several gigabytes of memory.
  await withLock('go-build', () => build(folder, options))
}

async function build(folder: string, options: GoCommand): Promise<void> {
  const { go, module, path = '', version, buildMs, progress, flags = [], added = {}, sum } = options
  // Caches of its own, since they grow to gigabytes and are of no use once it is built.
  const caches = join(folder, 'caches')
  mkdirSync(caches)
  const env = { GOPATH: join(caches, 'path'), GOMODCACHE: join(caches, 'modules'), GOCACHE: join(caches, 'build'), CGO_ENABLED: '0', ...(sum === undefined ? {} : { GONOSUMDB: module }) } // prettier-ignore
  const command = { folder: caches, env, progress }
  await runCommand({ ...command, argv: [go, 'list', '-m', `${module}@${version}`], timeoutMs: PROBE_MS }).catch(
    (error: unknown) => {
      throw new Error(`Go's module proxy does not give ${module} (GOPROXY, GOFLAGS): ${(error as Error).message}`, { cause: error }) // prettier-ignore
    },
  )
  const doing = `building ${module} ${version}`
  progress(doing)
  const source = join(caches, 'source')
  // Not `go install`, which asks for the list of all versions first: not every mirror gives that.
  const download = [go, 'mod', 'download', '-json', WRITABLE, `${module}@${version}`] as const
  const downloaded = await runCommand({ ...command, argv: download, timeoutMs: buildMs, doing })
  if (sum !== undefined) compareSums(`${module} ${version}`, sum, downloaded)
  cpSync(join(caches, 'modules', `${module}@${version}`), source, { recursive: true })
  for (const [file, text] of Object.entries(added)) {
    mkdirSync(dirname(join(source, file)), { recursive: true })
    writeFileSync(join(source, file), text)
  }
  const argv = [go, 'build', WRITABLE, '-trimpath', '-ldflags=-s -w', ...flags, '-o', folder, `./${path}`] as const
  await runCommand({ ...command, folder: source, argv, timeoutMs: buildMs, doing }) // prettier-ignore
  rmSync(caches, { recursive: true, force: true })
}

/** @param downloaded what Go says about the download, with the hash it has computed of it */
function compareSums(what: string, sum: string, downloaded: string): void {
  const got = /"Sum": "(h1:[^"]+)"/.exec(downloaded)?.[1]
  if (got !== sum) throw new Error(`${what} is not what it was: its checksum is ${got ?? 'missing'}, not ${sum}`)
}
