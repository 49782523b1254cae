// `doctor` as a process against real servers: what works, what does not, and what it says to do about it.

import { createHash, pbkdf2Sync, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createTlsServer } from 'node:https'
import { createServer as createTcpServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { stateProblem } from '../../src/hub/checkup.ts'
import { HttpListener } from '../http-listener.ts'
import { startFakeMqtt } from '../servers/fake-mqtt.ts'
import { noMosquitto, startMosquitto } from '../servers/mosquitto.ts'
import type { MosquittoServer } from '../servers/mosquitto.ts'
import { noNats, startNats } from '../servers/nats.ts'
import type { NatsServer } from '../servers/nats.ts'
import { createCertificates, noCertificates } from '../servers/tls.ts'
import type { Certificates } from '../servers/tls.ts'
import { CliProcess, cli } from './cli.ts'
import type { CliOptions, Ended } from './cli.ts'
import { noTerminal, onTerminal } from './terminal.ts'

const EXIT = { ok: 0, problems: 1, usage: 2, unreachable: 3 } as const
const PASSWORD = 'correct-h0rse'
const ESCAPE = String.fromCharCode(27)
const WIPE = `\r${ESCAPE}[K`
const DYNAMIC_SECURITY = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib'].map((path) => `${path}/mosquitto_dynamic_security.so`).find(existsSync) // prettier-ignore
const folder = mkdtempSync(join(tmpdir(), 'hub-doctor-'))
const missing = noMosquitto() ?? noCertificates() ?? (await noNats())
let files: Certificates
let mosquitto: MosquittoServer
let nats: NatsServer
let gateway: HttpListener
let clockOffMs = 0
/** What the gateway waits for before it lists the functions. */
let listing: Promise<unknown> = Promise.resolve()

beforeAll(async () => {
  if (missing !== undefined) return
  files = createCertificates()
  mosquitto = await startMosquitto({
    credentials: { username: 'hub', password: PASSWORD },
    tls: { ...files, requireClient: false },
  })
  const permissions = 'permissions: { subscribe: { deny: "orders.>" } }'
  const users = [`{ user: admin, password: "${PASSWORD}" }`, `{ user: limited, password: "${PASSWORD}", ${permissions} }`] // prettier-ignore
  // Whoever waits for it to start says no name.
  nats = await startNats({ config: [`authorization { users = [${users.join(', ')}] }`, 'no_auth_user: admin'] })
  gateway = new HttpListener(({ url = '' }, response) => {
    response.setHeader('Date', new Date(Date.now() + clockOffMs).toUTCString())
    if (url.startsWith('/system/namespaces')) response.end('["openfaas-fn"]')
    else if (url.startsWith('/system/functions'))
      void listing.then(() =>
        response.end('[{"name":"a","namespace":"openfaas-fn","annotations":{"topic":"orders.new"}}]'),
      )
    else response.end('OK')
  })
  await gateway.start()
})
afterAll(async () => {
  await mosquitto?.[Symbol.asyncDispose]()
  await nats?.[Symbol.asyncDispose]()
  await gateway?.stop()
  files?.[Symbol.dispose]()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach((context) => {
  clockOffMs = 0
  listing = Promise.resolve()
  if (missing !== undefined) context.skip(missing)
})

type Connectors = Readonly<Record<string, unknown>>

/** The command with these connectors. */
function commandOf(connectors: Connectors, ...args: readonly string[]): readonly string[] {
  const config = join(folder, `hub-${randomBytes(4).toString('hex')}.yaml`)
  writeFileSync(config, JSON.stringify({ connectors, stateDir: join(folder, 'state') }))
  return ['doctor', '-c', config, '--gateway', gateway.url, ...args]
}

async function doctor(connectors: Connectors, ...args: readonly string[]): Promise<Ended> {
  return withFixes(await cli(commandOf(connectors, ...args)))
}

/** Each finding on one line with its fix, which stands below it. */
function withFixes(ended: Ended): Ended {
  return { ...ended, stdout: ended.stdout.replaceAll(/\n {9}→ (?=[A-Z])/g, ' ') }
}

/** With a gateway of another kind. */
async function doctorAt(url: string, options?: CliOptions): Promise<Ended> {
  return withFixes(await cli(commandOf({ timers: { type: 'cron' } }, '--gateway', url), options))
}

const mqtt = (more: Connectors = {}): Connectors => ({
  type: 'mqtt',
  url: mosquitto.url,
  username: 'hub',
  password: PASSWORD,
  ...more,
})
const natsOf = (more: Connectors = {}): Connectors => ({ type: 'nats', servers: [nats.url], username: 'admin', password: PASSWORD, ...more }) // prettier-ignore

test('what works is said to work, with the server and its version', async () => {
  const { code, stdout, stderr } = await doctor({ mqtt: mqtt(), timers: { type: 'cron' } })
  expect([code, stderr]).toEqual([EXIT.ok, ''])
  expect(stdout).toMatch(/^ok {7}gateway {9}http:\/\/127\.0\.0\.1:\d+: 1 function, 1 trigger\.$/m)
  expect(stdout).toMatch(/^ok {7}clock {11}that of the gateway agrees with ours\.$/m)
  expect(stdout).toMatch(/^ok {7}state .* can be written\.$/m)
  expect(stdout).toMatch(/^ok {7}mqtt .*mqtt:\/\/127\.0\.0\.1:\d+/m)
  expect(stdout).toMatch(/^ok {7}timers .*no function asks for a topic of it\.$/m)
  expect(stdout).toContain('6 checks: 0 failed, 0 warnings')
  // A folder that the wrong user made would be in the way of the hub.
  expect(existsSync(join(folder, 'state'))).toBe(false)
})

describe('a broker that does not work has a code and a fix', () => {
  test('a wrong password, which is not shown', async () => {
    const { code, stdout } = await doctor({ mqtt: mqtt({ password: 'wr0ng-h0rse' }) })
    expect(code).toBe(EXIT.problems)
    expect(stdout).toMatch(/^failed {3}mqtt .*HUB_SOURCE_AUTH: .*Check the connector's username and password/m)
    expect(stdout).not.toContain('wr0ng')
  })

  test('a wrong CA', async () => {
    const { code, stdout } = await doctor({ mqtt: mqtt({ url: mosquitto.tlsUrl, tls: { caFile: files.otherCaFile } }) })
    expect([code, /^failed {3}mqtt .*HUB_SOURCE_TLS: .*tls\.caFile/m.test(stdout)]).toEqual([EXIT.problems, true])
  })

  test('a host that nobody answers at, which is an exit code of its own', async () => {
    const { code, stdout } = await doctor({ mqtt: mqtt({ url: 'mqtt://127.0.0.1:1' }) })
    expect([code, /HUB_SOURCE_UNREACHABLE: .*ECONNREFUSED/.test(stdout)]).toEqual([EXIT.unreachable, true])
  })

  test('a topic that is not there, with the command that makes it', async () => {
    const { code, stdout } = await doctor({ nats: natsOf() })
    expect(code).toBe(EXIT.problems)
    expect(stdout).toMatch(/^ok {7}nats .*NATS \d/m)
    expect(stdout).toMatch(
      /^failed {3}nats orders\.new +HUB_\w+: .*no stream has .*orders\.new.*nats stream (add|edit)/m,
    )
  })

  test('a permission that is missing, at a NATS server', async () => {
    const { code, stdout } = await doctor({ nats: natsOf({ layer: 'core', username: 'limited' }) })
    expect(code).toBe(EXIT.problems)
    expect(stdout).toMatch(/^ok {7}nats .*NATS \d/m)
    expect(stdout).toMatch(/^failed {3}nats orders\.new +HUB_\w+: .*orders\.new/m)
  })

  test('a permission that is missing, at Mosquitto', async (context) => {
    context.skip(DYNAMIC_SECURITY === undefined, 'mosquitto_dynamic_security.so is not installed')
    const settings = join(folder, 'dynamic-security.json')
    writeFileSync(settings, dynamicSecurity('hub', PASSWORD))
    await using strict = await startMosquitto({ config: [`plugin ${DYNAMIC_SECURITY}`, `plugin_opt_config_file ${settings}`] }) // prettier-ignore
    const { code, stdout } = await doctor({ mqtt: mqtt({ url: strict.url }) })
    expect(code).toBe(EXIT.problems)
    expect(stdout).toMatch(/^ok {7}mqtt /m)
    expect(stdout).toMatch(
      /^failed {3}mqtt orders\.new +HUB_SOURCE_FORBIDDEN: not authorized, SUBACK 0x87\. Let the user of the connector subscribe to orders\.new/m,
    )
  })

  test('a broker too old, played by a scripted one: it refuses the version of the protocol', async () => {
    await using old = await startFakeMqtt(4, ({ cmd }) => (cmd === 'connect' ? [{ cmd: 'connack', returnCode: 1, sessionPresent: false }] : [])) // prettier-ignore
    const { code, stdout } = await doctor({ mqtt: mqtt({ url: old.url }) })
    expect(code).toBe(EXIT.problems)
    expect(stdout).toMatch(
      /^failed {3}mqtt .*HUB_SOURCE_PROTOCOL: .*speaks neither MQTT 5\.0 nor 3\.1\.1.*has to be updated/m,
    )
  })
})

describe('what is slow hides nothing', () => {
  test('a broker that hangs is given up after --timeout, and the others have long been heard', async () => {
    await using silent = await silentServer()
    await using running = new CliProcess(
      commandOf(
        { hangs: mqtt({ url: `mqtt://127.0.0.1:${silent.port}` }), mqtt: mqtt(), nats: natsOf() },
        '--timeout',
        '4s',
      ),
    )
    await running.says(/^failed {3}hangs /m)
    const subjects = [...running.stdout.matchAll(/^(?:ok|warning|failed) +(\w+)/gm)].map(([, subject]) => subject)
    expect(new Set(subjects.slice(0, -1))).toEqual(new Set(['clock', 'gateway', 'mqtt', 'nats', 'state']))
    expect([subjects.length, subjects.at(-1)]).toEqual([8, 'hangs'])
    // It comes to its end by itself, whatever the hanging connection is about.
    const { code, stdout } = withFixes(await running.ended())
    expect([code, stdout]).toEqual([EXIT.problems, expect.stringMatching(/^failed {3}hangs .*HUB_SOURCE_UNREACHABLE: .*no answer.*\. Check /m)]) // prettier-ignore
  })

  test('a gateway that takes its time: brokers are reached meanwhile, and asked for their topics afterwards', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    listing = promise
    await using running = new CliProcess(commandOf({ mqtt: mqtt(), nats: natsOf() }))
    await running.says(/^ok {7}nats /m)
    await running.says(/^ok {7}mqtt /m)
    expect(running.stdout).not.toMatch(/gateway {2}|orders\.new/)
    resolve()
    const { stdout } = await running.ended()
    expect(stdout.match(/^ok {7}mqtt orders\.new /gm)).toHaveLength(1)
    expect(stdout.match(/^ok {7}mqtt {2}/gm)).toHaveLength(1)
    expect(stdout).toMatch(/^failed {3}nats orders\.new /m)
  })

  test('on a terminal a line says what is waited for, and is gone in the end', async (context) => {
    context.skip(noTerminal() !== undefined, noTerminal())
    await using silent = await silentServer()
    const { code, screen } = await onTerminal(
      commandOf({ hangs: mqtt({ url: `mqtt://127.0.0.1:${silent.port}` }), mqtt: mqtt() }, '--timeout', '3s'),
    )
    expect(code).toBe(EXIT.unreachable)
    expect(screen).toMatch(/waiting for hangs … \d s/)
    const plain = screen.replaceAll(new RegExp(`${ESCAPE}\\[\\d+m`, 'g'), '')
    // What is before the last wiping of a line cannot be seen any more.
    const seen = plain.split('\n').map((line) => line.split(WIPE).at(-1) ?? '')
    expect(seen.filter((line) => line.includes('waiting'))).toEqual([])
    expect(seen.filter((line) => /^(ok|failed) /.test(line)).length).toBeGreaterThanOrEqual(6)
  })
})

describe('a gateway', () => {
  test('that is away: the brokers are checked all the same', async () => {
    const { code, stdout } = await doctor({ mqtt: mqtt() }, '--gateway', 'http://127.0.0.1:1')
    expect(code).toBe(EXIT.unreachable)
    expect(stdout).toMatch(/^failed {3}gateway .*HUB_DISCOVERY_FAILED: .*ECONNREFUSED.*Check the gateway URL/m)
    expect(stdout).toMatch(/^ok {7}mqtt /m)
  })

  test('that takes the connection and says nothing: it is given up after --timeout', async () => {
    await using silent = await silentServer()
    const { code, stdout } = await doctor({ mqtt: mqtt() }, '--gateway', `http://localhost:${silent.port}`, '--timeout', '2s') // prettier-ignore
    expect(code).toBe(EXIT.unreachable)
    expect(stdout).toMatch(/^failed {3}gateway .*HUB_DISCOVERY_FAILED: .*no complete answer within 2s/m)
    expect(stdout).toMatch(/^ok {7}mqtt /m)
  })

  test('that refuses the credentials', async () => {
    await using strict = new HttpListener((_, response) => response.writeHead(401).end())
    await strict.start()
    const env = { HUB_GATEWAY_AUTH_USERNAME: 'admin', HUB_GATEWAY_AUTH_PASSWORD: 'wr0ng' }
    const { code, stdout } = await doctorAt(strict.url, { env })
    expect(code).toBe(EXIT.problems)
    expect(stdout).toMatch(
      /^failed {3}gateway .*HUB_DISCOVERY_UNAUTHORIZED: .*answered 401\. Set gateway\.auth\.usernameFile/m,
    )
    expect(stdout).not.toContain('wr0ng')
  })

  test('that is none', async () => {
    await using page = new HttpListener((_, response) => response.end('<html>Sign in</html>'))
    await page.start()
    const { code, stdout } = await doctorAt(page.url)
    expect(code).toBe(EXIT.unreachable)
    expect(stdout).toMatch(
      /^failed {3}gateway .*HUB_DISCOVERY_FAILED: .*the answer is HTML\. Check that gateway\.url leads to/m,
    )
  })

  test('whose certificate is of an authority that nobody here knows, and that works once it is known', async () => {
    const handle = (request: { url?: string | undefined }, response: { end(text: string): void }): void => response.end(request.url?.startsWith('/system/') === true ? '[]' : 'OK') // prettier-ignore
    await using secure = await listening(createTlsServer({ cert: readFileSync(files.certFile), key: readFileSync(files.keyFile) }, handle)) // prettier-ignore
    const url = `https://localhost:${secure.port}`
    const unknown = await doctorAt(url)
    expect(unknown.stdout).toMatch(/^failed {3}gateway .*HUB_DISCOVERY_FAILED: .*NODE_EXTRA_CA_CERTS/m)
    const known = await doctorAt(url, { env: { NODE_EXTRA_CA_CERTS: files.caFile } })
    expect([known.code, /^ok {7}gateway /m.test(known.stdout)]).toEqual([EXIT.ok, true])
    const otherName = await doctorAt(`https://127.0.0.1:${secure.port}`, { env: { NODE_EXTRA_CA_CERTS: files.caFile } })
    expect(otherName.stdout).toMatch(/^failed {3}gateway .*Set gateway\.url to a host name that is in the certificate/m)
  })

  test('that speaks no TLS', async () => {
    const { stdout } = await doctorAt(gateway.url.replace('http:', 'https:'))
    expect(stdout).toMatch(
      /^failed {3}gateway .*TLS: (wrong version number|packet length too long)\. The gateway speaks no TLS at this port/m,
    )
  })

  test('whose clock is wrong', async () => {
    clockOffMs = 90_000
    const { code, stdout } = await doctor({ mqtt: mqtt() })
    expect([
      code,
      /^warning {2}clock +its clock is (89|90|91) s ahead of ours\. Synchronise both machines/m.test(stdout),
    ]).toEqual([EXIT.ok, true])
  })
})

describe('a state directory', () => {
  test('that cannot be one', async () => {
    const file = join(folder, 'a-file')
    writeFileSync(file, '')
    const config = join(folder, 'state.yaml')
    writeFileSync(config, JSON.stringify({ connectors: { timers: { type: 'cron' } }, stateDir: join(file, 'below') }))
    const { code, stdout } = withFixes(await cli(['doctor', '-c', config, '--gateway', gateway.url]))
    expect(code).toBe(EXIT.problems)
    expect(stdout).toMatch(/^failed {3}state .*HUB_STATE_UNUSABLE: .*ENOTDIR.* A part of the path is a file/m)
  })

  test.for([
    ['EROFS', 'The disk is read-only there'],
    ['EACCES', 'write there'],
    ['EPERM', 'write there'],
    ['ENOSPC', 'Free space'],
    ['EIO', 'Set stateDir to a writable directory'],
  ] as const)('%s has its own fix', ([code, fix]) => {
    const { hint } = stateProblem('/var/hub', Object.assign(new Error(code), { code }))
    expect(hint).toContain(fix)
  })
})

test('--json is one document for machines, in the order of the configuration', async () => {
  const { code, stdout } = await doctor({ nats: natsOf(), mqtt: mqtt({ password: 'wrong' }) }, '--json')
  interface Said {
    readonly subject: string
    readonly outcome: string
    readonly code?: string
    readonly fix?: string
  }
  const { checks } = JSON.parse(stdout) as { checks: readonly Said[] }
  expect(checks.map(({ subject, outcome, code: named }) => [subject, outcome, named?.slice(0, 4)])).toEqual([
    ['gateway', 'ok', undefined],
    ['clock', 'ok', undefined],
    ['state', 'ok', undefined],
    ['nats', 'ok', undefined],
    ['nats orders.new', 'failed', 'HUB_'],
    ['mqtt', 'failed', 'HUB_'],
  ])
  expect(code).toBe(EXIT.problems)
  expect(checks.every(({ outcome, fix = '' }) => outcome === 'ok' || /^[A-Z].*\.$/.test(fix))).toBe(true)
})

test('--timeout that is none', async () => {
  const { code, stderr } = await cli(['doctor', 'mqtt', '--timeout', 'soon'])
  expect([code, stderr]).toEqual([EXIT.usage, expect.stringContaining('--timeout soon is not a duration')])
})

interface Listening extends AsyncDisposable {
  readonly port: number
}

/** Takes connections and says nothing. */
async function silentServer(): Promise<Listening> {
  return await listening(createTcpServer((socket) => void socket.on('error', () => {})))
}

async function listening(server: Server): Promise<Listening> {
  const sockets = new Set<{ destroy(): void }>()
  server.on('connection', (socket) => void sockets.add(socket))
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => void server.close(() => resolve()))
    },
  }
}

/** Of Mosquitto's dynamic security plugin: a user who may connect and subscribe to nothing. */
function dynamicSecurity(username: string, password: string): string {
  const salt = createHash('sha256').update(username).digest().subarray(0, 12)
  const iterations = 101
  return JSON.stringify({
    defaultACLAccess: { publishClientSend: false, publishClientReceive: false, subscribe: false, unsubscribe: true },
    clients: [
      {
        username,
        textName: username,
        password: pbkdf2Sync(password, salt, iterations, 64, 'sha512').toString('base64'),
        salt: salt.toString('base64'),
        iterations,
        roles: [],
      },
    ],
    groups: [],
    roles: [],
  })
}
