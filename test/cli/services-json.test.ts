// Commands that run until they are told to stop, as a machine reads them; and `dev` with connectors of a configuration.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { connectAsync } from 'mqtt'
import { afterAll, expect, test, vi } from 'vitest'

import { Gateway } from '../hub/rig.ts'
import { freePort } from '../servers/process.ts'
import { CliProcess } from './cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'hub-services-json-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const STACK = join(folder, 'stack.yaml')
mkdirSync(join(folder, 'echo'))
writeFileSync(STACK, 'functions:\n  echo:\n    fprocess: cat\n    handler: ./echo\n    annotations: { topic: "github:push,orders" }\n') // prettier-ignore

type Line = Readonly<Record<string, unknown>>

/** Fails when one of them is no JSON. */
function lines(text: string): readonly Line[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
}

/** The last one is cut while it is being written. */
const whole = ({ stdout }: CliProcess): readonly Line[] => lines(stdout.slice(0, stdout.lastIndexOf('\n') + 1))

async function said(dev: CliProcess, kind: string): Promise<Line> {
  return await vi.waitFor(
    () => {
      const found = whole(dev).find((one) => one['kind'] === kind)
      if (found === undefined) throw new Error(`no ${kind}:\n${dev.stdout}\n${dev.stderr}`)
      return found
    },
    { timeout: 60_000, interval: 20 },
  )
}

test('dev runs the connectors of a configuration, those with an embedded broker on it', async () => {
  const port = await freePort()
  const config = join(folder, 'hub.yaml')
  // Its own gateway and state are not those of development.
  writeFileSync(config, `gateway: { url: "http://127.0.0.1:1" }\nstateDir: ${join(folder, 'production')}\nconnectors:\n  hooks: { type: webhook, listen: { port: ${port} }, hooks: [{ name: github, scheme: none, eventHeader: X-Event }] }\n  mq: { type: mqtt, url: "mqtt://broker.invalid:1883" }\n`) // prettier-ignore
  await using dev = new CliProcess(['dev', STACK, '-c', config, '--port', '0', '--json'])
  const { addresses } = (await said(dev, 'started')) as { addresses: Record<string, string> }
  expect(Object.keys(addresses)).toEqual(['gateway', 'portal', 'mq', 'hub'])
  expect(addresses['portal']).toBe(`${addresses['gateway']}/ui/`)
  expect((await fetch(String(addresses['portal']))).headers.get('content-type')).toBe('text/html; charset=utf-8')
  expect(await said(dev, 'wired')).toMatchObject({ functions: 1, instances: [{ name: 'hooks' }, { name: 'mq' }] })
  await vi.waitFor(() => expect(whole(dev).filter(({ kind }) => kind === 'subscribed')).toHaveLength(2), {
    timeout: 60_000,
    interval: 20,
  })
  expect(whole(dev)).toContainEqual({ kind: 'subscribed', connector: 'mq', subscriptions: expect.arrayContaining([{ kind: 'topic', topic: 'orders' }]) }) // prettier-ignore
  const { status } = await fetch(`http://127.0.0.1:${port}/hooks/github`, { method: 'POST', body: '{}', headers: { 'X-Event': 'push' } }) // prettier-ignore
  expect(status).toBe(202)
  const done = (source: string, topic: string): unknown => expect.objectContaining({ kind: 'delivery', source, topic, end: 'acked', calls: [expect.objectContaining({ function: 'echo.openfaas-fn', status: 200 })] }) // prettier-ignore
  await vi.waitFor(() => expect(whole(dev)).toContainEqual(done('hooks', 'github:push')), {
    timeout: 60_000,
    interval: 20,
  })
  const client = await connectAsync(String(addresses['mq']))
  await client.publishAsync('orders', 'one', { qos: 1 })
  await client.endAsync()
  await vi.waitFor(() => expect(whole(dev)).toContainEqual(done('mq', 'orders')), { timeout: 60_000, interval: 20 })
  expect(await (await fetch(`${addresses['hub']}/readyz`)).json()).toMatchObject({ ready: true })
  dev.signal('SIGTERM')
  const { code, stdout } = await dev.ended()
  expect([code, lines(stdout).at(-1)]).toEqual([0, { kind: 'totals', connectors: { hooks: expect.any(Object), mq: expect.objectContaining({ inFlight: 0 }) } }]) // prettier-ignore
})

test('gateway says what it runs and what functions print', async () => {
  await using gateway = new CliProcess(['gateway', '--stack', STACK, '--port', '0', '--state-dir', join(folder, 'state'), '--json']) // prettier-ignore
  const { addresses } = (await said(gateway, 'started')) as { addresses: Record<string, string> }
  expect(await (await fetch(String(addresses['echo']), { method: 'POST', body: 'a' })).text()).toBe('a')
  gateway.signal('SIGINT')
  const { code, stdout } = await gateway.ended()
  expect(code).toBe(130)
  expect(lines(stdout).length).toBeGreaterThan(0)
})

test('run logs JSON even where the configuration says console', async () => {
  await using gateway = await new Gateway().start()
  const config = join(folder, 'run.yaml')
  writeFileSync(config, `gateway: { url: ${gateway.url} }\nlog: { format: console }\nadmin: { port: 0 }\nstateDir: ${join(folder, 'run')}\nconnectors: { timers: { type: cron } }\n`) // prettier-ignore
  await using hub = new CliProcess(['run', '-c', config, '--json'])
  await hub.says(/"event":"wiring\.changed"/)
  hub.signal('SIGTERM')
  const { code, stderr } = await hub.ended()
  expect(code).toBe(0)
  for (const one of lines(stderr)) expect(one).toHaveProperty('event')
})
