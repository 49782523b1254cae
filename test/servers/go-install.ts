// Builds one command with Go's own tool, for servers that are written in Go. Knows none of them; called by their set-ups.

import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { runCommand } from './provide.ts'
import type { Progress } from './provide.ts'

export interface GoCommand {
  /** The `go` to use. */
  readonly go: string
  readonly module: string
  /** With its `v`. */
  readonly version: string
  /** Far beyond what it takes on a small machine with other builds beside it. Milliseconds. */
  readonly buildMs: number
  readonly progress: Progress
  /** Go files to add to the module, by path: it is then built from a copy of its source. */
  readonly added?: Readonly<Record<string, string>>
}

const PROBE_MS = 60_000

/**
 * Puts the command into `folder`, and leaves nothing else there.
 * @throws Error when the module proxy does not give the module, or the build fails or takes too long
 */
export async function goInstall(folder: string, options: GoCommand): Promise<void> {
  const { go, module, version, buildMs, progress, added } = options
  // Caches of its own, since they grow to gigabytes and are of no use once it is built.
  const caches = join(folder, 'caches')
  mkdirSync(caches)
  const env = { GOBIN: folder, GOPATH: join(caches, 'path'), GOMODCACHE: join(caches, 'modules'), GOCACHE: join(caches, 'build'), CGO_ENABLED: '0' } // prettier-ignore
  const command = { folder: caches, env, progress }
  await runCommand({ ...command, argv: [go, 'list', '-m', `${module}@${version}`], timeoutMs: PROBE_MS }).catch(
    (error: unknown) => {
      throw new Error(`Go's module proxy does not give ${module} (GOPROXY, GOFLAGS): ${(error as Error).message}`, { cause: error }) // prettier-ignore
    },
  )
  const doing = `building ${module} ${version}`
  progress(doing)
  // Without -modcacherw the modules are read-only and cannot be removed.
  const flags = ['-modcacherw', '-trimpath', '-ldflags=-s -w']
  if (added === undefined) {
    await runCommand({ ...command, argv: [go, 'install', ...flags, `${module}@${version}`], timeoutMs: buildMs, doing })
  } else {
    const source = join(caches, 'source')
    await runCommand({ ...command, argv: [go, 'mod', 'download', '-modcacherw', `${module}@${version}`], timeoutMs: buildMs, doing }) // prettier-ignore
    cpSync(join(caches, 'modules', `${module}@${version}`), source, { recursive: true })
    for (const [path, text] of Object.entries(added)) writeFileSync(join(source, path), text)
    await runCommand({ ...command, folder: source, argv: [go, 'build', ...flags, '-o', folder, '.'], timeoutMs: buildMs, doing }) // prettier-ignore
  }
  rmSync(caches, { recursive: true, force: true })
}
