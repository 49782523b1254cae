// Where a nats-server comes from: the cache, the PATH, a build by Go's own tool, a Debian package. Runs nothing that stays.

import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { cacheFolder, fillCache } from './cache.ts'
import { provideExecutable } from './debian-package.ts'
import { goInstall } from './go-install.ts'
import { findExecutable } from './process.ts'
import { isAtLeast, ServerUnavailable } from './provide.ts'
import type { Progress, Provided } from './provide.ts'

const MODULE = 'github.com/nats-io/nats-server/v2'
const VERSION = '2.15.2'
/** The first with several filter subjects a consumer, and with consumer metadata. */
const VERSION_MIN = '2.10.4'

export interface ProvidedNats extends Provided {
  readonly path: string
}

/** What is there already. Fast; changes nothing. */
export function findNats(): ProvidedNats | undefined {
  const built = join(cacheFolder('nats', VERSION), 'nats-server')
  if (existsSync(built)) return { path: built, version: VERSION, origin: 'cache, built with go install' }
  const path = findExecutable('nats-server')
  if (path === undefined) return undefined
  const version = versionOf(path)
  return isAtLeast(version, VERSION_MIN) ? { path, version, origin: 'PATH' } : undefined
}

/**
 * What is there already, else a build, else the package where there is no Go. Takes a minute or two.
 * @throws ServerUnavailable
 */
export async function setUpNats(progress: Progress): Promise<ProvidedNats> {
  const found = findNats()
  if (found !== undefined) return found
  const go = findExecutable('go')
  if (go === undefined) return packaged()
  try {
    const command = { go, module: MODULE, version: `v${VERSION}`, buildMs: BUILD_MS, progress }
    const folder = await fillCache('nats', VERSION, (staging) => goInstall(staging, command))
    return { path: join(folder, 'nats-server'), version: VERSION, origin: 'built with go install' }
  } catch (error) {
    throw new ServerUnavailable(`nats-server: ${(error as Error).message}`, { cause: error })
  }
}

const BUILD_MS = 900_000

function packaged(): ProvidedNats {
  const found = provideExecutable('nats-server', 'nats-server')
  if (found.path === undefined) throw new ServerUnavailable(`no go to build nats-server; ${found.reason}`)
  const version = versionOf(found.path)
  if (isAtLeast(version, VERSION_MIN)) return { path: found.path, version, origin: 'Debian package' }
  throw new ServerUnavailable(`no go to build nats-server, and the package's ${version} is older than ${VERSION_MIN}`)
}

function versionOf(path: string): string {
  try {
    return /v(\d+\.\d+\.\d+)/.exec(execFileSync(path, ['--version'], { encoding: 'utf8' }))?.[1] ?? '0'
  } catch {
    return '0' // not one that runs
  }
}
