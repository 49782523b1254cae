// What `explain` says of a hub that is running: what holds an event up, and what would.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

import { afterAll, expect, test } from 'vitest'

import { connectorHoldUps } from '../../src/cli/hold-ups.ts'
import { Gateway, LOOPBACK, startHub, until } from '../hub/rig.ts'
import { cli } from './cli.ts'
import type { Ended } from './cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'hub-hold-ups-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const CONFIG = join(folder, 'hub.yaml')
writeFileSync(CONFIG, `connectors: { orders: { type: ${resolve(LOOPBACK)}, port: 1, password: none } }`)

test('a limit, a retry, an earlier event of the key, a gateway and a broker that are away', async () => {
  await using gateway = await new Gateway().start()
  gateway.functions = {
    waits: { topic: 'slow', 'connector.concurrency': '1' },
    fails: { topic: 'bad', 'com.openfaas.retry.min_wait': '1h', 'com.openfaas.retry.max_wait': '1h' },
  }
  await using running = await startHub(gateway.url)
  const { hub, broker } = running
  await until(() => hub.wiring !== undefined && hub.status.every(({ state }) => state === 'active'), 'it is wired')
  const open = (): readonly unknown[] => hub.open.deliveries.flatMap(({ calls }) => calls.map(({ function: name, state }) => `${name.split('.')[0]} ${state}`)) // prettier-ignore
  broker.publish('slow', [{ body: Buffer.from('1') }, { body: Buffer.from('2') }])
  broker.publish('bad', [{ body: Buffer.from('3'), key: 'k' }])
  await until(() => open().includes('waits limited') && open().includes('fails held'), 'they wait')
  const explain = (...args: readonly string[]): Promise<Ended> => cli(['explain', '--hub', String(hub.adminAddress), ...args]) // prettier-ignore
  const described = (topic: string, ...args: readonly string[]): Promise<Ended> => explain('-c', CONFIG, '--gateway', gateway.url, '--connector', 'orders', '--topic', topic, ...args) // prettier-ignore

  const limited = await described('slow')
  expect(limited.stdout).toContain('limited: 1 invocation running, 1 event waiting for a turn')
  expect(limited.code).toBe(0)
  const held = await described('bad', '--key', 'k')
  expect(held.stdout).toMatch(/retrying: 1 event held, next try in \S+, after: answered 500/)
  expect(held.stdout).toContain('waiting: 1 earlier event of key k not settled')
  expect((await described('bad', '--key', 'other')).stdout).not.toContain('earlier event')

  const events = hub.open.deliveries
  const past = await Promise.all(events.map(({ id }) => explain('--event', id)))
  const said = past.map(({ code, stdout }) => `${code} ${stdout}`).join('')
  expect(said).toMatch(/: slow on orders, in flight for \S+\n {2}waits\.openfaas-fn {2}being invoked; 1 attempt, last status none\n/) // prettier-ignore
  expect(said).toMatch(/ {2}waits\.openfaas-fn {2}limited: waiting for a turn; not invoked yet\n/)
  expect(said).toMatch(/ {2}fails\.openfaas-fn {2}held for another try; \d+ attempts?, last status 500; next try in \S+, after: answered 500\n/) // prettier-ignore
  const [first] = events
  const { stdout: json } = await explain('--event', String(first?.id), '--json')
  expect(JSON.parse(json)).toMatchObject({ event: first?.id, deliveries: [], open: [{ id: first?.id, calls: [{ state: 'invoking' }] }] }) // prettier-ignore

  await broker.stop()
  await until(() => hub.status.every(({ state }) => state !== 'active'), 'it has lost its broker')
  const paused = await described('slow', '--json')
  expect(JSON.parse(paused.stdout)).toMatchObject({
    invoked: 1,
    holdUps: [expect.stringMatching(/^orders is paused: /)],
  })
  await broker.start()
})

test('an event comes from a file, and options count before it', async () => {
  const stack = join(folder, 'stack.yaml')
  writeFileSync(stack, JSON.stringify({ functions: { large: { annotations: { topic: 'orders', 'connector.filter': 'data.total > 5.0 && headers.tenant == "a"' } } } })) // prettier-ignore
  const body = Buffer.from('{"total":7}').toString('base64')
  const event = {
    connector: 'mqtt',
    topic: 'orders',
    headers: { tenant: 'a' },
    orderingKey: 'k',
    contentType: 'application/json',
    body,
  }
  const path = join(folder, 'event.json')
  writeFileSync(path, JSON.stringify(event))
  const from = ['explain', '--stack', stack, '--from']
  expect((await cli([...from, path])).code).toBe(0)
  expect((await cli([...from, '-'], { input: JSON.stringify(event) })).code).toBe(0)
  const other = await cli([...from, path, '--header', 'tenant=b'])
  expect([other.code, other.stdout]).toEqual([1, expect.stringContaining('filter headers.tenant == "a" is false')])
  for (const [text, line] of [
    ['{', '--from'],
    ['[]', 'it is no JSON object'],
    ['{"topic":1}', 'topic is no text'],
    ['{"topic":"a","headers":{"x":1}}', 'headers is no mapping of texts'],
    ['{}', 'which event is not said'],
  ] as const) {
    const { code, stderr } = await cli([...from, '-'], { input: text })
    expect([text, code, stderr]).toEqual([text, 2, expect.stringContaining(line)])
  }
  expect((await cli([...from, join(folder, 'none.json')])).stderr).toContain('ENOENT')
})

test('a replica whose turn it is not', () => {
  const status = { connector: 'cron', since: 0, problem: undefined, subscriptions: 1, unsettled: 0 }
  const leader = { holder: 'pod-2_1f0c', epoch: 3, isOurs: false }
  const open = {
    gatewayReachable: true,
    connectors: [{ ...status, state: 'standby', leader }],
    deliveries: [],
  } as const
  expect(connectorHoldUps(open, 'cron')).toEqual(['cron stands by: pod-2_1f0c has the turn'])
})
