// Prometheus' promtool, which checks rules and what is scraped: from the PATH, else out of Debian's prometheus package without
// installing that, so that no service starts and root is not needed. Tests that need it: `noProgram('promtool')`.

import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { cacheFolder, fillCache } from '../servers/cache.ts'
import { findExecutable } from '../servers/process.ts'
import { isAtLeast, runCommand, ServerUnavailable } from '../servers/provide.ts'
import type { Progress } from '../servers/provide.ts'
import type { Program, Provide } from './program.ts'

/** `keep_firing_for` in rules. */
const VERSION_MIN = '2.42'
/** Which version that is the release of Debian says, and its signed package lists vouch for the file. */
const CACHED = 'debian-package'
const DOWNLOAD_MS = 300_000

/** What is there already: tests do not download it. */
export const providePromtool: Provide = () =>
  Promise.try(() => {
    const found = find()
    if (found === undefined) throw new ServerUnavailable('not set up: npm run servers:setup')
    return found
  })

export const setUpPromtool: Provide = async (progress) => {
  const found = find()
  if (found !== undefined) return found
  if (findExecutable('apt-get') === undefined || findExecutable('dpkg-deb') === undefined)
    throw new ServerUnavailable(`no promtool of ${VERSION_MIN} or newer on the PATH, and no apt-get and dpkg-deb to fetch it`) // prettier-ignore
  try {
    const folder = await fillCache('promtool', CACHED, (staging) => unpack(staging, progress))
    return described(join(folder, 'promtool'), 'Debian package')
  } catch (error) {
    throw new ServerUnavailable(`promtool: ${(error as Error).message}`, { cause: error })
  }
}

function find(): Program | undefined {
  const cached = join(cacheFolder('promtool', CACHED), 'promtool')
  if (existsSync(cached)) return described(cached, 'cache, Debian package')
  const path = findExecutable('promtool')
  return path !== undefined && isAtLeast(versionOf(path), VERSION_MIN) ? described(path, 'PATH') : undefined
}

async function unpack(staging: string, progress: Progress): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'hub-promtool-'))
  const command = { folder, timeoutMs: DOWNLOAD_MS, progress, doing: 'downloading the Debian package prometheus' }
  const download = { ...command, argv: ['apt-get', 'download', '-q', 'prometheus'] } as const
  try {
    progress(command.doing)
    await runCommand(download).catch(async (error: unknown) => {
      if (process.getuid?.() !== 0) throw error
      // The package lists are missing or old.
      await runCommand({ ...command, argv: ['apt-get', 'update', '-q'] })
      await runCommand(download)
    })
    const archive = readdirSync(folder).find((name) => name.endsWith('.deb'))
    if (archive === undefined) throw new Error('apt-get download brought no package')
    await runCommand({ ...command, argv: ['dpkg-deb', '-x', archive, 'unpacked'] })
    const version = versionOf(join(folder, 'unpacked/usr/bin/promtool'))
    if (!isAtLeast(version, VERSION_MIN)) throw new Error(`the package's ${version} is older than ${VERSION_MIN}`)
    copyFileSync(join(folder, 'unpacked/usr/bin/promtool'), join(staging, 'promtool'))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function described(path: string, origin: string): Program {
  return { command: 'promtool', argv: [path], version: versionOf(path), origin }
}

function versionOf(path: string): string {
  try {
    return /version (\d+\.\d+\.\d+)/.exec(execFileSync(path, ['--version'], { encoding: 'utf8' }))?.[1] ?? '0'
  } catch {
    return '0' // not one that runs
  }
}
