// Where a Kafka broker comes from (jvm-setup.ts), and the data folder of a new one. Runs nothing that stays.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

import { findJvmServer, plainJvmArgs, setUpJvmServer } from './jvm-setup.ts'
import type { JvmServer, ProvidedJvm } from './jvm-setup.ts'
import type { Progress } from './provide.ts'

const VERSION = '4.3.1'
const LOG4J = '2.25.3'

/** Its commands for brokers need nothing else; those for Kafka Connect would bring forty jars. */
const ALONE = '<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>'

const KAFKA: JvmServer = {
  name: 'kafka',
  title: 'Kafka',
  version: VERSION,
  cached: `${VERSION}-tools`,
  dependencies: `  <dependencyManagement><dependencies>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-bom</artifactId><version>${LOG4J}</version><type>pom</type><scope>import</scope></dependency>
  </dependencies></dependencyManagement>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${VERSION}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>${VERSION}</version>${ALONE}</dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId></dependency>
  </dependencies>`,
  files: {
    'log4j2.properties': `rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ABSOLUTE} %p %c{1} %m%n
`,
  },
  jvmArgs: (folder) => ['-Xms128m', '-Xmx384m', `-Dlog4j2.configurationFile=${join(folder, 'log4j2.properties')}`],
}

/** What is there already. Fast; changes nothing. */
export function findKafka(): ProvidedJvm | undefined {
  return findJvmServer(KAFKA)
}

/**
 * What is there already, else what Maven brings. `train` runs a broker until it is ready and ends it with SIGTERM.
 * @throws ServerUnavailable
 */
export async function setUpKafka(
  progress: Progress,
  train: (kafka: ProvidedJvm) => Promise<void>,
): Promise<ProvidedJvm> {
  return await setUpJvmServer(KAFKA, progress, train)
}

/** The data folder of a node that has not run yet. Users are made for SCRAM. */
export function formatKafka(kafka: ProvidedJvm, config: string, scram: readonly string[]): void {
  const users = scram.flatMap((user) => ['--add-scram', user])
  const args = [...plainJvmArgs(kafka), 'kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c', config, ...users]
  const { status, stdout, stderr } = spawnSync(kafka.java, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`Kafka's storage could not be formatted: ${`${stdout}${stderr}`.slice(-1000)}`)
}

/** Any will do, since each node is alone. 16 bytes in base64url. */
const CLUSTER_ID = 'Y29ubmVjdG9yLWh1Yi10ZQ'
