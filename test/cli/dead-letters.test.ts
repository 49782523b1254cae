// `dead-letters` as a process on a real store, beside a gateway that answers as the test says.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { SqliteDeadLetters } from '../../src/delivery/dead-letters.ts'
import type { DeadLetter } from '../../src/sdk/index.ts'
import { HttpListener } from '../http-listener.ts'
import { cli } from './cli.ts'
import type { Ended } from './cli.ts'

let stateDir = ''
let gateway: HttpListener
const invoked: { url: string; headers: Readonly<Record<string, unknown>>; body: string }[] = []
let statusOf: (url: string) => number = () => 200

beforeEach(async () => {
  stateDir = mkdtempSync(join(tmpdir(), 'hub-letters-'))
  invoked.length = 0
  statusOf = () => 200
  gateway = new HttpListener((request, response) => {
    const { url = '', headers } = request
    if (url.startsWith('/system/namespaces')) return void response.end('["openfaas-fn"]')
    if (url.startsWith('/system/functions'))
      return void response.end(
        JSON.stringify(
          ['billing', 'mail'].map((name) => ({ name, namespace: 'openfaas-fn', annotations: { topic: 'orders' } })),
        ),
      )
    let body = ''
    request.on('data', (chunk) => (body += String(chunk)))
    request.on('end', () => {
      invoked.push({ url, headers, body })
      response.writeHead(statusOf(url)).end()
    })
  })
  await gateway.start()
})
afterEach(async () => {
  await gateway.stop()
  rmSync(stateDir, { recursive: true, force: true })
})

const letter = (name: string, index: number, more: Partial<DeadLetter> = {}): DeadLetter => ({
  message: {
    id: `mqtt:${index}`,
    source: 'mqtt',
    topic: 'orders',
    body: Buffer.from(`body ${index}`),
    headers: { 'X-Mqtt-Qos': '1', 'X-Tenant': 'a' },
    contentType: 'text/x-order',
    attempt: 1,
    timestampMs: Date.UTC(2026, 0, 1),
  },
  function: `${name}.openfaas-fn`,
  reason: 'answered 500 after 6 attempts',
  status: 500,
  attempts: 6,
  failedAtMs: Date.UTC(2026, 0, 1, 0, 0, index),
  ...more,
})

async function store(...letters: readonly DeadLetter[]): Promise<void> {
  using file = new SqliteDeadLetters(join(stateDir, 'dead-letters.db'))
  for (const one of letters) await file.put(one)
}

function stored(): readonly (readonly [number, string])[] {
  using file = new SqliteDeadLetters(join(stateDir, 'dead-letters.db'))
  return file.list(1000).map(({ number, reason }) => [number, reason])
}

const run = (...args: readonly string[]): Promise<Ended> =>
  cli(['dead-letters', ...args], {
    env: { HUB_STATE_DIR: stateDir, gateway_url: gateway.url, HUB_MQTT_URL: 'mqtt://127.0.0.1:1' },
    cwd: stateDir,
  })
/** The connector that the letters came from is configured. */
function withMqtt(...args: readonly string[]): Promise<Ended> {
  writeFileSync(join(stateDir, 'hub.yaml'), 'connectors: { mqtt: { type: mqtt } }')
  return run(...args, '-c', join(stateDir, 'hub.yaml'))
}

describe('list and show', () => {
  test('say what there is, by function, topic, connector and time', async () => {
    await store(letter('billing', 1), letter('mail', 2), letter('billing', 3))
    const { code, stdout } = await run('list')
    expect([code, stdout.split('\n')]).toEqual([
      0,
      [
        'ID  FAILED (UTC)              FUNCTION             FROM         REASON',
        '1   2026-01-01T00:00:01.000Z  billing.openfaas-fn  mqtt orders  answered 500 after 6 attempts',
        '2   2026-01-01T00:00:02.000Z  mail.openfaas-fn     mqtt orders  answered 500 after 6 attempts',
        '3   2026-01-01T00:00:03.000Z  billing.openfaas-fn  mqtt orders  answered 500 after 6 attempts',
        '',
        '3 dead letters',
        '',
      ],
    ])
    const numbers = async (...args: readonly string[]): Promise<unknown> => {
      const { count, letters } = JSON.parse((await run('list', '--json', ...args)).stdout) as {
        count: number
        letters: { id: string }[]
      }
      return [count, letters.map(({ id }) => id)]
    }
    expect(await numbers('--function', 'billing.openfaas-fn')).toEqual([2, ['1', '3']])
    expect(await numbers('--before', '2026-01-01T00:00:03Z')).toEqual([2, ['1', '2']])
    expect(await numbers('--topic', 'other')).toEqual([0, []])
    expect(await numbers('--connector', 'mqtt', '--limit', '1')).toEqual([3, ['1']])
  })

  test('show one whole, and nothing that drives the terminal', async () => {
    await store(
      letter('billing', 1),
      letter('mail', 2, {
        message: { ...letter('mail', 2).message, body: Buffer.from([255, 0]), topic: 'a\u001b[31mb' },
      }),
    )
    const { stdout } = await run('show', '1')
    for (const line of ['function      billing.openfaas-fn', 'X-Tenant      a', 'content type  text/x-order', 'body 1'])
      expect(stdout).toContain(line)
    const other = await run('show', '2')
    expect(other.stdout).toContain('(2B that are no text')
    expect(other.stdout).not.toContain('\u001b')
    expect(JSON.parse((await run('show', '2', '--json')).stdout)).toMatchObject({
      body: '/wA=',
      headers: { 'X-Tenant': 'a' },
    })
  })

  test('a store that is not there is empty, and is not made', async () => {
    const { code, stdout } = await run('list')
    expect([code, stdout]).toEqual([0, `no dead letters in ${join(stateDir, 'dead-letters.db')}\n`])
    expect((await run('show', '1')).stderr).toContain('there is no dead letter 1')
  })
})

describe('redrive', () => {
  test('reaches only the function that failed, with everything that the event had, and deletes what is done', async () => {
    await store(letter('billing', 1), letter('mail', 2))
    expect((await withMqtt('redrive', '--all', '--dry-run')).stdout).toBe('2 dead letters would be sent again\n')
    const { code, stdout } = await withMqtt('redrive', '2')
    expect([code, stdout]).toEqual([0, '2  mail.openfaas-fn  done\n\n1 done, 0 failed and kept\n'])
    expect(invoked).toHaveLength(1)
    expect(invoked[0]).toMatchObject({
      url: '/function/mail.openfaas-fn',
      body: 'body 2',
      headers: {
        'x-topic': 'orders',
        'x-connector': 'mqtt-connector',
        'x-mqtt-qos': '1',
        'x-tenant': 'a',
        'content-type': 'text/x-order',
      },
    })
    expect(stored().map(([number]) => number)).toEqual([1])
  })

  test('keeps what fails again, with its new reason, and goes on with the others', async () => {
    statusOf = (url) => (url.includes('mail') ? 503 : 200)
    await store(letter('billing', 1), letter('mail', 2), letter('gone', 3), letter('billing', 4))
    const { code, stdout } = await withMqtt('redrive', '--all', '--json')
    expect(code).toBe(1)
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      { id: '1', function: 'billing.openfaas-fn' },
      { id: '2', function: 'mail.openfaas-fn', problem: 'answered 503' },
      {
        id: '3',
        function: 'gone.openfaas-fn',
        problem: 'gone.openfaas-fn is not deployed, or no longer triggered by mqtt',
      },
      { id: '4', function: 'billing.openfaas-fn' },
      { done: 2, failed: 2 },
    ])
    expect(stored()).toEqual([
      [2, 'answered 503'],
      [3, 'answered 500 after 6 attempts'],
    ])
  })

  test('stops where the gateway is away, and keeps everything', async () => {
    await store(letter('billing', 1), letter('mail', 2))
    let calls = 0
    statusOf = () => {
      calls += 1
      void gateway.stop()
      return 200
    }
    const { code, stderr } = await withMqtt('redrive', '--all')
    // The one that was on its way has no answer; the next one finds nobody.
    expect([code, calls]).toEqual([3, 1])
    expect(stderr).toContain('HUB_GATEWAY_UNREACHABLE')
    expect(stored().map(([number]) => number)).toContain(2)
  })

  test.each([
    [['redrive'], 'which dead letters is not said'],
    [['redrive', '1', '--all'], 'exclude each other'],
    [['list', '--place', 'orders.dead'], '--place is of a broker'],
    [['list', '--broker', 'mqtt'], 'mqtt keeps no dead letters at its broker'],
    [['redrive', '--all', '--rate', 'fast'], '--rate fast is not a number of events a second'],
    [['purge'], 'which dead letters is not said'],
    [['purge', '--before', 'yesterday'], '--before yesterday is not a date'],
  ])('%j is bad usage', async (args, line) => {
    const { code, stdout, stderr } = await run(...args)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain(line)
  })
})

test('purge deletes what is chosen and nothing else', async () => {
  await store(letter('billing', 1), letter('mail', 2), letter('billing', 3))
  expect((await run('purge', '--function', 'billing.openfaas-fn', '--dry-run')).stdout).toBe(
    '2 dead letters would be deleted\n',
  )
  expect(stored()).toHaveLength(3)
  expect((await run('purge', '--function', 'billing.openfaas-fn')).stdout).toBe('2 dead letters deleted\n')
  expect(stored().map(([number]) => number)).toEqual([2])
  expect((await run('purge', '2', '9')).stdout).toBe('1 dead letter deleted\n')
  expect(stored()).toEqual([])
})
