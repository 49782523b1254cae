// A program of somebody else that examples of the READMEs call: what it is to the tests, and how one that is written in Go is
// built. Knows none of them; called by the module of each.

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { cacheFolder, fillCache } from '../servers/cache.ts'
import { goInstall } from '../servers/go-install.ts'
import { findExecutable } from '../servers/process.ts'
import { ServerUnavailable } from '../servers/provide.ts'
import type { Progress, Provided } from '../servers/provide.ts'

/** Programs that HUB_TEST_REQUIRE may name. */
export type ProgramName =
  | 'mc'
  | 'natscli'
  | 'kafka-acls'
  | 'rabbitmqadmin'
  | 'awscli'
  | 'faas-cli'
  | 'kubectl'
  | 'helm'
  | 'promtool'
  | 'go-sdk'

export interface Program extends Provided {
  /** What a user types. */
  readonly command: string
  /** What that stands for here. */
  readonly argv: readonly [string, ...string[]]
}

/**
 * What is there already, else what a build or a download brings. Idempotent; fast when it is there.
 * @throws ServerUnavailable
 */
export type Provide = (progress: Progress) => Promise<Program>

export interface GoProgram {
  /** Of its folder in the cache. */
  readonly name: ProgramName
  readonly command: string
  readonly module: string
  /** Of the command in the module; without: the module itself is the command. */
  readonly path?: string
  /** With its `v`. */
  readonly version: string
  /** More flags of `go build`. */
  readonly flags?: readonly string[]
  /** Go files to add to the module, by path. */
  readonly added?: Readonly<Record<string, string>>
  /** Where the checksum database of Go does not have this version: what it is compared with. */
  readonly sum?: string
}

/** Without optimising it builds in two thirds of the time, and that is what people wait for. */
const FLAGS = ['-gcflags=all=-N -l']
/** A minute or two each on two idle processors; far beyond that. */
const BUILD_MS = 1_800_000

export function goProgram({ name, command, module, path = '', version, flags = [], added, sum }: GoProgram): Provide {
  // Another program of ours in the same module is another one.
  const key = added === undefined ? version : `${version}-${hashOf(JSON.stringify(added))}`
  return async (progress) => {
    const described = (folder: string, origin: string): Program => ({ command, argv: [join(folder, command)], version, origin }) // prettier-ignore
    const built = cacheFolder(name, key)
    if (existsSync(built)) return described(built, 'cache, built with go install')
    const go = findExecutable('go')
    if (go === undefined) throw new ServerUnavailable(`no go to build ${command}`)
    const build = { go, module, path, version, buildMs: BUILD_MS, progress, flags: [...FLAGS, ...flags], added, sum }
    try {
      return described(await fillCache(name, key, (staging) => goInstall(staging, build)), 'built with go install')
    } catch (error) {
      throw new ServerUnavailable(`${command}: ${(error as Error).message}`, { cause: error })
    }
  }
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12)
}
