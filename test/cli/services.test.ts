// Commands that run until they are told to stop: dev, gateway, run.

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

import { connectAsync } from 'mqtt'
import { afterAll, describe, expect, test } from 'vitest'

import { Gateway } from '../hub/rig.ts'
import { CliProcess, QUICKSTART } from './cli.ts'
import { descendants, isAlive } from './processes.ts'

const folder = mkdtempSync(join(tmpdir(), 'hub-services-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const ESCAPE = String.fromCharCode(27)
const MQTT = /mqtt +(mqtt:\/\/127\.0\.0\.1:\d+)/
const GATEWAY = /gateway +(http:\/\/127\.0\.0\.1:\d+)/

// The handlers of the quickstart find their packages above themselves.
symlinkSync(join(import.meta.dirname, '../../node_modules'), join(folder, 'node_modules'))

/** The quickstart in a folder of its own, to be edited. */
function copyOfQuickstart(name: string): string {
  const place = join(folder, name)
  cpSync(dirname(QUICKSTART), place, { recursive: true })
  return join(place, 'stack.yaml')
}

describe('dev', () => {
  test(
    'shows each delivery, follows the stack file, keeps the last good one, and ends clean',
    { timeout: 180_000 },
    async () => {
      const stack = copyOfQuickstart('dev')
      await using dev = new CliProcess(['dev', stack, '--port', '0'])
      const [, mqtt] = await dev.says(MQTT)
      await dev.says(/Wired 4 triggers of 4 functions/)
      await dev.says(/mqtt subscribed to 3 topics/)
      const client = await connectAsync(mqtt as string)

      await client.publishAsync('words/a', 'hello', { qos: 1 })
      await dev.says(/✓ mqtt words\/a → upper\.openfaas-fn {2}200 in /)
      await dev.says(/· mqtt words\/a → count\.openfaas-fn {2}filtered out/)
      await dev.says(/✓ mqtt shouted\/a → announce\.openfaas-fn {2}200 in /)
      await dev.says(/✓ cron cron-function → tick\.openfaas-fn {2}200 in /)

      // What comes from outside must not drive the terminal.
      await client.publishAsync(`words/${ESCAPE}]0;owned`, 'x', { qos: 1 })
      await dev.says(/words\/�\]0;owned → upper/)
      expect(dev.stdout).not.toContain(ESCAPE)

      const original = readFileSync(stack, 'utf8')
      writeFileSync(stack, `${original}\n  late:\n    fprocess: cat\n    handler: ./late\n    annotations:\n      topic: late/+\n`) // prettier-ignore
      mkdirSync(join(dirname(stack), 'late'), { recursive: true })
      await dev.says(/Wired 5 triggers of 5 functions/)
      await dev.says(/mqtt subscribed to 4 topics/)
      await client.publishAsync('late/1', 'now', { qos: 1 })
      await dev.says(/✓ mqtt late\/1 → late\.openfaas-fn {2}200 in /)
      expect(dev.stdout).not.toContain('dead letter')

      writeFileSync(stack, 'functions: {')
      await dev.says(/HUB_CONFIG_UNREADABLE|stack\.yaml:1:13/)
      await client.publishAsync('late/2', 'still', { qos: 1 })
      await dev.says(/✓ mqtt late\/2 → late\.openfaas-fn {2}200 in /)

      await client.endAsync()
      const children = descendants(dev.pid)
      expect(children.length).toBeGreaterThan(0)
      dev.signal('SIGINT')
      const { code, stdout } = await dev.ended()
      expect(code).toBe(130)
      const books = /mqtt: received (\d+) = acked (\d+) \+ unmatched (\d+) \+ filtered (\d+) \+ dead letters (\d+) \+ returned (\d+) \+ in flight (\d+)/.exec(stdout) // prettier-ignore
      const [received = 0, ...parts] = (books ?? []).slice(1).map(Number)
      expect(received).toBeGreaterThanOrEqual(5)
      expect(parts.reduce((sum, part) => sum + part, 0)).toBe(received)
      // The reaper follows a moment later.
      await expect.poll(() => children.filter(isAlive)).toEqual([])
    },
  )

  test('a function that cannot run here is named, the others run', async () => {
    const stack = join(folder, 'python.yaml')
    writeFileSync(stack, 'functions:\n  go:\n    lang: golang\n    handler: ./go\n    annotations: { topic: a }\n')
    await using dev = new CliProcess(['dev', stack, '--port', '0'])
    await dev.says(
      /go\.openfaas-fn is not run: the bundled gateway runs lang node\* and python\*, and any fprocess, not lang golang/,
    )
    await dev.says(/Wired 1 trigger of 1 function/)
    dev.signal('SIGTERM')
    expect((await dev.ended()).code).toBe(0)
  })
})

describe('gateway', () => {
  test('runs the functions of a stack file with basic auth for /system, and ends with its processes', async () => {
    const mount = join(folder, 'secrets')
    mkdirSync(mount)
    writeFileSync(join(mount, 'basic-auth-user'), 'admin\n')
    writeFileSync(join(mount, 'basic-auth-password'), 's3cret\n')
    await using gateway = new CliProcess(
      ['gateway', '--stack', QUICKSTART, '--port', '0', '--state-dir', join(folder, 'gateway')],
      { env: { basic_auth: 'true', secret_mount_path: mount } },
    )
    const [, url = ''] = await gateway.says(GATEWAY)
    await gateway.says(/count +http/)
    const list = (authorization: string): Promise<Response> =>
      fetch(`${url}/system/functions`, { headers: { authorization } })
    const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`

    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    expect((await list(basic('admin:wrong'))).status).toBe(401)
    const functions = (await (await list(basic('admin:s3cret'))).json()) as { name: string }[]
    expect(functions.map(({ name }) => name).sort()).toEqual(['announce', 'count', 'tick', 'upper'])
    const answer = await fetch(`${url}/function/count`, { method: 'POST', body: 'three short words' })
    expect([answer.status, (await answer.text()).trim()]).toEqual([200, '17'])

    const children = descendants(gateway.pid)
    gateway.signal('SIGTERM')
    const { code, stdout, stderr } = await gateway.ended()
    expect(code).toBe(0)
    // The reaper follows a moment later.
    await expect.poll(() => children.filter(isAlive)).toEqual([])
    expect(stdout + stderr).not.toContain('s3cret')
  })
})

describe('run', () => {
  const started = (stateDir: string, more: Readonly<Record<string, string>>): CliProcess =>
    new CliProcess(['run', '-c', config(stateDir)], {
      env: { HUB_STATE_DIR: join(folder, stateDir), HUB_ADMIN_HOST: '127.0.0.1', HUB_ADMIN_PORT: '0', ...more },
    })

  function config(name: string): string {
    const path = join(folder, `${name}.yaml`)
    writeFileSync(
      path,
      'connectors:\n  timers: { type: cron }\n  away: { type: mqtt, url: "mqtt://127.0.0.1:1", username: hub, password: hunter2 }\n',
    )
    return path
  }

  test('invokes through the gateway, and a broker that is away stops nothing else', async () => {
    await using gateway = await new Gateway().start()
    gateway.functions = { report: { topic: 'cron-function', schedule: '@every 1s' } }
    await using hub = started('run', { gateway_url: gateway.url, print_response: 'true' })
    await hub.says(/\[200\] cron-function => report\.openfaas-fn/)
    await hub.says(/away: .*HUB_SOURCE_UNREACHABLE|HUB_SOURCE_UNREACHABLE.*away|ECONNREFUSED 127\.0\.0\.1:1\b/)
    const [, admin = ''] = await hub.says(/Health and metrics at (http:\S+)/)
    const ready = await fetch(`${admin}/readyz`)
    expect(ready.status).toBe(503)
    const { connectors } = (await ready.json()) as { connectors: { connector: string; state: string }[] }
    expect(connectors.map(({ connector, state }) => `${connector} ${state}`).sort()).toEqual([
      'away failing',
      'timers active',
    ])
    hub.signal('SIGTERM')
    const { code, stdout, stderr } = await hub.ended()
    expect([code, stdout]).toEqual([0, ''])
    expect(stderr).toMatch(/timers: drained in .*, everything was settled/)
    expect(stderr).not.toContain('hunter2')
    expect(stderr).not.toContain(ESCAPE)
  })

  test('without its gateway says so, goes on trying, and still stops at once', async () => {
    await using gateway = await new Gateway().reserve()
    gateway.functions = { report: { topic: 'cron-function', schedule: '@every 1s' } }
    await using hub = started('lonely', { gateway_url: gateway.url, rebuild_interval: '1s', log_encoding: 'json' })
    await hub.says(/"code":"HUB_DISCOVERY_FAILED"/)
    await gateway.start()
    await hub.says(/"event":"wiring\.changed"/)
    for (const line of hub.stderr.trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('event')
    hub.signal('SIGINT')
    expect((await hub.ended()).code).toBe(130)
  })

  test('a second signal does not wait for what runs', async () => {
    await using gateway = await new Gateway().start()
    gateway.functions = { waits: { topic: 'cron-function', schedule: '@every 1s' } }
    await using hub = started('hurry', { gateway_url: gateway.url })
    await expect.poll(() => gateway.waiting.length).toBeGreaterThan(0)
    hub.signal('SIGTERM')
    await hub.says(/SIGTERM: letting what runs end, at most 25 s; once more to stop at once/)
    hub.signal('SIGTERM')
    expect((await hub.ended()).code).toBe(130)
  })

  test('a terminal that is closed drains', async () => {
    await using gateway = await new Gateway().start()
    await using hub = started('closed', { gateway_url: gateway.url })
    await hub.says(/timers: connected/)
    hub.signal('SIGHUP')
    const { code, stderr } = await hub.ended()
    expect(code).toBe(0)
    expect(stderr).toContain('timers: closed')
  })
})
