// Where a MinIO comes from: the cache, the PATH, a build by Go's own tool with one fault of it mended. Runs nothing that stays.

import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { cacheFolder, fillCache } from './cache.ts'
import { goInstall } from './go-install.ts'
import { findExecutable } from './process.ts'
import { ServerUnavailable } from './provide.ts'
import type { Progress, Provided } from './provide.ts'

const MODULE = 'github.com/minio/minio'
/** The last commit of the archived project. Such a build calls itself a development version, so its date stands for it. */
const VERSION = 'v0.0.0-20260212201848-7aac2a2c5b7c'
const RELEASE = '2026-02-12'
const CACHED = `${VERSION}-flush`
/**
 * That commit's listen API sends nothing before four kilobytes have come together: a writer was put around its answers that
 * cannot be flushed. Releases before and without that writer do not have the fault, so the tests mend it.
 */
const FLUSH = `package cmd

import "net/http"

func (w *trackingResponseWriter) Flush() {
	if flusher, ok := w.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}
`
const ADDED = { 'cmd/hub-test-flush.go': FLUSH }
/** The first whose listen API tests an idle connection with whole lines (`ping`). */
const RELEASE_MIN = '2023-05-04'
/** Five minutes on two idle processors, fourteen on two busy ones; 1.5 GB. */
const BUILD_MS = 2_700_000

export interface ProvidedMinio extends Provided {
  readonly path: string
}

/** What is there already. Fast; changes nothing. */
export function findMinio(): ProvidedMinio | undefined {
  const built = join(cacheFolder('minio', CACHED), 'minio')
  if (existsSync(built)) return { path: built, version: RELEASE, origin: 'cache, built with go, listen API mended' }
  const path = findExecutable('minio')
  const version = path === undefined ? undefined : releaseOf(path)
  // Dates in this form compare as text.
  if (path === undefined || version === undefined || version < RELEASE_MIN) return undefined
  return { path, version, origin: 'PATH' }
}

/**
 * What is there already, else a build. Takes five minutes and more.
 * @throws ServerUnavailable
 */
export async function setUpMinio(progress: Progress): Promise<ProvidedMinio> {
  const found = findMinio()
  if (found !== undefined) return found
  const go = findExecutable('go')
  if (go === undefined) throw new ServerUnavailable('no go to build MinIO')
  const command = { go, module: MODULE, version: VERSION, buildMs: BUILD_MS, progress, added: ADDED }
  try {
    const folder = await fillCache('minio', CACHED, (staging) => goInstall(staging, command))
    return { path: join(folder, 'minio'), version: RELEASE, origin: 'built with go, listen API mended' }
  } catch (error) {
    throw new ServerUnavailable(`MinIO: ${(error as Error).message}`, { cause: error })
  }
}

function releaseOf(path: string): string | undefined {
  try {
    return /RELEASE\.(\d{4}-\d\d-\d\d)/.exec(execFileSync(path, ['--version'], { encoding: 'utf8' }))?.[1]
  } catch {
    return undefined // not one that runs
  }
}
