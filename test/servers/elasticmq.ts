// A real server of the SQS protocol: ElasticMQ on a free port with its own data: the one of HUB_TEST_ELASTICMQ_URL where any
// will do, else one of our own, see jvm-setup.ts for where it comes from. It checks no credentials and speaks no TLS.

import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { findJvmServer, setUpJvmServer } from './jvm-setup.ts'
import type { JvmServer, ProvidedJvm } from './jvm-setup.ts'
import { startProcess } from './process.ts'
import type { ServerProcess } from './process.ts'
import { externalUrl, reasonOf } from './provide.ts'
import type { Progress } from './provide.ts'
import { externalServer, pickPorts, startServer } from './server.ts'
import type { Server } from './server.ts'

const VERSION = '1.7.1'

const ELASTICMQ: JvmServer = {
  name: 'elasticmq',
  title: 'ElasticMQ',
  version: VERSION,
  dependencies: `  <dependencies>
    <dependency><groupId>org.elasticmq</groupId><artifactId>elasticmq-server_2.13</artifactId><version>${VERSION}</version></dependency>
  </dependencies>`,
  files: {
    'logback.xml': `<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%d %-5level %logger{0} %msg%n</pattern></encoder></appender>
  <logger name="org.elasticmq.server.Main$" level="INFO"/>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
`,
  },
  jvmArgs: (folder) => ['-Xms32m', '-Xmx256m', `-Dlogback.configurationFile=${join(folder, 'logback.xml')}`],
}

export interface ElasticMqOptions {
  /** Nothing is configured and nothing is stopped: the server of HUB_TEST_ELASTICMQ_URL will do. */
  readonly any?: boolean
  /** What the ARNs of its queues say; by default `elasticmq`. */
  readonly region?: string
  /** The same, and in the URLs; by default `000000000000`. */
  readonly account?: string
}

export interface ElasticMqServer extends Server {
  /** `http://127.0.0.1:…`. */
  readonly url: string
  readonly port: number
}

/** Why there is none, for `context.skip`; undefined when there is one, set up where it was missing. */
export async function noElasticMq(options: ElasticMqOptions = {}): Promise<string | undefined> {
  return await reasonOf('elasticmq', async () => externalUrl('elasticmq', options.any) ?? (await provided()))
}

/** @throws ServerUnavailable */
export async function provideElasticMq(progress: Progress): Promise<ProvidedJvm> {
  return await setUpJvmServer(ELASTICMQ, progress, async (jvm) => {
    await using server = await run(jvm, {})
    await server.stop()
  })
}

/** @throws ServerUnavailable */
export async function startElasticMq(options: ElasticMqOptions = {}): Promise<ElasticMqServer> {
  const external = externalUrl('elasticmq', options.any)
  if (external === undefined) return await run(await provided(), options)
  return { ...externalServer('HUB_TEST_ELASTICMQ_URL'), url: external, port: Number(new URL(external).port || 80) }
}

const provided = async (): Promise<ProvidedJvm> => findJvmServer(ELASTICMQ) ?? (await provideElasticMq((line) => console.error(`elasticmq: ${line}`))) // prettier-ignore

const READY_MS = 60_000
// When it makes an archive of its classes it does so as it ends.
const STOP_MS = 60_000

async function run(jvm: ProvidedJvm, options: ElasticMqOptions): Promise<ElasticMqServer> {
  const folder = mkdtempSync(join(tmpdir(), 'hub-elasticmq-'))
  const [port = 0] = await pickPorts(1)
  const url = `http://127.0.0.1:${port}`
  const config = join(folder, 'elasticmq.conf')
  writeFileSync(config, configuration(options, folder, port), { mode: 0o600 })
  const args = [`-Djava.io.tmpdir=${folder}`, `-Dconfig.file=${config}`, ...jvm.jvmArgs, 'org.elasticmq.server.Main']
  let running: ServerProcess | undefined
  const server = await startServer(
    {
      name: 'ElasticMQ',
      folder,
      launch: () => (running = startProcess(jvm.java, args)),
      ready: async () => {
        // It answers before it has its queues back.
        if (running?.output().includes(`(${VERSION}) started in`) !== true) throw new Error('it has not said so')
        const response = await fetch(`${url}/?Action=ListQueues`)
        if (!response.ok) throw new Error(`ListQueues: ${response.status} ${await response.text()}`)
        await response.body?.cancel()
      },
      readyMs: READY_MS,
      stopMs: STOP_MS,
    },
    jvm,
  )
  return { ...server, url, port }
}

/** Queues and messages outlive a restart and a SIGKILL: each change is in the database before it is answered. */
function configuration(
  { region = 'elasticmq', account = '000000000000' }: ElasticMqOptions,
  folder: string,
  port: number,
): string {
  const database = `jdbc:h2:file:${join(folder, 'messages')};WRITE_DELAY=0;DB_CLOSE_ON_EXIT=FALSE`
  return `node-address { protocol = http, host = "127.0.0.1", port = ${port}, context-path = "" }
aws { region = ${JSON.stringify(region)}, accountId = ${JSON.stringify(account)} }
rest-sqs { enabled = true, bind-port = ${port}, bind-hostname = "127.0.0.1", sqs-limits = strict }
messages-storage { enabled = true, driver-class = "org.h2.Driver", uri = ${JSON.stringify(database)}, username = "", password = "", prune-data-on-init = false }
`
}
