// `emit` as a process on an MQTT broker: what a machine reads, what a person sees on a terminal, and what goes wrong.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, expect, test } from 'vitest'

import startEmbedded from '../../connectors/mqtt/embedded.ts'
import type { EmbeddedBroker } from '../../src/sdk/index.ts'
import { CliProcess, cli } from './cli.ts'
import type { Ended } from './cli.ts'
import { noTerminal, onTerminal } from './terminal.ts'

const ESCAPE = String.fromCharCode(27)
const folder = mkdtempSync(join(tmpdir(), 'hub-emit-'))
let broker: EmbeddedBroker
let config = ''

beforeAll(async () => {
  broker = await startEmbedded({ port: 0 })
  config = join(folder, 'hub.yaml')
  writeFileSync(config, JSON.stringify({ connectors: { mq: { type: 'mqtt', url: broker.address }, timers: { type: 'cron' } } })) // prettier-ignore
})
afterAll(async () => {
  await broker[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

const emit = (...args: readonly string[]): Promise<Ended> => cli(['emit', ...args, '-c', config])

test('the bytes of a file or of standard input, and a line for each event as JSON', async () => {
  const bodies: string[] = []
  const client = await connectAsync(broker.address)
  await client.subscribeAsync('orders', { qos: 1 })
  client.on('message', (_topic, payload) => void bodies.push(payload.toString('latin1')))
  const path = join(folder, 'body')
  writeFileSync(path, Buffer.from([0, 255, 13, 10]))
  const { code, stdout } = await emit('mq', 'orders', '--data', `@${path}`, '--count', '2', '--json')
  const lines = stdout.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>) // prettier-ignore
  expect([code, lines.slice(0, 2)]).toEqual([0, Array.from({ length: 2 }, () => ({ connector: 'mq', topic: 'orders', at: expect.stringContaining('orders') as string }))]) // prettier-ignore
  expect(lines.slice(2)).toEqual([{ connector: 'mq', topic: 'orders', place: expect.stringContaining(broker.address) as string, sent: 2, of: 2 }]) // prettier-ignore
  const typed = await cli(['emit', 'mq', 'orders', '--data', '-', '-c', config], { input: 'typed' })
  expect(typed.code).toBe(0)
  await expect.poll(() => bodies).toEqual(['\u0000ÿ\r\n', '\u0000ÿ\r\n', 'typed'])
  await client.endAsync()
})

test('on a terminal a bar says how far it is, and is gone in the end', async (context) => {
  const why = noTerminal()
  if (why !== undefined) return context.skip(why)
  // Ten a second, so that it is drawn more than once.
  const { code, screen } = await onTerminal(['emit', 'mq', 'orders', '--count', '8', '--rate', '10', '-c', config])
  expect(code).toBe(0)
  expect(screen).toMatch(/█+.*░* [1-7] of 8 events, \d+\/s/)
  const [, after = ''] = screen.split(/^.*\r[^\r]*\[K(?=8 events taken by)/m)
  expect(after).toMatch(/^8 events taken by \S/)
  expect((await emit('mq', 'orders', '--count', '8', '--rate', '100')).stderr).toBe('')
})

test('Ctrl-C ends it, and it says how many the broker has', async () => {
  await using command = new CliProcess(['emit', 'mq', 'orders', '--count', '1000', '--rate', '20', '--json', '-c', config]) // prettier-ignore
  await command.says(/"at"/)
  command.signal('SIGINT')
  const { code, stdout } = await command.ended()
  const lines = stdout.trim().split('\n').map((line) => JSON.parse(line) as { sent?: number }) // prettier-ignore
  expect([code, lines.at(-1)]).toEqual([130, expect.objectContaining({ sent: lines.length - 1, of: 1000 })])
})

test.for([
  [['timers', 'x'], 2, 'nothing can be published to timers'],
  [['mqq', 'x'], 2, 'the configuration has no connector "mqq". It has: mq, timers.'],
  [['mq', 'a/#'], 2, 'stands for many topics'],
  [['mq', 'x', '--key', 'k'], 2, 'MQTT has no keys'],
  [['mq', 'x', '--data', '@/none'], 2, '--data @/none'],
  [['mq', 'x', '--header', 'novalue'], 2, '--header novalue: not name=value'],
  [['mq', 'x', '--count', '0'], 2, '--count 0 is not a whole number from 1'],
  [['mq', 'x', '--rate', 'fast'], 2, '--rate fast is not a number of events a second'],
] as const)('%j', async ([args, expected, line]) => {
  const { code, stderr } = await emit(...args)
  expect([code, stderr]).toEqual([expected, expect.stringContaining(line)])
  expect(stderr).not.toContain(ESCAPE)
})

test('a broker that is away, without its password', async () => {
  const { code, stdout, stderr } = await cli(['emit', 'mqtt', 'x'], { env: { HUB_MQTT_URL: 'mqtt://hub:hunter2@127.0.0.1:1' } }) // prettier-ignore
  expect([code, stdout]).toEqual([3, ''])
  expect(stderr).toContain('HUB_SOURCE_UNREACHABLE')
  expect(stderr).not.toContain('hunter2')
})
