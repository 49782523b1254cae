// The gateway is killed with SIGKILL: no accepted call is lost, and no function outlives it.

import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { noNats, startNats } from '../servers/nats.ts'
import { call, isAlive, until } from './rig.ts'

const PROGRAM = fileURLToPath(new URL('./gateway-process.ts', import.meta.url))

interface GatewayProcess extends AsyncDisposable {
  readonly address: string
  kill(): Promise<void>
}

let directory: string

beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'gateway-crash-'))))
afterEach(() => rmSync(directory, { recursive: true, force: true }))

async function startProcess(natsUrl = ''): Promise<GatewayProcess> {
  const args = [join(directory, 'state'), join(directory, 'hang.pid'), natsUrl]
  const child: ChildProcess = fork(PROGRAM, args, { execArgv: [] })
  const exited = once(child, 'exit')
  const address = await Promise.race([
    once(child, 'message').then(([message]) => message as string),
    exited.then(([code]) => Promise.reject(new Error(`the gateway did not start: ${code}`))),
  ])
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  return { address, kill, [Symbol.asyncDispose]: kill }
}

function linesOf(file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : []
}

const missing = await noNats({ any: true })

test.for([
  ['in the embedded store', () => Promise.resolve(undefined)],
  ['at NATS', () => startNats()],
] as const)(
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
      for (let from = 0; from < ids.length; from += 100) {
        const answers = await Promise.all(
          ids
            .slice(from, from + 100)
            .map((id) => call(first.address, path, { method: 'POST', headers: { 'X-Call-Id': id } })),
        )
        expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]))
      }
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
