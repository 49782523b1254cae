// A function that is replaced while it is called: no call fails, none is cut, and no process is left over.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import type { FunctionSpec } from '../../src/gateway/gateway.ts'
import { FIXTURES, isAlive, nodeFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'

const LONG = { timeout: 240_000 }

function version(number: number, labels: Readonly<Record<string, string>> = {}): FunctionSpec {
  return nodeFunction('held', 'held', { envVars: { VERSION: String(number) }, labels })
}

/** Every process, by what the log says. */
function started(rig: Rig): readonly number[] {
  return rig.log.events.flatMap(({ line }) => /^started, process (\d+)$/.exec(line)?.[1] ?? []).map(Number)
}

/** Calls without a pause, until `stop`: resolves with every answer. */
function calling(rig: Rig, callers: number, path = '/function/held'): { stop(): Promise<readonly string[]> } {
  const stopping = new AbortController()
  const caller = async (): Promise<readonly string[]> => {
    const answers: string[] = []
    while (!stopping.signal.aborted) {
      const { status, text } = await rig.call(path, { body: 'x' })
      answers.push(`${status} ${text}`)
    }
    return answers
  }
  const all = Promise.all(Array.from({ length: callers }, caller))
  return {
    stop: async () => {
      stopping.abort()
      return (await all).flat()
    },
  }
}

test(
  '20 deployments in a row while calls go on: none fails, each version serves once it is deployed',
  LONG,
  async () => {
    await using rig = await startRig([version(0)])
    await rig.call('/function/held')
    const calls = calling(rig, 4)
    for (let number = 1; number <= 20; number++) {
      await rig.gateway.deploy(version(number))
      expect((await rig.call('/function/held')).text).toMatch(new RegExp(` ${number}$`))
    }
    const answers = await calls.stop()
    expect(answers.filter((answer) => !answer.startsWith('200 '))).toEqual([])
    await until('only the last process is left', () => started(rig).filter(isAlive).length === 1)
  },
)

test('a server of the user, whose port the one before still has: no call fails', LONG, async () => {
  const directory = join(FIXTURES, 'servers')
  // Any free one, at first; the later ones are configured for the one that is taken.
  const server = (number: number, port: string): FunctionSpec => ({
    ...version(number, { 'com.openfaas.scale.min': '2' }),
    runtime: { kind: 'server', command: `${process.execPath} server.cjs`, directory, url: `http://127.0.0.1:${port}` },
  })
  await using rig = await startRig([server(0, '0')])
  const { PORT: port = '' } = JSON.parse((await rig.call('/function/held/where')).text) as { PORT?: string }
  await until('both have started', () => started(rig).length === 2)
  const calls = calling(rig, 2, '/function/held/pid')
  for (let number = 1; number <= 4; number++) await rig.gateway.deploy(server(number, port))
  const answers = await calls.stop()
  expect(answers.filter((answer) => !/^200 \d+$/.test(answer))).toEqual([])
  await until('two processes are left', () => started(rig).filter(isAlive).length === 2)
  expect(started(rig)).toHaveLength(10)
})

test('deployments faster than they start: the last one serves, no call fails', async () => {
  await using rig = await startRig([version(0)])
  await rig.call('/function/held')
  const calls = calling(rig, 2)
  await Promise.all(Array.from({ length: 10 }, (_, index) => rig.gateway.deploy(version(index + 1))))
  expect((await rig.call('/function/held')).text).toMatch(/ 10$/)
  const answers = await calls.stop()
  expect(answers.filter((answer) => !/^200 \d+ (0|10)$/.test(answer))).toEqual([])
  await until('only one process is left', () => started(rig).filter(isAlive).length === 1)
})

test('a running call ends in the process that has it', async () => {
  await using rig = await startRig([version(1)])
  const [pid] = (await rig.call('/function/held')).text.split(' ')
  const file = join(rig.directory, 'release')
  const held = rig.call(`/function/held/held?until=${encodeURIComponent(file)}`)
  await until('it is running', async () =>
    (await rig.call('/metrics')).text.includes('inflight{function_name="held.openfaas-fn"} 1'),
  )
  await rig.gateway.deploy(version(2))
  expect((await rig.call('/function/held')).text).toMatch(/ 2$/)
  writeFileSync(file, '')
  expect((await held).text).toBe(`${pid} 1`)
  await until('its process has ended', () => !isAlive(Number(pid)))
})

test('a version that cannot be loaded takes the place of the one before: its failure shows at once', async () => {
  await using rig = await startRig([version(1)])
  const [pid] = (await rig.call('/function/held')).text.split(' ')
  await rig.gateway.deploy(nodeFunction('held', 'broken'))
  expect(await rig.call('/function/held')).toMatchObject({ status: 500, text: "Can't reach service for: held.\n" })
  await until('the process from before has ended', () => !isAlive(Number(pid)))
  await rig.gateway.deploy(version(2))
  expect((await rig.call('/function/held')).text).toMatch(/ 2$/)
})

test(
  'deployed while more replicas start: as many of the new version, none of the old, no call fails',
  async () => {
    const labels = {
      'com.openfaas.scale.min': '1',
      'com.openfaas.scale.max': '6',
      'com.openfaas.scale.type': 'capacity',
    }
    await using rig = await startRig([version(0, labels)])
    await rig.call('/function/held')
    const calls = calling(rig, 4)
    for (let number = 1; number <= 3; number++) {
      const body = JSON.stringify({ serviceName: 'held', replicas: 3 + number })
      const scaled = rig.call('/system/scale-function/held', { body })
      await rig.gateway.deploy(version(number, labels))
      expect((await scaled).status).toBe(202)
      expect((await rig.call('/function/held')).text).toMatch(new RegExp(` ${number}$`))
    }
    const answers = await calls.stop()
    expect(answers.filter((answer) => !answer.startsWith('200 '))).toEqual([])
    await rig.call('/system/scale-function/held', { body: JSON.stringify({ serviceName: 'held', replicas: 2 }) })
    await until('two processes are left', () => started(rig).filter(isAlive).length === 2)
    expect((await rig.call('/function/held')).text).toMatch(/ 3$/)
  },
  LONG.timeout,
)

test('removed while its replacement starts, nothing of it is left', async () => {
  await using rig = await startRig([version(1)])
  await rig.call('/function/held')
  const deployed = rig.gateway.deploy(version(2))
  await rig.gateway.remove('held')
  await deployed
  expect((await rig.call('/function/held')).status).toBe(503)
  expect(started(rig).length).toBeGreaterThan(0)
  await until('every process has ended', () => !started(rig).some(isAlive))
})

test('what was never called is replaced without a start', async () => {
  await using rig = await startRig([version(1)])
  await rig.gateway.deploy(version(2))
  expect(rig.log.events).toEqual([])
  expect((await rig.call('/function/held')).text).toMatch(/ 2$/)
})
