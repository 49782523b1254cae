// Each command's `--help` has an example; here a shell runs it as it is printed, in a folder with what a user has: hub.yaml,
// stack.yaml, a gateway, an MQTT broker and a running hub. Only addresses are added, where an example leaves the usual ones.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'

import startEmbedded from '../../connectors/mqtt/embedded.ts'
import { SqliteDeadLetters } from '../../src/delivery/dead-letters.ts'
import type { EmbeddedBroker } from '../../src/sdk/index.ts'
import { Gateway, runHub } from '../hub/rig.ts'
import type { RunningHub } from '../hub/rig.ts'
import { cli } from './cli.ts'

const ROOT = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'hub-examples-'))
const world = new AsyncDisposableStack()
let broker: EmbeddedBroker
let gateway: Gateway
let running: RunningHub
let env: Readonly<Record<string, string>> = {}

interface Expected {
  /** What standard output and standard error hold in the end, or what a command that does not end says before it is told to. */
  readonly says: RegExp
  readonly code?: number
  /** Ended by SIGINT once it has said that, with code 130. */
  readonly endless?: boolean
  /** Laid behind the example. */
  readonly more?: () => string
  /** What a user does meanwhile, again and again until it has said what is expected. */
  readonly meanwhile?: () => Promise<unknown>
}

const publish = async (topic: string, body: string): Promise<void> => {
  const client = await connectAsync(broker.address)
  await client.publishAsync(topic, body, { qos: 1 })
  await client.endAsync()
}

const EXAMPLES: Readonly<Record<string, Expected>> = {
  'run cron mqtt': { says: /Wired \d triggers of 3 functions/, endless: true },
  dev: { says: /Wired 4 triggers of 4 functions/, endless: true, more: () => '--port 0' },
  gateway: { says: /gateway +http:\/\/127\.0\.0\.1:\d+/, endless: true, more: () => '--port 0' },
  plan: { says: /sensors\/#\s+thermometer/ },
  'dry-run': { says: /thermometer\S* +yes {2}topic sensors\/#/, more: () => '--count 1', meanwhile: () => publish('sensors/1/temp', '21.5') }, // prettier-ignore
  explain: { says: /thermometer\S* +yes {2}topic sensors\/#/ },
  emit: { says: /^1 event taken by /m },
  lint: { says: /nothing to correct/ },
  doctor: { says: /0 failed/ },
  tail: { says: /✗ mqtt alarms\/1 → fails/, endless: true, more: () => `--hub ${running.hub.adminAddress}`, meanwhile: () => publish('alarms/1', 'fire') }, // prettier-ignore
  list: { says: /^kafka +beta/m },
  create: { says: /my-hub/ },
  'cron next': { says: /2026-03-29/ },
  completion: { says: /^$/ },
  'dead-letters list': { says: /^7 dead letters$/m },
  'dead-letters show': { says: /reason +answered 500/ },
  'dead-letters redrive': { says: /7 dead letters would be sent again/ },
  'dead-letters purge': { says: /7 dead letters would be deleted/ },
}

beforeAll(async () => {
  broker = world.use(await startEmbedded({ port: 0 }))
  gateway = world.use(await new Gateway().start())
  gateway.functions = { thermometer: { topic: 'sensors/#' }, fails: { topic: 'alarms/#', 'com.openfaas.retry.attempts': '0' }, timer: { topic: 'cron-function', schedule: '@hourly' } } // prettier-ignore
  mkdirSync(join(folder, 'bin'))
  writeFileSync(join(folder, 'bin/connector-hub'), `#!/bin/sh\nexec "${process.execPath}" "${ROOT}/src/cli/main.ts" "$@"\n`) // prettier-ignore
  chmodSync(join(folder, 'bin/connector-hub'), 0o755)
  symlinkSync(join(ROOT, 'deploy'), join(folder, 'deploy'))
  const functions = Object.entries(gateway.functions).map(([name, annotations]) => [name, { fprocess: 'cat', handler: '.', annotations }]) // prettier-ignore
  writeFileSync(join(folder, 'stack.yaml'), JSON.stringify({ provider: { name: 'openfaas' }, functions: Object.fromEntries(functions) })) // prettier-ignore
  const mqtt = { type: 'mqtt', url: broker.address, protocolVersion: 4 }
  const stateDir = join(folder, 'state')
  writeFileSync(join(folder, 'hub.yaml'), JSON.stringify({ gateway: { url: gateway.url }, admin: { port: 0 }, connectors: { cron: { type: 'cron' }, mqtt: { ...mqtt, clientId: 'of-hub-yaml' } } })) // prettier-ignore
  env = {
    PATH: `${join(folder, 'bin')}:${process.env['PATH']}`,
    HOME: folder,
    HUB_STATE_DIR: stateDir,
    HUB_MQTT_URL: broker.address,
    HUB_MQTT_PROTOCOL_VERSION: '4',
    gateway_url: gateway.url,
  }
  using letters = new SqliteDeadLetters(join(stateDir, 'dead-letters.db'))
  for (let index = 0; index < 7; index += 1)
    await letters.put({
      message: { id: `mqtt:${index}`, source: 'mqtt', topic: 'orders', body: Buffer.from('x'), headers: {}, attempt: 1, timestampMs: 0 }, // prettier-ignore
      function: 'billing.openfaas-fn',
      reason: 'answered 500 after 6 attempts',
      attempts: 6,
      failedAtMs: Date.UTC(2025, 0, 1),
    })
  running = world.use(await runHub(gateway.url, {}, { overlay: { mqtt } }))
})

afterAll(async () => {
  await world.disposeAsync()
  rmSync(folder, { recursive: true, force: true })
})

/** Every command that does something, found as a user finds them. */
async function commands(path: readonly string[] = []): Promise<readonly string[]> {
  const { stdout } = await cli([...path, '--help'])
  const list = /\nCommands:\n([\s\S]*?)(?:\n\n|$)/.exec(stdout)?.[1] ?? ''
  const names = [...list.matchAll(/^ {2}([a-z-]+)/gm)].flatMap(([, name]) => (name === 'help' || name === undefined ? [] : [name])) // prettier-ignore
  if (names.length === 0) return [path.join(' ')]
  return (await Promise.all(names.map((name) => commands([...path, name])))).flat()
}

test('every command is here', async () => {
  const known = Object.keys(EXAMPLES).map((name) => name.replace(/^run .*/, 'run'))
  expect([...(await commands())].toSorted()).toEqual(known.toSorted())
})

test.for(Object.entries(EXAMPLES))('%s', { timeout: 120_000 }, async ([name, expected]) => {
  const { stdout: help } = await cli([...name.replace(/^run .*/, 'run').split(' '), '--help'])
  const [, example = ''] = /\nExample:\n {2}(.*)\n/.exec(help) ?? []
  expect(example).toContain(`connector-hub ${name}`)
  const { says, code = expected.endless === true ? 130 : 0, meanwhile } = expected
  const line = `exec ${example} ${expected.more?.() ?? ''}`
  const child = spawn('bash', ['-c', line], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const ended = once(child, 'close')
  try {
    await vi.waitFor(
      async () => {
        await meanwhile?.()
        // One that ends by itself is looked at in the end.
        if (!says.test(said) && (meanwhile !== undefined || expected.endless === true)) throw new Error(`never said ${says}:\n${said}`) // prettier-ignore
      },
      { timeout: 60_000, interval: 200 },
    )
    if (expected.endless === true) child.kill('SIGINT')
    expect([(await ended)[0], said]).toEqual([code, expect.stringMatching(says)])
  } finally {
    child.kill('SIGKILL')
  }
})

test('completion has written what its example says', () => {
  expect(readFileSync(join(folder, '.bashrc'), 'utf8')).toContain('complete -o default -F _connector_hub connector-hub')
})
