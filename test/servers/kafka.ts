// A real Kafka broker, one KRaft node, on free ports with its own data: the one of HUB_TEST_KAFKA_URL where any will do,
// else one of our own, see kafka-setup.ts for where it comes from.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { ProvidedJvm } from './jvm-setup.ts'
import { findKafka, formatKafka, setUpKafka } from './kafka-setup.ts'
import { connectKafka } from './kafka-wire.ts'
import type { KafkaAddress, KafkaCredentials } from './kafka-wire.ts'
import { startProcess } from './process.ts'
import { externalUrl, reasonOf } from './provide.ts'
import type { Progress } from './provide.ts'
import { externalServer, pickPorts, startServer } from './server.ts'
import type { Server } from './server.ts'

export type KafkaLogin = KafkaCredentials | { readonly mechanism: 'OAUTHBEARER' }

export interface KafkaOptions {
  /** Nothing is configured and nothing is stopped: the server of HUB_TEST_KAFKA_URL will do. */
  readonly any?: boolean
  /** Each of them is a way in. */
  readonly sasl?: readonly KafkaLogin[]
  /** Files of `createCertificates`. */
  readonly tls?: {
    readonly caFile: string
    readonly certFile: string
    readonly keyFile: string
    readonly requireClient: boolean
  }
  /**
   * Clients are told to come to the port that this returns; called once with the port they would be told otherwise. For a
   * proxy between them.
   */
  readonly advertise?: (port: number) => Promise<number>
  /** A second broker in the cluster of this one, which stays its only controller. */
  readonly joins?: KafkaServer
  /** More lines of the configuration file, such as `num.partitions=3`. */
  readonly config?: readonly string[]
}

export interface KafkaServer extends Server {
  /** `host:port`, as clients are given it; the advertised one. */
  readonly bootstrap: string
  /** Of `sasl` and `tls`. */
  readonly port: number
  /** Neither encrypted nor authenticated nor through the proxy, for what a test does by itself. */
  readonly plainPort: number
  /** Id of the broker. */
  readonly node: number
  readonly controllerPort: number
}

/** Why there is none, for `context.skip`; undefined when there is one, set up where it was missing. */
export async function noKafka(options: KafkaOptions = {}): Promise<string | undefined> {
  return await reasonOf('kafka', async () => externalUrl('kafka', options.any) ?? (await provided()))
}

/** @throws ServerUnavailable */
export async function provideKafka(progress: Progress): Promise<ProvidedJvm> {
  return await setUpKafka(progress, async (kafka) => {
    await using server = await run(kafka, {})
    await server.stop()
  })
}

/** @throws ServerUnavailable */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaServer> {
  const external = externalUrl('kafka', options.any)
  if (external === undefined) return await run(await provided(), options)
  const bootstrap = external.replace(/^\w+:\/\//, '')
  const port = Number(bootstrap.split(',')[0]?.split(':').at(-1) ?? 9092)
  return { ...externalServer('HUB_TEST_KAFKA_URL'), bootstrap, port, plainPort: port, node: 0, controllerPort: 0 }
}

const provided = async (): Promise<ProvidedJvm> => findKafka() ?? (await provideKafka((line) => console.error(`kafka: ${line}`))) // prettier-ignore

const READY_MS = 60_000
// When it makes an archive of its classes it does so as it ends.
const STOP_MS = 60_000

interface Ports {
  readonly client: number
  readonly advertised: number
  readonly plain: number
  readonly controller: number
}

async function run(kafka: ProvidedJvm, options: KafkaOptions): Promise<KafkaServer> {
  const folder = mkdtempSync(join(tmpdir(), 'hub-kafka-'))
  const [client = 0, plain = 0, controller = 0] = await pickPorts(3)
  const ports = { client, plain, controller, advertised: (await options.advertise?.(client)) ?? client }
  const config = join(folder, 'server.properties')
  writeFileSync(config, configuration(options, folder, ports), { mode: 0o600 })
  try {
    formatKafka(kafka, config, scramUsers(options.sasl))
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
  const server = await startServer(
    {
      name: 'Kafka',
      folder,
      launch: () => startProcess(kafka.java, [`-Djava.io.tmpdir=${folder}`, ...kafka.jvmArgs, 'kafka.Kafka', config]),
      ready: () => ready({ port: plain }),
      readyMs: READY_MS,
      stopMs: STOP_MS,
    },
    kafka,
  )
  const host = options.tls === undefined ? '127.0.0.1' : 'localhost'
  const { node, controllerPort } = placeOf(options, ports)
  return { ...server, bootstrap: `${host}:${ports.advertised}`, port: client, plainPort: plain, node, controllerPort }
}

/** Which node of its cluster it is, and where the controller is. */
function placeOf(
  { joins }: KafkaOptions,
  { controller }: Ports,
): { readonly node: number; readonly controllerPort: number } {
  // prettier-ignore
  return joins === undefined ? { node: 1, controllerPort: controller } : { node: joins.node + 1, controllerPort: joins.controllerPort } // prettier-ignore
}

/** Its port opens long before it can be used. */
async function ready(address: KafkaAddress): Promise<void> {
  using client = await connectKafka(address)
  await client.apiVersions()
  const { brokers, controller } = await client.metadata()
  if (brokers.length === 0 || controller < 0) throw new Error('no broker has registered')
  // It ends the connection of a request that it cannot forward yet.
  await client.reachController()
}

function scramUsers(logins: readonly KafkaLogin[] = []): readonly string[] {
  return logins.flatMap((login) => (login.mechanism === 'PLAIN' || login.mechanism === 'OAUTHBEARER' ? [] : [`${login.mechanism}=[name=${login.username},password=${login.password}]`])) // prettier-ignore
}

function configuration(options: KafkaOptions, folder: string, ports: Ports): string {
  const { sasl, tls, config = [] } = options
  const host = tls === undefined ? '127.0.0.1' : 'localhost'
  const security = `${sasl === undefined ? '' : 'SASL_'}${tls === undefined ? 'PLAINTEXT' : 'SSL'}`
  const { node, controllerPort } = placeOf(options, ports)
  const isController = options.joins === undefined
  return `${[
    `process.roles=broker${isController ? ',controller' : ''}`,
    `node.id=${node}`,
    `controller.quorum.voters=1@127.0.0.1:${controllerPort}`,
    `listeners=CLIENT://127.0.0.1:${ports.client},PLAIN://127.0.0.1:${ports.plain}${isController ? `,CONTROLLER://127.0.0.1:${ports.controller}` : ''}`,
    `advertised.listeners=CLIENT://${host}:${ports.advertised},PLAIN://127.0.0.1:${ports.plain}`,
    `listener.security.protocol.map=CLIENT:${security},PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT`,
    'controller.listener.names=CONTROLLER',
    'inter.broker.listener.name=PLAIN',
    `log.dirs=${join(folder, 'data')}`,
    ...SETTINGS,
    ...(sasl === undefined ? [] : saslSettings(sasl)),
    ...(tls === undefined ? [] : tlsSettings(tls, folder)),
    ...config,
  ].join('\n')}\n`
}

const SETTINGS = [
  // One node.
  'offsets.topic.replication.factor=1',
  'transaction.state.log.replication.factor=1',
  'transaction.state.log.min.isr=1',
  'share.coordinator.state.topic.replication.factor=1',
  'share.coordinator.state.topic.min.isr=1',
  // A small machine.
  'offsets.topic.num.partitions=1',
  'transaction.state.log.num.partitions=1',
  'share.coordinator.state.topic.num.partitions=1',
  'log.cleaner.dedupe.buffer.size=2097152',
  // Tests don't wait for other members to come.
  'group.initial.rebalance.delay.ms=0',
  'group.min.session.timeout.ms=1000',
  // A killed node is let in again only when its session has ended.
  'broker.session.timeout.ms=3000',
  'broker.heartbeat.interval.ms=500',
]

function saslSettings(logins: readonly KafkaLogin[]): readonly string[] {
  const listener = 'listener.name.client'
  return [
    `${listener}.sasl.enabled.mechanisms=${logins.map(({ mechanism }) => mechanism).join(',')}`,
    ...logins.map((login) => `${listener}.${login.mechanism.toLowerCase()}.sasl.jaas.config=org.apache.kafka.common.security.${jaas(login)};`), // prettier-ignore
  ]
}

function jaas(login: KafkaLogin): string {
  if (login.mechanism === 'PLAIN') return `plain.PlainLoginModule required user_${login.username}="${login.password}"`
  // Takes unsecured tokens: its validator is the one that Kafka has for development.
  if (login.mechanism === 'OAUTHBEARER') return 'oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker"' // prettier-ignore
  return 'scram.ScramLoginModule required'
}

function tlsSettings(
  { caFile, certFile, keyFile, requireClient }: NonNullable<KafkaOptions['tls']>,
  folder: string,
): readonly string[] {
  const keyStore = join(folder, 'keystore.pem')
  writeFileSync(keyStore, `${readFileSync(keyFile, 'utf8')}${readFileSync(certFile, 'utf8')}`, { mode: 0o600 })
  const listener = 'listener.name.client.ssl'
  return [
    `${listener}.keystore.type=PEM`,
    `${listener}.keystore.location=${keyStore}`,
    `${listener}.truststore.type=PEM`,
    `${listener}.truststore.location=${caFile}`,
    `${listener}.client.auth=${requireClient ? 'required' : 'none'}`,
  ]
}
