// A real Chromium without a window, for tests of pages: the one of the PATH, else installed from Debian's packages where we are
// root. Each launch has a profile of its own that goes with it.

import { execFileSync } from 'node:child_process'

import { chromium } from 'playwright-core'
import type { Browser } from 'playwright-core'

import { provideExecutable } from './debian-package.ts'
import { findExecutable } from './process.ts'
import { isRequired, ServerUnavailable } from './provide.ts'
import type { Progress, Provided } from './provide.ts'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome']
const ARGS = [
  // As root, and in containers, there is no sandbox to be had; only pages of our own are opened.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-quic',
  '--no-first-run',
  // Nothing is asked of anybody but the page under test.
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
const LAUNCH_MS = 90_000

interface ProvidedChromium extends Provided {
  readonly path: string
}

/**
 * Why there is none, for `context.skip`; undefined when there is one. Installs it where it may.
 * @throws ServerUnavailable when HUB_TEST_REQUIRE lists it
 */
export function noChromium(): string | undefined {
  try {
    provided()
    return undefined
  } catch (error) {
    if (!(error instanceof ServerUnavailable) || isRequired('chromium')) throw error
    return error.message
  }
}

/** It ends with the process that asked for it. @throws ServerUnavailable */
export async function launchChromium(): Promise<Browser> {
  return await chromium.launch({ executablePath: provided().path, args: ARGS, timeout: LAUNCH_MS })
}

/** @throws ServerUnavailable */
export async function setUpChromium(progress: Progress): Promise<Provided> {
  if (!NAMES.some((name) => findExecutable(name) !== undefined)) progress('no chromium on the PATH')
  return await Promise.resolve(provided())
}

let known: ProvidedChromium | ServerUnavailable | undefined

/** @throws ServerUnavailable */
function provided(): ProvidedChromium {
  known ??= provide()
  if (known instanceof ServerUnavailable) throw known
  return known
}

function provide(): ProvidedChromium | ServerUnavailable {
  const name = NAMES.find((one) => findExecutable(one) !== undefined) ?? 'chromium'
  const found = provideExecutable(name, 'chromium')
  if (found.path === undefined) return new ServerUnavailable(found.reason)
  const origin = found.installed ? 'Debian package, just installed' : found.path
  return { path: found.path, version: versionOf(found.path), origin }
}

/** `Chromium 140.0.7339.80 built on Debian …` */
function versionOf(path: string): string {
  const said = execFileSync(path, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  return /\d+(\.\d+)+/.exec(said)?.[0] ?? 'unknown'
}
