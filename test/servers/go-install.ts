// Builds one command with Go's own tool, for servers that are written in Go. Knows none of them; called by their set-ups.

import { mkdirSync, rmSync } from 'node:fs'
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
}

const PROBE_MS = 60_000

/**
 * Puts the command into `folder`, and leaves nothing else there.
 * @throws Error when the module proxy does not give the module, or the build fails or takes too long
 */
export async function goInstall(folder: string, { go, module, version, buildMs, progress }: GoCommand): Promise<void> {
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
  const argv = [go, 'install', '-modcacherw', '-trimpath', '-ldflags=-s -w', `${module}@${version}`] as const
  await runCommand({ ...command, argv: [...argv], timeoutMs: buildMs, doing })
  rmSync(caches, { recursive: true, force: true })
}
