// `doctor` as a process against real servers: what works, what does not, and what it says to do about it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { HttpListener } from '../http-listener.ts'
import { noMosquitto, startMosquitto } from '../servers/mosquitto.ts'
import type { MosquittoServer } from '../servers/mosquitto.ts'
import { noNats, startNats } from '../servers/nats.ts'
import type { NatsServer } from '../servers/nats.ts'
import { createCertificates, noCertificates } from '../servers/tls.ts'
import type { Certificates } from '../servers/tls.ts'
import { cli } from './cli.ts'
import type { Ended } from './cli.ts'

const EXIT = { ok: 0, problems: 1, usage: 2, unreachable: 3 } as const
const PASSWORD = 'correct-h0rse'
const folder = mkdtempSync(join(tmpdir(), 'hub-doctor-'))
const missing = noMosquitto() ?? noCertificates() ?? (await noNats())
let files: Certificates
let mosquitto: MosquittoServer
let nats: NatsServer
let gateway: HttpListener
let clockOffMs = 0

beforeAll(async () => {
  if (missing !== undefined) return
  files = createCertificates()
  mosquitto = await startMosquitto({
    credentials: { username: 'hub', password: PASSWORD },
    tls: { ...files, requireClient: false },
  })
  nats = await startNats()
  gateway = new HttpListener(({ url = '' }, response) => {
    response.setHeader('Date', new Date(Date.now() + clockOffMs).toUTCString())
    if (url.startsWith('/system/namespaces')) response.end('["openfaas-fn"]')
    else if (url.startsWith('/system/functions'))
      response.end('[{"name":"a","namespace":"openfaas-fn","annotations":{"topic":"orders.new"}}]')
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
  if (missing !== undefined) context.skip(missing)
})

/** With these connectors. */
async function doctor(connectors: Readonly<Record<string, unknown>>, ...args: readonly string[]): Promise<Ended> {
  const config = join(folder, 'hub.yaml')
  writeFileSync(config, JSON.stringify({ connectors, stateDir: join(folder, 'state') }))
  return await cli(['doctor', '-c', config, '--gateway', gateway.url, ...args])
}

const mqtt = (more: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> => ({
  type: 'mqtt',
  url: mosquitto.url,
  username: 'hub',
  password: PASSWORD,
  ...more,
})

test('what works is said to work, with the server and its version', async () => {
  const { code, stdout, stderr } = await doctor({ mqtt: mqtt(), timers: { type: 'cron' } })
  expect([code, stderr]).toEqual([EXIT.ok, ''])
  expect(stdout).toMatch(/^ok {7}gateway {9}http:\/\/127\.0\.0\.1:\d+: 1 function, 1 trigger\.$/m)
  expect(stdout).toMatch(/^ok {7}clock {11}that of the gateway agrees with ours\.$/m)
  expect(stdout).toMatch(/^ok {7}state .* can be written\.$/m)
  expect(stdout).toMatch(/^ok {7}mqtt .*mqtt:\/\/127\.0\.0\.1:\d+/m)
  expect(stdout).toMatch(/^ok {7}timers .*no function asks for a topic of it\.$/m)
  expect(stdout).toContain('6 checks: 0 failed, 0 warnings')
})

describe('what does not work has a code and a fix', () => {
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
    const { code, stdout } = await doctor({ nats: { type: 'nats', servers: [nats.url] } })
    expect(code).toBe(EXIT.problems)
    expect(stdout).toMatch(/^ok {7}nats .*NATS \d/m)
    expect(stdout).toMatch(
      /^failed {3}nats orders\.new +no stream has the subject|^failed {3}nats orders\.new .*no stream has the subject orders\.new/m,
    )
  })

  test('a clock that is wrong', async () => {
    clockOffMs = 90_000
    const { code, stdout } = await doctor({ mqtt: mqtt() })
    expect([
      code,
      /^warning {2}clock +its clock is (89|90|91) s ahead of ours\. Synchronise both machines/m.test(stdout),
    ]).toEqual([EXIT.ok, true])
  })

  test('a gateway that is away: the brokers are checked all the same', async () => {
    const { code, stdout } = await doctor({ mqtt: mqtt() }, '--gateway', 'http://127.0.0.1:1')
    expect(code).toBe(EXIT.unreachable)
    expect(stdout).toMatch(/^failed {3}gateway .*HUB_DISCOVERY_FAILED/m)
    expect(stdout).toMatch(/^ok {7}mqtt /m)
  })

  test('a state directory that cannot be one', async () => {
    const file = join(folder, 'a-file')
    writeFileSync(file, '')
    const config = join(folder, 'state.yaml')
    writeFileSync(config, JSON.stringify({ connectors: { timers: { type: 'cron' } }, stateDir: join(file, 'below') }))
    const { code, stdout } = await cli(['doctor', '-c', config, '--gateway', gateway.url])
    expect([code, /^failed {3}state .*HUB_STATE_UNUSABLE: .*ENOTDIR/m.test(stdout)]).toEqual([EXIT.problems, true])
  })
})

test('--json is one document for machines', async () => {
  const { code, stdout } = await doctor({ mqtt: mqtt({ password: 'wrong' }) }, '--json')
  const { checks } = JSON.parse(stdout) as { checks: { subject: string; outcome: string; code?: string }[] }
  expect([code, checks.map(({ subject, outcome, code: named }) => [subject, outcome, named])]).toEqual([
    EXIT.problems,
    [
      ['gateway', 'ok', undefined],
      ['clock', 'ok', undefined],
      ['state', 'ok', undefined],
      ['mqtt', 'failed', 'HUB_SOURCE_AUTH'],
    ],
  ])
})
