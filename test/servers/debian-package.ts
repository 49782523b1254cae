// Installs a server from Debian's packages where we are root and it is missing; once, however many test workers ask.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

import { findExecutable } from './process.ts'

/**
 * The path of `executable`, installed by `name` when it is missing and may be.
 * @returns the path, or why there is none
 */
export function provideExecutable(
  executable: string,
  name: string,
): { readonly path: string; readonly installed: boolean } | { readonly path?: undefined; readonly reason: string } {
  const found = findExecutable(executable)
  if (found !== undefined) return { path: found, installed: false }
  if (process.getuid?.() !== 0) return { reason: `no ${executable} on the PATH, and not root to install the package ${name}` } // prettier-ignore
  if (findExecutable('apt-get') === undefined) return { reason: `no ${executable} on the PATH, and no apt-get to install it` } // prettier-ignore
  // Another worker may have been quicker.
  const problem = withLock(name, () => (findExecutable(executable) === undefined ? install(name) : undefined))
  const path = findExecutable(executable)
  if (path !== undefined) return { path, installed: true }
  return { reason: `apt-get could not install ${name}: ${problem ?? `it brought no ${executable}`}` }
}

const POLICY = '/usr/sbin/policy-rc.d'

/** @returns why it failed; undefined when it did not. */
function install(name: string): string | undefined {
  console.error(`test servers: installing the Debian package ${name}`)
  // Debian starts a service as it is installed unless this file says no. One that is there already stays.
  const ours = !existsSync(POLICY)
  if (ours) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    const packageArgs = ['install', '-y', '--no-install-recommends', '-o', 'Dpkg::Options::=--force-unsafe-io', name]
    if (aptGet(packageArgs) === undefined) return undefined
    // The package lists are missing or old.
    aptGet(['update', '-q'])
    return aptGet(packageArgs)
  } finally {
    if (ours) rmSync(POLICY, { force: true })
  }
}

/** @returns the end of what it said when it failed. */
function aptGet(args: readonly string[]): string | undefined {
  try {
    execFileSync('apt-get', ['-o', 'DPkg::Lock::Timeout=120', ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
    return undefined
  } catch (error) {
    return String((error as { readonly stderr?: Buffer }).stderr ?? error)
      .trim()
      .slice(-300)
  }
}

const POLL_MS = 250

/** One at a time over all processes of this user. The lock of a process that is dead is taken over. */
function withLock<T>(name: string, work: () => T): T {
  const folder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'connector-hub')
  mkdirSync(folder, { recursive: true })
  const lock = join(folder, `install-${name}.lock`)
  while (!acquire(lock)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS)
  try {
    return work()
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

/** A folder, because making one fails when it exists; in it a file named by its owner. */
function acquire(lock: string): boolean {
  try {
    mkdirSync(lock)
    writeFileSync(join(lock, String(process.pid)), '')
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const owner = Number(readOwner(lock))
    if (owner > 0 && !isAlive(owner)) rmSync(lock, { recursive: true, force: true })
    return false
  }
}

function readOwner(lock: string): string | undefined {
  try {
    return readdirSync(lock)[0]
  } catch {
    return undefined // released meanwhile
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
