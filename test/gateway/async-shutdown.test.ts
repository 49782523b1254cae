// The gateway stops while async calls run: it waits for them for a while, and what it cuts runs again at the next start.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { ManualClock } from '../../src/sdk/index.ts'
import type { FunctionSpec } from '../../src/gateway/gateway.ts'
import { startReceiver } from './receiver.ts'
import type { Receiver } from './receiver.ts'
import { processFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'

let directory: string
let receiver: Receiver
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'async-shutdown-'))
  receiver = await startReceiver()
})
afterEach(async () => {
  await receiver[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})

const file = (name: string): string => join(directory, name)

/** With a function that says when it runs, and answers when the test lets it. */
function start(drainMs: number): Promise<Rig> {
  const envVars = { STARTED_FILE: file('started'), GO_FILE: file('go') }
  return startRig([processFunction('gate', './gate.sh', { envVars })], { stateDir: file('state'), queue: { drainMs } })
}

const post = (rig: Rig): Promise<unknown> =>
  rig.call('/async-function/gate', { method: 'POST', headers: { 'X-Callback-Url': receiver.url, 'X-Call-Id': 'mine' } })

test('a call that ends in time is called back before the gateway has stopped, and is over', async () => {
  const rig = await start(60_000)
  await post(rig)
  await until('it runs', () => existsSync(file('started')))
  const stopped = rig[Symbol.asyncDispose]()
  writeFileSync(file('go'), '')
  await stopped
  expect(receiver.received).toMatchObject([{ body: 'done\n', headers: { 'x-call-id': 'mine' } }])
  await using next = await start(0)
  expect(next.gateway.queueLength).toBe(0)
})

test('a call that does not is cut without a callback, and runs again after the next start', async () => {
  const rig = await start(0)
  await post(rig)
  await until('it runs', () => existsSync(file('started')))
  await rig[Symbol.asyncDispose]()
  expect(receiver.received).toEqual([])
  writeFileSync(file('go'), '')
  await using next = await start(0)
  await until('it is over', () => next.gateway.queueLength === 0)
  expect(receiver.received).toMatchObject([
    { body: 'done\n', headers: { 'x-call-id': 'mine', 'x-function-status': '200' } },
  ])
})

test('a callback that hangs does not keep the gateway, and is sent again after the next start', async () => {
  await using silent = await startReceiver(200, {}, () => false)
  writeFileSync(file('go'), '')
  const rig = await start(0)
  await rig.call('/async-function/gate', { method: 'POST', headers: { 'X-Callback-Url': silent.url } })
  await until('it is on its way', () => silent.received.length === 1)
  await rig[Symbol.asyncDispose]()
  await using next = await start(0)
  expect(next.gateway.queueLength).toBe(1)
  await until('it is sent again', () => silent.received.length === 2)
})

test('calls of clients, async calls and callbacks have one time together', async () => {
  const clock = new ManualClock()
  await using silent = await startReceiver(200, {}, () => false)
  const gate = (name: string): FunctionSpec =>
    processFunction(name, './gate.sh', { envVars: { STARTED_FILE: file(name), GO_FILE: file('never') } })
  const specs = [gate('sync'), gate('async'), processFunction('cat', 'cat')]
  const rig = await startRig(specs, { clock, drainMs: 25_000, stateDir: file('state') })
  await rig.call('/async-function/async', { method: 'POST' })
  await rig.call('/async-function/cat', { method: 'POST', headers: { 'X-Callback-Url': silent.url } })
  const answer = rig.call('/function/sync').then(
    ({ status }) => status,
    () => 'broken off',
  )
  await until('all run', () => [file('sync'), file('async')].every(existsSync) && silent.received.length === 1)
  const closed = rig.gateway.close()
  await clock.advance(24_999)
  // Long enough for what has been cut to say so.
  expect((await rig.call('/healthz')).status).toBe(200)
  expect(rig.log.requests.filter((line) => line.includes('Stopped: '))).toEqual([])
  await clock.advance(1)
  await closed
  expect(await answer).toBe('broken off')
  expect(rig.log.requests.filter((line) => line.includes('Stopped: '))).toHaveLength(1)
  writeFileSync(file('never'), '')
  await using next = await startRig(specs, { stateDir: file('state'), queue: { drainMs: 0 } })
  expect(next.gateway.queueLength).toBe(2)
  await until('both have run again', () => silent.received.length === 2 && next.gateway.queueLength === 1)
})

test('what was queued before finds the functions that are deployed before the queue starts', async () => {
  const held = { stateDir: file('state'), holdsQueue: true }
  const cat = processFunction('cat', 'cat', { annotations: { 'com.openfaas.retry.attempts': '0' } })
  {
    await using first = await startRig([cat], held)
    const call = { method: 'POST', headers: { 'X-Callback-Url': receiver.url }, body: 'hello' }
    expect((await first.call('/async-function/cat', call)).status).toBe(202)
  }
  await using second = await startRig([], held)
  expect(second.gateway.queueLength).toBe(1)
  await second.gateway.deploy(cat)
  second.gateway.startQueue()
  second.gateway.startQueue()
  await until('it is over', () => second.gateway.queueLength === 0)
  expect(receiver.received).toMatchObject([{ body: 'hello', headers: { 'x-function-status': '200', 'x-retry': '0' } }])
  expect(second.log.requests.filter((line) => line.includes('Invoking'))).toHaveLength(1)
})
