// The gateway is killed with SIGKILL: no accepted call is lost, and no function outlives it. Out of files it lives on.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { noNats, startNats } from '../servers/nats.ts'
import { forkGateway } from './forked-gateway.ts'
import type { ForkedGateway } from './forked-gateway.ts'
import { startReceiver } from './receiver.ts'
import { rawSocket } from './raw-socket.ts'
import type { RawSocket } from './raw-socket.ts'
import { call, isAlive, until } from './rig.ts'

let directory: string

beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'gateway-crash-'))))
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function startProcess(natsUrl = '', filesMax?: number): Promise<ForkedGateway> {
  const args = [join(directory, 'state'), join(directory, 'hang.pid'), natsUrl]
  return forkGateway('gateway-process.ts', args, filesMax)
}

function linesOf(file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : []
}

const missing = await noNats({ any: true })

const PLACES = [
  ['in the embedded store', () => Promise.resolve(undefined)],
  ['at NATS', () => startNats()],
] as const

/** Each call is accepted. */
async function post(address: string, path: string, ids: readonly string[], callbackUrl?: string): Promise<void> {
  const callback = callbackUrl === undefined ? {} : { 'X-Callback-Url': callbackUrl }
  for (let from = 0; from < ids.length; from += 100) {
    const answers = await Promise.all(
      ids
        .slice(from, from + 100)
        .map((id) => call(address, path, { method: 'POST', headers: { 'X-Call-Id': id, ...callback } })),
    )
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]))
  }
}

test.for(PLACES)(
  '1,000 calls that were accepted and could not run yet all run after the restart: kept %s',
  { timeout: 180_000 },
  async ([place, start], { skip }) => {
    if (place === 'at NATS' && missing !== undefined) skip(missing)
    await using nats = await start()
    const [done, go] = [join(directory, 'done'), join(directory, 'go')]
    const path = `/async-function/misbehave/append-when?file=${done}&go=${go}`
    const ids = Array.from({ length: 1000 }, (_, index) => `call-${index}`)
    {
      await using first = await startProcess(nats?.url)
      await post(first.address, path, ids)
      await first.kill()
    }
    expect(linesOf(done)).toEqual([])
    writeFileSync(go, '')
    await using second = await startProcess(nats?.url)
    await until('every call has run', () => new Set(linesOf(done)).size === ids.length)
    expect(new Set(linesOf(done))).toEqual(new Set(ids))
    expect((await call(second.address, '/healthz')).status).toBe(200)
  },
)

test.for(PLACES)(
  'calls whose callbacks were on their way are called back after the restart: kept %s',
  { timeout: 180_000 },
  async ([place, start], { skip }) => {
    if (place === 'at NATS' && missing !== undefined) skip(missing)
    await using nats = await start()
    let isAnswering = false
    await using receiver = await startReceiver(200, {}, () => isAnswering)
    const ids = Array.from({ length: 50 }, (_, index) => `call-${index}`)
    {
      await using first = await startProcess(nats?.url)
      await post(first.address, '/async-function/misbehave/fine', ids, receiver.url)
      // The functions have answered, and nobody has taken the results.
      await until('every callback is on its way', () => receiver.received.length === ids.length)
      await first.kill()
    }
    isAnswering = true
    await using second = await startProcess(nats?.url)
    const again = (): (string | undefined)[] =>
      receiver.received.slice(ids.length).map(({ headers }) => headers['x-call-id'] as string | undefined)
    await until('every call is called back', () => new Set(again()).size === ids.length)
    expect(new Set(again())).toEqual(new Set(ids))
    expect((await call(second.address, '/healthz')).status).toBe(200)
  },
)

test.for(PLACES)(
  'calls that waited for a retry go on with their count: kept %s',
  { timeout: 180_000 },
  async ([place, start], { skip }) => {
    if (place === 'at NATS' && missing !== undefined) skip(missing)
    await using nats = await start()
    await using receiver = await startReceiver()
    const [done, tried, go] = [join(directory, 'done'), join(directory, 'tried'), join(directory, 'go')]
    const path = `/async-function/misbehave/append-when?file=${done}&tried=${tried}&go=${go}`
    const ids = Array.from({ length: 50 }, (_, index) => `call-${index}`)
    {
      await using first = await startProcess(nats?.url)
      await post(first.address, path, ids, receiver.url)
      // Whoever is tried for the third time has two failures behind it, that are kept.
      const timesTried = (): number[] =>
        [...Map.groupBy(linesOf(tried), (id) => id).values()].map(({ length }) => length)
      await until('each was tried three times', () => timesTried().filter((count) => count >= 3).length === ids.length)
      await first.kill()
    }
    expect(linesOf(done)).toEqual([])
    writeFileSync(go, '')
    await using second = await startProcess(nats?.url)
    await until('every call is called back', () => receiver.received.length === ids.length)
    expect(new Set(receiver.received.map(({ headers }) => headers['x-call-id']))).toEqual(new Set(ids))
    expect(receiver.received.filter(({ headers }) => Number(headers['x-retry']) < 2)).toEqual([])
    expect(linesOf(done)).toHaveLength(ids.length)
    expect((await call(second.address, '/healthz')).status).toBe(200)
  },
)

test('functions end with it: a blocked one, an idle one, and what a command started', async () => {
  const blockedFile = join(directory, 'blocked.pid')
  const hangFile = join(directory, 'hang.pid')
  await using gateway = await startProcess()
  const calls = [
    call(gateway.address, '/function/hang'),
    call(gateway.address, `/function/misbehave/block?file=${blockedFile}`),
  ].map((answer) =>
    answer.then(
      ({ status }) => status,
      () => 'broken off',
    ),
  )
  await until('both run', () =>
    [blockedFile, hangFile].every((file) => existsSync(file) && readFileSync(file).length > 0),
  )
  const pids = [blockedFile, hangFile].map((file) => Number(readFileSync(file, 'utf8')))
  expect(pids.map(isAlive)).toEqual([true, true])
  await gateway.kill()
  await until('they are gone', () => !pids.some(isAlive))
  expect(await Promise.all(calls)).toEqual(['broken off', 'broken off'])
})

test('a function that cannot be started because too many files are open is a 500, and is started when they are not', async () => {
  await using gateway = await startProcess('', 100)
  const get = (path: string): string => `GET /function/misbehave${path} HTTP/1.1\r\nHost: x\r\n\r\n`
  const caller = await rawSocket(gateway.address)
  const others: RawSocket[] = []
  while (!others.some(({ closed }) => closed())) {
    const other = await rawSocket(gateway.address).catch(() => undefined)
    if (other !== undefined) others.push(other)
  }
  caller.socket.write(get('/fine'))
  await until('it is answered', () => caller.text() !== '' || caller.closed())
  expect(caller.text()).toMatch(/^HTTP\/1\.1 500 .*Can't reach service for: misbehave\.\n$/s)
  for (const { socket } of others) socket.destroy()
  // A connection that comes before those have ended finds no file either, and is closed.
  const again = () => call(gateway.address, '/function/misbehave/fine').catch(() => undefined)
  await until('it is served', async () => (await again())?.status === 200)
  caller.socket.destroy()
})
