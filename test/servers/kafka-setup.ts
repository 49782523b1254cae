// Where a Kafka broker comes from: the cache, filled by Maven with the jars of one version and an archive of their classes
// that halves the start; Java and Maven from the PATH or Debian's packages. Runs nothing that stays.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

import { cacheFolder, fillCache, withLock } from './cache.ts'
import { provideExecutable } from './debian-package.ts'
import { findExecutable } from './process.ts'
import { runCommand, ServerUnavailable } from './provide.ts'
import type { Progress, Provided } from './provide.ts'

const VERSION = '4.3.1'
const LOG4J = '2.25.3'
const DEPENDENCY_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1'
const JAVA_MIN = 17

export interface ProvidedKafka extends Provided {
  readonly java: string
  /** Before the class to run. */
  readonly jvmArgs: readonly string[]
}

/** What is there already. Fast; changes nothing. */
export function findKafka(): ProvidedKafka | undefined {
  const java = findJava()
  const folder = cacheFolder('kafka', VERSION)
  if (java === undefined || !existsSync(folder)) return undefined
  const archive = archiveOf(folder, java)
  if (!existsSync(archive)) return undefined
  const share = [`-XX:SharedArchiveFile=${archive}`, '-Xshare:auto', '-Xlog:cds=off', '-Xlog:class+path=off']
  return described(java.path, [...share, ...jvmArgs(folder)], 'cache, from Maven')
}

/**
 * What is there already, else what Maven brings. Takes about a minute. `train` runs a broker with the given JVM arguments
 * until it is ready and ends it with SIGTERM.
 * @throws ServerUnavailable
 */
export async function setUpKafka(
  progress: Progress,
  train: (kafka: ProvidedKafka) => Promise<void>,
): Promise<ProvidedKafka> {
  const found = findKafka()
  if (found !== undefined) return found
  const java = findJava() ?? installJava()
  try {
    const folder = await fillCache('kafka', VERSION, (staging) => download(staging, progress))
    await withLock(`kafka-archive-${VERSION}`, () => archiveClasses(folder, java, progress, train))
  } catch (error) {
    if (error instanceof ServerUnavailable) throw error
    throw new ServerUnavailable(`Kafka: ${(error as Error).message}`, { cause: error })
  }
  const ready = findKafka()
  if (ready === undefined) throw new ServerUnavailable('Kafka: no archive of its classes was made')
  return { ...ready, origin: 'downloaded by Maven' }
}

/** The data folder of a node that has not run yet. Users are made for SCRAM. */
export function formatKafka(kafka: ProvidedKafka, config: string, scram: readonly string[]): void {
  const users = scram.flatMap((user) => ['--add-scram', user])
  const plainArgs = kafka.jvmArgs.filter((arg) => !arg.startsWith(TRAINING))
  const args = [...plainArgs, 'kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c', config, ...users]
  const { status, stdout, stderr } = spawnSync(kafka.java, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`Kafka's storage could not be formatted: ${`${stdout}${stderr}`.slice(-1000)}`)
}

/** Any will do, since each node is alone. 16 bytes in base64url. */
const CLUSTER_ID = 'Y29ubmVjdG9yLWh1Yi10ZQ'

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

function installJava(): Java {
  const other = findExecutable('java')
  if (other !== undefined) throw new ServerUnavailable(`Kafka: ${other} is older than Java ${JAVA_MIN}`)
  const found = provideExecutable('java', 'default-jre-headless')
  if (found.path === undefined) throw new ServerUnavailable(`Kafka: ${found.reason}`)
  const java = describeJava(found.path)
  if (java === undefined) throw new ServerUnavailable(`Kafka: the package's Java is older than ${JAVA_MIN}`)
  return java
}

const PROBE_MS = 60_000
const DOWNLOAD_MS = 600_000

async function download(staging: string, progress: Progress): Promise<void> {
  const maven = provideExecutable('mvn', 'maven')
  if (maven.path === undefined) throw new ServerUnavailable(`Kafka: ${maven.reason}`)
  writeFileSync(join(staging, 'pom.xml'), POM)
  writeFileSync(join(staging, 'log4j2.properties'), LOG4J_PROPERTIES)
  // A repository of its own, since it is of no use once the jars are copied.
  const repository = join(staging, 'repository')
  const mvn = [maven.path, '-B', '-q', `-Dmaven.repo.local=${repository}`] as const
  // Needs one small file of the repository and no plugin.
  await runCommand({ argv: [...mvn, 'validate'], folder: staging, timeoutMs: PROBE_MS }).catch((error: unknown) => {
    const { message } = error as Error
    // Of Maven's many lines the one with the cause.
    const reason = /Non-resolvable[^\n]*/.exec(message)?.[0] ?? message
    throw new Error(`Maven's repository does not answer (settings.xml): ${reason}`, { cause: error })
  })
  const doing = `downloading Kafka ${VERSION}`
  progress(doing)
  const copy = [`${DEPENDENCY_PLUGIN}:copy-dependencies`, '-DincludeScope=runtime', `-DoutputDirectory=${join(staging, 'jars')}`] // prettier-ignore
  await runCommand({ argv: [...mvn, ...copy], folder: staging, timeoutMs: DOWNLOAD_MS, doing, progress })
  rmSync(repository, { recursive: true, force: true })
}

const TRAINING = '-XX:ArchiveClassesAtExit='

/** After the jars are where they stay: an archive is valid for their paths, and for one Java. */
async function archiveClasses(
  folder: string,
  java: Java,
  progress: Progress,
  train: (kafka: ProvidedKafka) => Promise<void>,
): Promise<void> {
  const archive = archiveOf(folder, java)
  if (existsSync(archive)) return
  progress('archiving the classes of a first run')
  const staging = mkdtempSync(join(folder, 'archive-'))
  try {
    const file = join(staging, 'classes.jsa')
    await train(described(java.path, [`${TRAINING}${file}`, '-Xlog:cds=off', ...jvmArgs(folder)], 'training')) // prettier-ignore
    renameSync(file, archive)
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

function archiveOf(folder: string, { version }: Java): string {
  return join(folder, `java-${version}.jsa`)
}

function described(java: string, args: readonly string[], origin: string): ProvidedKafka {
  return { java, jvmArgs: args, version: VERSION, origin }
}

/** Small and quick to start. */
function jvmArgs(folder: string): readonly string[] {
  const jars = readdirSync(join(folder, 'jars')).sort()
  return [
    '-Xms128m',
    '-Xmx384m',
    '-XX:+UseSerialGC',
    '-XX:TieredStopAtLevel=1',
    '-XX:-UsePerfData',
    `-Dlog4j2.configurationFile=${join(folder, 'log4j2.properties')}`,
    '-cp',
    jars.map((jar) => join(folder, 'jars', jar)).join(delimiter),
  ]
}

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>connector-hub</groupId><artifactId>test-kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencyManagement><dependencies>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-bom</artifactId><version>${LOG4J}</version><type>pom</type><scope>import</scope></dependency>
  </dependencies></dependencyManagement>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${VERSION}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId></dependency>
  </dependencies>
</project>
`

const LOG4J_PROPERTIES = `rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ABSOLUTE} %p %c{1} %m%n
`
