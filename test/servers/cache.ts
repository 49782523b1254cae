// Keeps what was built or fetched for the test servers, outside the repository: a folder a version, complete or not there
// at all, made by one process while the others wait. Knows no server. Called by the set-ups.

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs' // prettier-ignore
import { homedir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** Where this version is or will be. Absolute; may not exist. */
export function cacheFolder(name: string, version: string): string {
  return join(cacheRoot(), 'servers', name, version)
}

/**
 * The folder of this version, filled by `fill` unless it is there. `fill` gets an empty folder that becomes this one by
 * renaming, so it must not write its own path into files. What fails leaves nothing behind.
 */
export async function fillCache(
  name: string,
  version: string,
  fill: (staging: string) => Promise<void>,
): Promise<string> {
  const folder = cacheFolder(name, version)
  if (existsSync(folder)) return folder
  mkdirSync(dirname(folder), { recursive: true })
  return await withLock(`${name}-${version}`, async () => {
    if (existsSync(folder)) return folder
    removeLeftovers(folder)
    const staging = `${folder}.partial-${process.pid}`
    mkdirSync(staging)
    try {
      await fill(staging)
      renameSync(staging, folder)
    } finally {
      rmSync(staging, { recursive: true, force: true })
    }
    return folder
  })
}

/** One at a time over all processes of this user. A lock whose owner is dead is taken over. */
export async function withLock<T>(name: string, work: () => Promise<T>): Promise<T> {
  mkdirSync(cacheRoot(), { recursive: true })
  const lock = join(cacheRoot(), `${name}.lock`)
  const owner = ownerName(process.pid) ?? `${process.pid}-`
  while (!acquire(lock, owner)) await delay(POLL_MS)
  try {
    return await work()
  } finally {
    release(lock, owner)
  }
}

const POLL_MS = 250
/** Making the folder and naming its owner are two steps; this long after the first, the second will not come. */
const NAMELESS_MS = 10_000

function cacheRoot(): string {
  const xdg = process.env['XDG_CACHE_HOME'] ?? ''
  return join(xdg === '' ? join(homedir(), '.cache') : xdg, 'connector-hub')
}

/** Of a process that was killed while it filled. Only under the lock. */
function removeLeftovers(folder: string): void {
  for (const entry of readdirSync(dirname(folder)))
    if (entry.startsWith(`${basename(folder)}.partial-`))
      rmSync(join(dirname(folder), entry), { recursive: true, force: true })
}

/** A folder, because making one fails when it exists; in it an empty file named by its owner. */
function acquire(lock: string, owner: string): boolean {
  try {
    mkdirSync(lock)
    writeFileSync(join(lock, owner), '')
    return true
  } catch (error) {
    if (!isCode(error, 'EEXIST', 'ENOENT')) throw error
    evictTheDead(lock)
    return false
  }
}

function evictTheDead(lock: string): void {
  try {
    const owner = readdirSync(lock)[0]
    // Of several that find it dead only one can remove the file, and a folder with a new owner in it cannot be removed.
    if (owner === undefined) {
      if (Date.now() - statSync(lock).mtimeMs > NAMELESS_MS) rmdirSync(lock)
    } else if (owner !== ownerName(Number(owner.split('-')[0]))) release(lock, owner)
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'ENOTEMPTY')) throw error // else another was quicker
  }
}

function release(lock: string, owner: string): void {
  unlinkSync(join(lock, owner))
  rmdirSync(lock)
}

/** Process ids come round again; with the time of its start this one does not. Undefined when it does not run. */
function ownerName(pid: number): string | undefined {
  try {
    // Fields after the command, which may hold anything, spaces too: the start is the 22nd of all.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return `${pid}-${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`
  } catch {
    return isAlive(pid) ? `${pid}-` : undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return isCode(error, 'EPERM')
  }
}

function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes((error as NodeJS.ErrnoException).code ?? '')
}
