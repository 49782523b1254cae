// Where a server that runs on Java comes from: the cache, filled by Maven with the jars of one version and an archive of
// their classes that halves the start; Java and Maven from the PATH or Debian's packages. Runs nothing that stays.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

import { cacheFolder, fillCache, withLock } from './cache.ts'
import { provideExecutable } from './debian-package.ts'
import { findExecutable } from './process.ts'
import { runCommand, ServerUnavailable } from './provide.ts'
import type { Progress, Provided, ServerName } from './provide.ts'

/** One version of one server. */
export interface JvmServer {
  readonly name: ServerName
  /** For messages. */
  readonly title: string
  readonly version: string
  /** Of its folder in the cache: the version, and what changes when the dependencies do. */
  readonly cached?: string
  /** Of the POM: `<dependencies>`, and what these need. */
  readonly dependencies: string
  /** Texts by name, kept beside the jars. */
  readonly files?: Readonly<Record<string, string>>
  /** Beside what makes it small and quick to start; `folder` holds `files`. */
  jvmArgs(folder: string): readonly string[]
}

export interface ProvidedJvm extends Provided {
  readonly java: string
  /** Before the class to run. */
  readonly jvmArgs: readonly string[]
}

const DEPENDENCY_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1'
const JAVA_MIN = 17

/** What is there already. Fast; changes nothing. */
export function findJvmServer(server: JvmServer): ProvidedJvm | undefined {
  const java = findJava()
  const folder = cacheFolder(server.name, keyOf(server))
  if (java === undefined || !existsSync(folder)) return undefined
  const archive = archiveOf(folder, java)
  if (!existsSync(archive)) return undefined
  const share = [`-XX:SharedArchiveFile=${archive}`, '-Xshare:auto', '-Xlog:cds=off', '-Xlog:class+path=off']
  return described(server, java, [...share, ...jvmArgs(server, folder)], 'cache, from Maven')
}

/**
 * What is there already, else what Maven brings. Takes about a minute. `train` runs the server with the given JVM arguments
 * until it is ready and ends it with SIGTERM.
 * @throws ServerUnavailable
 */
export async function setUpJvmServer(
  server: JvmServer,
  progress: Progress,
  train: (provided: ProvidedJvm) => Promise<void>,
): Promise<ProvidedJvm> {
  const found = findJvmServer(server)
  if (found !== undefined) return found
  const { name, title } = server
  const key = keyOf(server)
  const java = findJava() ?? installJava(title)
  try {
    const folder = await fillCache(name, key, (staging) => download(server, staging, progress))
    await withLock(`${name}-archive-${key}`, () => archiveClasses(server, folder, java, progress, train))
  } catch (error) {
    if (error instanceof ServerUnavailable) throw error
    throw new ServerUnavailable(`${title}: ${(error as Error).message}`, { cause: error })
  }
  const ready = findJvmServer(server)
  if (ready === undefined) throw new ServerUnavailable(`${title}: no archive of its classes was made`)
  return { ...ready, origin: 'downloaded by Maven' }
}

/** For a program of the same jars beside the server: in training, only the server itself writes the archive. */
export function plainJvmArgs({ jvmArgs: args }: ProvidedJvm): readonly string[] {
  return args.filter((arg) => !arg.startsWith(TRAINING))
}

const keyOf = ({ version, cached = version }: JvmServer): string => cached

interface Java {
  readonly path: string
  /** For file names. */
  readonly version: string
}

function findJava(): Java | undefined {
  const home = process.env['JAVA_HOME'] ?? ''
  const paths = [...(home === '' ? [] : [join(home, 'bin', 'java')]), findExecutable('java')]
  return paths.map(describeJava).find((java) => java !== undefined)
}

function describeJava(path: string | undefined): Java | undefined {
  if (path === undefined || !existsSync(path)) return undefined
  const version = /version "([^"]+)"/.exec(spawnSync(path, ['-version'], { encoding: 'utf8' }).stderr)?.[1] ?? '0'
  return Number.parseInt(version, 10) >= JAVA_MIN ? { path, version } : undefined
}

function installJava(title: string): Java {
  const other = findExecutable('java')
  if (other !== undefined) throw new ServerUnavailable(`${title}: ${other} is older than Java ${JAVA_MIN}`)
  const found = provideExecutable('java', 'default-jre-headless')
  if (found.path === undefined) throw new ServerUnavailable(`${title}: ${found.reason}`)
  const java = describeJava(found.path)
  if (java === undefined) throw new ServerUnavailable(`${title}: the package's Java is older than ${JAVA_MIN}`)
  return java
}

const PROBE_MS = 60_000
const DOWNLOAD_MS = 600_000

async function download(server: JvmServer, staging: string, progress: Progress): Promise<void> {
  const { name, title, version, dependencies, files = {} } = server
  const maven = provideExecutable('mvn', 'maven')
  if (maven.path === undefined) throw new ServerUnavailable(`${title}: ${maven.reason}`)
  writeFileSync(join(staging, 'pom.xml'), pomOf(name, dependencies))
  for (const [file, text] of Object.entries(files)) writeFileSync(join(staging, file), text)
  // A repository of its own, since it is of no use once the jars are copied.
  const repository = join(staging, 'repository')
  const mvn = [maven.path, '-B', '-q', `-Dmaven.repo.local=${repository}`] as const
  // Needs at most one small file of the repository and no plugin.
  await runCommand({ argv: [...mvn, 'validate'], folder: staging, timeoutMs: PROBE_MS }).catch((error: unknown) => {
    const { message } = error as Error
    // Of Maven's many lines the one with the cause.
    const reason = /Non-resolvable[^\n]*/.exec(message)?.[0] ?? message
    throw new Error(`Maven's repository does not answer (settings.xml): ${reason}`, { cause: error })
  })
  const doing = `downloading ${title} ${version}`
  progress(doing)
  const copy = [`${DEPENDENCY_PLUGIN}:copy-dependencies`, '-DincludeScope=runtime', `-DoutputDirectory=${join(staging, 'jars')}`] // prettier-ignore
  await runCommand({ argv: [...mvn, ...copy], folder: staging, timeoutMs: DOWNLOAD_MS, doing, progress })
  rmSync(repository, { recursive: true, force: true })
}

const TRAINING = '-XX:ArchiveClassesAtExit='

/** After the jars are where they stay: an archive is valid for their paths, and for one Java. */
async function archiveClasses(
  server: JvmServer,
  folder: string,
  java: Java,
  progress: Progress,
  train: (provided: ProvidedJvm) => Promise<void>,
): Promise<void> {
  const archive = archiveOf(folder, java)
  if (existsSync(archive)) return
  progress('archiving the classes of a first run')
  const staging = mkdtempSync(join(folder, 'archive-'))
  try {
    const file = join(staging, 'classes.jsa')
    await train(described(server, java, [`${TRAINING}${file}`, '-Xlog:cds=off', ...jvmArgs(server, folder)], 'training')) // prettier-ignore
    renameSync(file, archive)
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

function archiveOf(folder: string, { version }: Java): string {
  return join(folder, `java-${version}.jsa`)
}

function described({ version }: JvmServer, java: Java, args: readonly string[], origin: string): ProvidedJvm {
  return { java: java.path, jvmArgs: args, version, origin }
}

/** Small and quick to start. */
function jvmArgs(server: JvmServer, folder: string): readonly string[] {
  const jars = readdirSync(join(folder, 'jars')).sort()
  return [
    '-XX:+UseSerialGC',
    '-XX:TieredStopAtLevel=1',
    '-XX:-UsePerfData',
    ...server.jvmArgs(folder),
    '-cp',
    jars.map((jar) => join(folder, 'jars', jar)).join(delimiter),
  ]
}

function pomOf(name: string, dependencies: string): string {
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>connector-hub</groupId><artifactId>test-${name}</artifactId><version>1</version><packaging>pom</packaging>
${dependencies}
</project>
`
}
