// A real nats-server with JetStream on free ports with its own data: the one of HUB_TEST_NATS_URL where any will do, else
// one of our own, see nats-setup.ts for where it comes from.

import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { findNats, setUpNats } from './nats-setup.ts'
import { connectNats } from './nats-wire.ts'
import type { NatsAddress, NatsCredentials } from './nats-wire.ts'
import { startProcess } from './process.ts'
import type { ServerProcess } from './process.ts'
import { ServerUnavailable, externalUrl, reasonOf } from './provide.ts'
import { externalServer, pickPorts, startServer } from './server.ts'
import type { Server } from './server.ts'

export interface NatsOptions {
  /** Nothing is configured and nothing is stopped: the server of HUB_TEST_NATS_URL will do. */
  readonly any?: boolean
  /** A user of an operator (`nats-jwt.ts`) needs its lines in `config`. */
  readonly credentials?: NatsCredentials
  /** The listener then speaks TLS only. Files of `createCertificates`. */
  readonly tls?: {
    readonly caFile: string
    readonly certFile: string
    readonly keyFile: string
    /** What a client of `requireClient` shows; the readiness check is such a client. */
    readonly clientCertFile: string
    readonly clientKeyFile: string
    readonly requireClient: boolean
  }
  /** Unique in a cluster. */
  readonly name?: string
  /** On unless false. */
  readonly jetStream?: boolean
  /** More lines of the configuration file, such as `max_payload: 1024`. */
  readonly config?: readonly string[]
}

export interface NatsServer extends Server {
  /** `nats://127.0.0.1:…`, or `tls://localhost:…`. */
  readonly url: string
  readonly port: number
  /** Of the monitoring: `/healthz`, `/jsz`, `/connz`, …; undefined for a server that is not ours. */
  readonly monitorUrl: string | undefined
  /** How the raw client of the tests reaches it. */
  readonly address: NatsAddress
  /** SIGUSR2: it takes no new connections, tells its clients, and ends after its grace period. */
  lameDuck(): void
}

/** Why there is none, for `context.skip`; undefined when there is one, set up where it was missing. */
export async function noNats(options: NatsOptions = {}): Promise<string | undefined> {
  return await reasonOf('nats', async () => externalUrl('nats', options.any) ?? (await provided()))
}

const provided = async (): ReturnType<typeof setUpNats> => findNats() ?? (await setUpNats((line) => console.error(`nats: ${line}`))) // prettier-ignore

const READY_MS = 10_000
const STOP_MS = 10_000

/** @throws ServerUnavailable */
export async function startNats(options: NatsOptions = {}): Promise<NatsServer> {
  const external = externalUrl('nats', options.any)
  if (external !== undefined) return externalNats(external)
  const nats = await provided()
  const folder = mkdtempSync(join(tmpdir(), 'hub-nats-'))
  const [port = 0, monitorPort = 0] = await pickPorts(2)
  const config = join(folder, 'nats.conf')
  writeFileSync(config, configuration(options, folder, port, monitorPort), { mode: 0o600 })
  const monitorUrl = `http://127.0.0.1:${monitorPort}`
  const address = addressOf(options, port)
  let running: ServerProcess | undefined
  const server = await startServer(
    {
      name: 'nats-server',
      folder,
      launch: () => (running = startProcess(nats.path, ['-c', config])),
      ready: async () => {
        using _ = await connectNats(address)
        const path = options.jetStream === false ? '/healthz' : '/healthz?js-enabled-only=true'
        const health = await fetch(`${monitorUrl}${path}`)
        if (!health.ok) throw new Error(`${path}: ${health.status} ${await health.text()}`)
        await health.body?.cancel()
      },
      readyMs: READY_MS,
      stopMs: STOP_MS,
    },
    nats,
  )
  const url = options.tls === undefined ? `nats://127.0.0.1:${port}` : `tls://localhost:${port}`
  return { ...server, url, port, monitorUrl, address, lameDuck: () => void running?.child.kill('SIGUSR2') }
}

function externalNats(url: string): NatsServer {
  const port = Number(new URL(url).port || 4222)
  const lameDuck = (): void => {
    throw new ServerUnavailable('the server of HUB_TEST_NATS_URL is not ours to stop')
  }
  return { ...externalServer('HUB_TEST_NATS_URL'), url, port, monitorUrl: undefined, address: { port }, lameDuck }
}

function addressOf({ tls, credentials }: NatsOptions, port: number): NatsAddress {
  if (tls === undefined) return { port, credentials }
  const { caFile, clientCertFile, clientKeyFile } = tls
  return { port, credentials, tls: { caFile, certFile: clientCertFile, keyFile: clientKeyFile } }
}

function configuration(
  { credentials, tls, name = 'test', jetStream, config = [] }: NatsOptions,
  folder: string,
  port: number,
  monitorPort: number,
): string {
  const lines = [`listen: "127.0.0.1:${port}"`, `http: "127.0.0.1:${monitorPort}"`, `server_name: ${name}`]
  if (jetStream !== false) lines.push(`jetstream { store_dir: ${quote(join(folder, 'data'))} }`)
  if (credentials !== undefined && !('jwt' in credentials))
    lines.push(`authorization { ${authorization(credentials)} }`)
  if (tls !== undefined)
    lines.push(`tls { cert_file: ${quote(tls.certFile)}, key_file: ${quote(tls.keyFile)}, ca_file: ${quote(tls.caFile)}, verify: ${tls.requireClient} }`) // prettier-ignore
  return `${[...lines, ...config].join('\n')}\n`
}

function authorization(credentials: Exclude<NatsCredentials, { readonly jwt: string }>): string {
  if ('user' in credentials) return `user: ${quote(credentials.user)}, password: ${quote(credentials.password)}`
  if ('token' in credentials) return `token: ${quote(credentials.token)}`
  return `users: [ { nkey: ${credentials.nkey.publicKey} } ]`
}

/** JSON's strings are strings of this format too. */
const quote = (text: string): string => JSON.stringify(text)
