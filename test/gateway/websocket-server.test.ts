// WebSockets to servers of the user's own (of-watchdog's mode http), real processes: as long as a tunnel stands its process
// stays, whatever becomes of the function; and when the process ends, the caller hears it.

import { join } from 'node:path'

import { expect, test } from 'vitest'

import { ManualClock } from '../../src/sdk/index.ts'
import type { FunctionSpec } from '../../src/gateway/gateway.ts'
import { FIXTURES, isAlive, nodeFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'
import { ask, closed, dial, refused } from './web-socket-client.ts'

const MINUTE_MS = 60_000
/** Callers that only wait for a tunnel to end. */
const LONG_CALLS = { writeTimeoutMs: 10 * MINUTE_MS }

function talk(
  version: number,
  parts: Parameters<typeof nodeFunction>[2] = {},
  command = 'websocket.cjs',
): FunctionSpec {
  const { envVars, ...others } = parts
  const directory = join(FIXTURES, 'servers')
  return {
    ...nodeFunction('talk', 'servers', { ...others, envVars: { VERSION: String(version), ...envVars } }),
    runtime: { kind: 'server', command: `${process.execPath} ${command}`, directory, url: 'http://127.0.0.1:0' },
  }
}

/** What a plain call is answered, and the process that does. */
async function plain(rig: Rig): Promise<readonly [string, number]> {
  const { status, text } = await rig.call('/function/talk')
  expect([status, text]).toEqual([200, expect.stringMatching(/^plain \d \d+$/)])
  const [, version = '', pid] = text.split(' ')
  return [version, Number(pid)]
}

async function talkTo(rig: Rig): Promise<{ readonly client: Awaited<ReturnType<typeof dial>>; readonly pid: number }> {
  const client = await dial(rig.gateway.address, '/function/talk/room?as=me')
  const [version, pid, url] = (await ask(client, 'where')).split(' ')
  expect([version, url]).toEqual(['0', '/room?as=me'])
  return { client, pid: Number(pid) }
}

test('text and bytes go both ways, for longer than an exec_timeout and an answer may take', async () => {
  const limits = { exec_timeout: '200ms', write_timeout: '300ms' }
  await using rig = await startRig([talk(0, { envVars: limits })])
  const { client, pid } = await talkTo(rig)
  expect(client.headers['x-call-id']).toMatch(/^[0-9a-f-]{36}$/)
  expect(client.socket.protocol).toBe('chat')
  // As long as three of each.
  for (let pause = 0; pause < 3; pause++) expect((await neverAnswered(rig)).status).toBe(504)
  client.socket.send(Buffer.from([0, 255]))
  await until('it has come back', () => client.messages.includes('00ff'))
  expect((await plain(rig))[1]).toBe(pid)
  client.socket.close()
  await until('the call is over', () => rig.log.requests.some((line) => line.includes('/room?as=me - [101] - ')))
})

async function neverAnswered(rig: Rig): Promise<{ readonly status: number }> {
  const { runtime, ...spec } = talk(0, { envVars: { exec_timeout: '200ms' } }, 'server.cjs')
  await rig.gateway.deploy({ ...spec, name: 'slow', runtime })
  return await rig.call('/function/slow/never')
}

test('a refusal, and an answer as if nobody had asked, are answers', async () => {
  await using rig = await startRig([talk(0), { ...talk(0, {}, 'server.cjs'), name: 'plain' }])
  expect(await refused(rig.gateway.address, '/function/talk', { Authorization: 'nobody' })).toEqual([401, 'not you'])
  const [status, text] = await refused(rig.gateway.address, '/function/plain/room')
  expect([status, JSON.parse(text)]).toEqual([200, expect.objectContaining({ method: 'GET', url: '/room' })])
  expect(await plain(rig)).toEqual(['0', expect.any(Number)])
})

test.each([
  ['ends by itself', async (client: Awaited<ReturnType<typeof dial>>) => client.socket.send('exit')],
  ['is killed', async (_: unknown, pid: number) => process.kill(pid, 'SIGKILL')],
])('a server that %s ends its tunnels, and the next one is that of a new process', async (_, end) => {
  await using rig = await startRig([talk(0)])
  const { client, pid } = await talkTo(rig)
  const other = await dial(rig.gateway.address, '/function/talk')
  await end(client, pid)
  await Promise.all([closed(client), closed(other)])
  await until('it has been started again', async () => (await rig.call('/function/talk')).status === 200)
  const next = await talkTo(rig)
  expect(next.pid).not.toBe(pid)
  expect(await ask(next.client, 'hello')).toBe('hello')
  next.client.socket.terminate()
})

test('a deployment leaves a tunnel to its process; who comes later gets the new one, and the old one ends with the tunnel', async () => {
  await using rig = await startRig([talk(0)], LONG_CALLS)
  const { client, pid } = await talkTo(rig)
  await rig.gateway.deploy(talk(1))
  const [version, newPid] = await plain(rig)
  expect([version, newPid === pid]).toEqual(['1', false])
  expect(await ask(client, 'still here')).toBe('still here')
  expect(await ask(client, 'where')).toBe(`0 ${pid} /room?as=me`)
  client.socket.close()
  await until('the old process is gone', () => !isAlive(pid))
  expect(isAlive(newPid)).toBe(true)
})

test('a removed function keeps its tunnels as long as its calls may wait for a replica and run, and no longer', async () => {
  const clock = new ManualClock()
  await using rig = await startRig([talk(0)], { clock, writeTimeoutMs: MINUTE_MS })
  const { client, pid } = await talkTo(rig)
  const body = JSON.stringify({ functionName: 'talk' })
  expect((await rig.call('/system/functions', { method: 'DELETE', body })).status).toBe(202)
  expect((await rig.call('/function/talk')).status).toBe(503)
  await clock.advance(2 * MINUTE_MS - 1)
  expect(await ask(client, 'still here')).toBe('still here')
  await clock.advance(1)
  await closed(client)
  await until('its process is gone', () => !isAlive(pid))
})

test('an open tunnel is no idle time: scaled to zero after the last one has ended, and back by the next', async () => {
  const clock = new ManualClock()
  const labels = { 'com.openfaas.scale.zero': 'true', 'com.openfaas.scale.zero-duration': '5m' }
  await using rig = await startRig([talk(0, { labels })], { clock, writeTimeoutMs: 60 * MINUTE_MS })
  const { client, pid } = await talkTo(rig)
  await clock.advance(30 * MINUTE_MS)
  expect(await ask(client, 'where')).toBe(`0 ${pid} /room?as=me`)
  client.socket.close()
  await until('the call is over', () => rig.log.requests.some((line) => line.includes('/room?as=me - [101] - ')))
  await clock.advance(4 * MINUTE_MS)
  expect(isAlive(pid)).toBe(true)
  await clock.advance(2 * MINUTE_MS)
  await until('its process is gone', () => !isAlive(pid))
  const woken = await talkTo(rig)
  expect(woken.pid).not.toBe(pid)
  woken.client.socket.terminate()
})

test('fewer replicas leave the tunnels of those that go', async () => {
  const labels = { 'com.openfaas.scale.min': '2' }
  await using rig = await startRig([talk(0, { labels })], LONG_CALLS)
  const tunnels = [await talkTo(rig), await talkTo(rig)]
  await until('each process has one', async () => {
    if (new Set(tunnels.map(({ pid }) => pid)).size === 2) return true
    tunnels.push(await talkTo(rig))
    return false
  })
  const body = JSON.stringify({ serviceName: 'talk', replicas: 1 })
  expect((await rig.call('/system/scale-function/talk', { body })).status).toBe(202)
  for (const { client, pid } of tunnels) expect(await ask(client, 'where')).toBe(`0 ${pid} /room?as=me`)
  for (const { client } of tunnels) client.socket.close()
  await until('one process is left', () => new Set(tunnels.map(({ pid }) => pid).filter(isAlive)).size === 1)
})
