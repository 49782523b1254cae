// A real RabbitMQ with its management API on free ports with its own data and port mapper: the one of HUB_TEST_RABBITMQ_URL
// where any will do (management: HUB_TEST_RABBITMQ_MANAGEMENT_URL), else one of our own, see rabbitmq-setup.ts.

import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'

import { findExecutable, startProcess } from './process.ts'
import { externalUrl, reasonOf, ServerUnavailable } from './provide.ts'
import { isDecided, isQuorumQueueKnown } from './rabbitmq-files.ts'
import { findRabbit, setUpRabbit } from './rabbitmq-setup.ts'
import type { ProvidedRabbit } from './rabbitmq-setup.ts'
import { greetRabbit } from './rabbitmq-wire.ts'
import { externalServer, pickPorts, startServer } from './server.ts'
import type { Server } from './server.ts'

export interface RabbitOptions {
  /** Nothing is configured and nothing is stopped: the server of HUB_TEST_RABBITMQ_URL will do. */
  readonly any?: boolean
  /** A TLS listener beside the plain one, with files of `createCertificates`. */
  readonly tls?: {
    readonly caFile: string
    readonly certFile: string
    readonly keyFile: string
    readonly requireClient: boolean
  }
  /** More lines of the configuration file, such as `heartbeat = 1`. */
  readonly config?: readonly string[]
  /** Beside the management API, such as `rabbitmq_auth_mechanism_ssl`. */
  readonly plugins?: readonly string[]
}

export interface RabbitVhost extends AsyncDisposable {
  readonly name: string
  readonly url: string
  readonly tlsUrl: string | undefined
}

export interface RabbitServer extends Server {
  /** Of the default virtual host, with user and password. */
  readonly url: string
  readonly port: number
  /** Of the management API, with user and password. */
  readonly managementUrl: string
  /** For `localhost`. */
  readonly tlsUrl: string | undefined
  readonly tlsPort: number | undefined
  /** Of its own port mapper; undefined for a server that is not ours. */
  readonly epmdPort: number | undefined
  /**
   * A request to the management API, such as `('PUT', 'queues/%2f/orders', { durable: true })`.
   * @returns what it answered; undefined for an empty answer
   * @throws Error with status and body of any answer that is not 2xx
   */
  manage(method: 'GET' | 'PUT' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<unknown>
  /**
   * Resolves once all that was declared before this call outlives SIGKILL: RabbitMQ forgets a queue, an exchange or a binding
   * that was declared less than a moment ago, although it was confirmed. Throws after half a minute.
   */
  saved(): Promise<void>
  /**
   * Has the node evaluate an Erlang expression, such as `1 + 1.`, for what the management API has no word for.
   * @returns the value as Erlang writes it
   * @throws Error with what the node says where it cannot
   */
  evaluate(expression: string): Promise<string>
  /** A virtual host of its own, deleted with everything in it on disposal. */
  vhost(): Promise<RabbitVhost>
}

/** Why there is none, for `context.skip`; undefined when there is one, set up where it was missing. */
export async function noRabbit(options: RabbitOptions = {}): Promise<string | undefined> {
  return await reasonOf('rabbitmq', async () => externalUrl('rabbitmq', options.any) ?? (await provided()))
}

const provided = async (): Promise<ProvidedRabbit> => findRabbit() ?? (await setUpRabbit((line) => console.error(`rabbitmq: ${line}`))) // prettier-ignore

/** A boot takes a second or two of one core: longer by as much as others want that, too. */
const READY_MS = 180_000
const STOP_MS = 30_000
const NODE = 'hub@localhost'
const EVALUATE_MS = 60_000
const execute = promisify(execFile)
const USER = 'hub'
const PASSWORD = 'hub-test'

interface Ports {
  readonly amqp: number
  readonly amqps: number
  readonly management: number
  readonly distribution: number
  readonly epmd: number
}

/** @throws ServerUnavailable */
export async function startRabbit(options: RabbitOptions = {}): Promise<RabbitServer> {
  const external = externalUrl('rabbitmq', options.any)
  if (external !== undefined) return externalRabbit(external)
  const rabbit = await provided()
  const folder = mkdtempSync(join(tmpdir(), 'hub-rabbitmq-'))
  const [amqp = 0, amqps = 0, management = 0, distribution = 0, epmdPort = 0] = await pickPorts(5)
  const ports = { amqp, amqps, management, distribution, epmd: epmdPort }
  writeFileSync(join(folder, 'rabbitmq.conf'), configuration(options, ports), { mode: 0o600 })
  writeFileSync(join(folder, 'advanced.config'), ADVANCED)
  writeFileSync(
    join(folder, 'enabled_plugins'),
    `[${['rabbitmq_management', ...(options.plugins ?? [])].join(',')}].\n`,
  )
  mkdirSync(join(folder, 'data'))
  const env = environment(folder, ports)
  // In the foreground: one that a node starts is a daemon and stays.
  const epmd = startProcess(rabbit.epmd, ['-address', '127.0.0.1', '-port', String(epmdPort)])
  const manage = manager(`http://127.0.0.1:${management}`, USER, PASSWORD)
  const server = await startServer(
    {
      name: 'RabbitMQ',
      folder,
      launch: () => startProcess(findExecutable('env') ?? 'env', ['-i', ...env, rabbit.path]),
      ready: async () => {
        await greetRabbit(amqp)
        await quorumQueuesLed(manage)
      },
      readyMs: READY_MS,
      stopMs: STOP_MS,
      cleanUp: () => epmd.kill('SIGKILL'),
    },
    rabbit,
  )
  const url = `amqp://${USER}:${PASSWORD}@127.0.0.1:${amqp}`
  const tlsUrl = options.tls === undefined ? undefined : `amqps://${USER}:${PASSWORD}@localhost:${amqps}`
  const tlsPort = options.tls === undefined ? undefined : amqps
  return {
    ...server,
    url,
    port: amqp,
    managementUrl: `http://${USER}:${PASSWORD}@127.0.0.1:${management}`,
    tlsUrl,
    tlsPort,
    epmdPort,
    manage,
    saved: () => saved(join(folder, 'data'), manage),
    evaluate: (expression) => evaluate(rabbit.erlCall, folder, epmdPort, expression),
    vhost: vhosts(manage, USER, url, tlsUrl),
  }
}

/** How often a quorum queue's leader says that it leads, and a channel looks for what is unsettled too long. */
const ADVANCED = '[{rabbit, [{quorum_tick_interval, 500}, {channel_tick_interval, 500}]}].\n'

/**
 * A quorum queue elects its leader only after the port is open, and what asks it for a message before that is not answered
 * at all. Its state is the leader's word.
 */
async function quorumQueuesLed(manage: RabbitServer['manage']): Promise<void> {
  const queues = (await manage('GET', 'queues')) as readonly { type: string; state?: string; name: string }[]
  const waiting = queues.filter(({ type, state }) => type === 'quorum' && state !== 'running').map(({ name }) => name)
  if (waiting.length > 0) throw new Error(`quorum queues without a leader: ${waiting.join(', ')}`)
}

const SAVED_MS = 30_000
const SAVED_POLL_MS = 50

async function saved(dataFolder: string, manage: RabbitServer['manage']): Promise<void> {
  const queues = (await manage('GET', 'queues')) as readonly { readonly type: string; readonly name: string }[]
  const quorum = queues.filter(({ type }) => type === 'quorum').map(({ name }) => name)
  const until = Date.now() + SAVED_MS
  while (!(isDecided(dataFolder) && quorum.every((queue) => isQuorumQueueKnown(dataFolder, queue)))) {
    if (Date.now() > until) throw new Error(`RabbitMQ did not save what was declared within ${SAVED_MS} ms`)
    await delay(SAVED_POLL_MS)
  }
}

async function evaluate(erlCall: string, folder: string, epmdPort: number, expression: string): Promise<string> {
  const cookie = readFileSync(join(folder, '.erlang.cookie'), 'utf8')
  const env = { ...process.env, ERL_EPMD_PORT: String(epmdPort) }
  const asking = execute(erlCall, ['-c', cookie, '-n', NODE, '-e'], { env, timeout: EVALUATE_MS })
  asking.child.stdin?.end(`${expression}\n`)
  const { stdout } = await asking
  const [, value] = /^\{ok, ([^]*)\}\s*$/.exec(stdout) ?? []
  if (value === undefined) throw new Error(`${expression}: ${stdout}`)
  return value
}

function externalRabbit(url: string): RabbitServer {
  const { hostname, port, username, password } = new URL(url)
  const [user, secret] = [decodeURIComponent(username || 'guest'), decodeURIComponent(password || 'guest')]
  const management = process.env['HUB_TEST_RABBITMQ_MANAGEMENT_URL'] ?? `http://${hostname}:15672`
  const manage = manager(management, user, secret)
  const root = url.replace(/(?<=[^/])\/[^/]*$/, '')
  return {
    ...externalServer('HUB_TEST_RABBITMQ_URL'),
    url,
    port: Number(port || 5672),
    managementUrl: management.replace('://', `://${encodeURIComponent(user)}:${encodeURIComponent(secret)}@`),
    tlsUrl: undefined,
    tlsPort: undefined,
    epmdPort: undefined,
    manage,
    saved: () => Promise.reject(new ServerUnavailable('its files are not ours to read')),
    evaluate: () => Promise.reject(new ServerUnavailable('its node is not on this machine')),
    vhost: vhosts(manage, user, root, undefined),
  }
}

/** @param url without a virtual host */
function vhosts(
  manage: RabbitServer['manage'],
  user: string,
  url: string,
  tlsUrl: string | undefined,
): () => Promise<RabbitVhost> {
  let made = 0
  return async () => {
    made += 1
    const name = `test-${process.pid}-${made}`
    await manage('PUT', `vhosts/${name}`)
    await manage('PUT', `permissions/${name}/${encodeURIComponent(user)}`, { configure: '.*', write: '.*', read: '.*' })
    return {
      name,
      url: `${url}/${name}`,
      tlsUrl: tlsUrl === undefined ? undefined : `${tlsUrl}/${name}`,
      [Symbol.asyncDispose]: async () => void (await manage('DELETE', `vhosts/${name}`)),
    }
  }
}

function manager(root: string, user: string, password: string): RabbitServer['manage'] {
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  return async (method, path, body) => {
    const response = await fetch(`${root}/api/${path}`, {
      method,
      // A connection that is kept would be dead after a restart.
      headers: { authorization, 'content-type': 'application/json', connection: 'close' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return text === '' ? undefined : JSON.parse(text)
  }
}

function configuration({ tls, config = [] }: RabbitOptions, ports: Ports): string {
  const lines = [
    `listeners.tcp.1 = 127.0.0.1:${ports.amqp}`,
    'management.tcp.ip = 127.0.0.1',
    `management.tcp.port = ${ports.management}`,
    `default_user = ${USER}`,
    `default_pass = ${PASSWORD}`,
    'log.console.level = warning',
    // What the management API says is not older than this; it samples as often as the finest history that it keeps.
    'collect_statistics_interval = 500',
    ...['global', 'basic', 'detailed'].map((policy) => `management.sample_retention_policies.${policy}.minute = 1`),
  ]
  if (tls !== undefined)
    lines.push(
      `listeners.ssl.1 = 127.0.0.1:${ports.amqps}`,
      `ssl_options.cacertfile = ${tls.caFile}`,
      `ssl_options.certfile = ${tls.certFile}`,
      `ssl_options.keyfile = ${tls.keyFile}`,
      `ssl_options.verify = ${tls.requireClient ? 'verify_peer' : 'verify_none'}`,
      `ssl_options.fail_if_no_peer_cert = ${tls.requireClient}`,
    )
  return `${[...lines, ...config].join('\n')}\n`
}

/** All of it: what is set on this machine for another node must not reach this one. */
function environment(folder: string, ports: Ports): readonly string[] {
  const data = join(folder, 'data')
  return Object.entries({
    PATH: process.env['PATH'] ?? '',
    LANG: 'C.UTF-8',
    HOME: folder, // of the cookie
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_NODENAME: NODE,
    RABBITMQ_DIST_PORT: ports.distribution,
    RABBITMQ_MNESIA_BASE: data,
    RABBITMQ_MNESIA_DIR: join(data, 'mnesia'),
    RABBITMQ_QUORUM_DIR: join(data, 'quorum'),
    RABBITMQ_STREAM_DIR: join(data, 'stream'),
    RABBITMQ_FEATURE_FLAGS_FILE: join(data, 'feature_flags'),
    RABBITMQ_PID_FILE: join(folder, 'pid'),
    RABBITMQ_LOGS: '-',
    // Schedulers that spin while they wait would spin on the cores of the tests.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+sbwt none +sbwtdcpu none +sbwtdio none',
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'advanced.config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
    RABBITMQ_GENERATED_CONFIG_DIR: join(folder, 'generated'),
    ERL_CRASH_DUMP: '/dev/null',
    ERL_MAX_PORTS: 4096,
    ERL_EPMD_PORT: ports.epmd,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    // The script then becomes the node instead of waiting for it, so that our signals reach the node.
    NOTIFY_SOCKET: '/nonexistent',
  }).map(([name, value]) => `${name}=${value}`)
}
