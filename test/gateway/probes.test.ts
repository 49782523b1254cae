// A replica that says it is not ready gets no calls, until it says so again; one that says it is not alive is killed and
// started again (OpenFaaS contract, the annotations `com.openfaas.ready.http.*` and `com.openfaas.health.http.*`): real
// servers, the gateway's clock is moved by the test.

import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { ManualClock } from '../../src/sdk/index.ts'
import type { FunctionSpec } from '../../src/gateway/gateway.ts'
import { probesOf } from '../../src/gateway/probes.ts'
import { FIXTURES, isAlive, nodeFunction, processFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'

const PERIOD_MS = 2000

let clock: ManualClock
let rig: Rig

beforeEach(async () => {
  clock = new ManualClock()
  rig = await startRig([], { clock })
})
afterEach(() => rig[Symbol.asyncDispose]())

function annotated(http: Readonly<Record<string, string>>, kind: 'ready' | 'health' = 'ready'): Record<string, string> {
  return Object.fromEntries(Object.entries(http).map(([name, value]) => [`com.openfaas.${kind}.http.${name}`, value]))
}

const readyFile = (): string => join(rig.directory, 'ready')

/** `GET /ready` is 200 while the file is there. */
function server(http: Readonly<Record<string, string>>, parts: Parameters<typeof nodeFunction>[2] = {}): FunctionSpec {
  const envVars = { READY_FILE: readyFile(), ...parts.envVars }
  return {
    ...nodeFunction('asked', 'servers', { ...parts, envVars, annotations: annotated(http) }),
    runtime: {
      kind: 'server',
      command: `${process.execPath} server.cjs`,
      directory: join(FIXTURES, 'servers'),
      url: 'http://127.0.0.1:0',
    },
  }
}

const says = (text: string): number => rig.log.events.filter(({ line }) => line.includes(text)).length

const LOOKS = 25
const LOOK_MS = 20

/** Moves on by whole periods, with real time in each for the answers of real processes. */
async function periodsUntil(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  await until(what, async () => {
    await clock.advance(PERIOD_MS)
    for (let look = 0; look < LOOKS; look++) {
      if (await condition()) return true
      await setTimeout(LOOK_MS)
    }
    return false
  })
}

async function replicas(): Promise<readonly [number, number]> {
  const { text } = await rig.call('/system/function/asked')
  const { replicas: wanted = 0, availableReplicas = 0 } = JSON.parse(text) as Record<string, number>
  return [wanted, availableReplicas]
}

test('calls wait for its first yes; after as many noes in a row as may be they are a 503, and come back with the next yes', async () => {
  await rig.gateway.deploy(server({ path: '/ready', failureThreshold: '2' }))
  const waiting = rig.call('/function/asked/pid')
  await until('it listens', () => says('started, process') === 1)
  expect((await rig.call('/function/asked/_/health')).status).toBe(503)
  writeFileSync(readyFile(), '')
  let answer: Awaited<typeof waiting> | undefined
  void waiting.then((received) => (answer = received))
  await periodsUntil('the call is answered', () => answer !== undefined)
  expect(answer?.status).toBe(200)
  await periodsUntil('it counts as available', async () => (await replicas())[1] === 1)

  rmSync(readyFile())
  await periodsUntil('it gets no calls', () => says('not ready, and gets no calls: GET /ready answers 503') === 1)
  const refused = await rig.call('/function/asked/pid')
  expect([refused.status, refused.text]).toEqual([503, 'No endpoints available for: asked.\n'])
  expect(refused.headers['x-openfaas-internal']).toBe('proxy')
  expect(await replicas()).toEqual([1, 0])

  writeFileSync(readyFile(), '')
  await periodsUntil('it is ready again', () => says('ready again: GET /ready') === 1)
  // The same process: nothing was restarted.
  expect((await rig.call('/function/asked/pid')).text).toBe(answer?.text)
  expect(rig.log.requests.filter((line) => line.startsWith('GET /ready'))).toEqual([])
})

test('/_/ready is what ready_path says; without one, and for /_/health, nothing is asked', async () => {
  const annotations = annotated({ path: '/_/ready' })
  const spec = server({}, { envVars: { ready_path: '/ready' } })
  expect(probesOf({ ...spec, annotations })).toEqual({
    liveness: undefined,
    readiness: { path: '/ready', initialDelayMs: 0, periodMs: 2000, timeoutMs: 1000, failureThreshold: 3 },
    problems: [],
  })
  const none = { liveness: undefined, readiness: undefined, problems: [] }
  expect(probesOf({ ...server({}), annotations })).toEqual(none)
  expect(probesOf(server({ path: '/_/health' }))).toEqual(none)
  expect(probesOf({ ...server({}), annotations: annotated({ path: '/_/health' }, 'health') })).toEqual(none)
  expect(probesOf(server({ periodSeconds: '1' }))).toEqual(none)
})

describe('what an annotation says', () => {
  test('in seconds; what is no number is said, and the default counts', () => {
    const numbers = { initialDelaySeconds: '5', periodSeconds: '0', timeoutSeconds: '1.5', failureThreshold: '7' }
    expect(probesOf(server({ path: 'ready', ...numbers }))).toEqual({
      liveness: undefined,
      readiness: { path: '/ready', initialDelayMs: 5000, periodMs: 2000, timeoutMs: 1000, failureThreshold: 7 },
      problems: [
        'com.openfaas.ready.http.periodSeconds is not a whole number from 1 to 86400; 2 is used',
        'com.openfaas.ready.http.timeoutSeconds is not a whole number from 1 to 86400; 1 is used',
      ],
    })
  })

  test('has no effect for a process per call, which is said', async () => {
    await rig.gateway.deploy(processFunction('asked', 'cat', { annotations: annotated({ path: '/ready' }) }))
    expect(says('com.openfaas.ready.http.path has no effect here: nothing of this function runs between its calls')).toBe(1) // prettier-ignore
    expect((await rig.call('/function/asked', { body: 'x' })).text).toBe('x')
  })
})

test('of two replicas the ready one gets all calls', async () => {
  writeFileSync(readyFile(), '')
  const spec = server({ path: '/ready', failureThreshold: '1' })
  await rig.gateway.deploy({ ...spec, labels: { 'com.openfaas.scale.min': '2' } })
  const seen = new Set<string>()
  const call = async (): Promise<boolean> => seen.add((await rig.call('/function/asked/pid')).text).size === 2
  await periodsUntil('both have started', async () => (await replicas())[1] === 2)
  await until('both get calls', async () => (await Promise.all(Array.from({ length: 8 }, call))).some(Boolean))
  // One of them is frozen: it does not answer within its second.
  const [frozen = ''] = seen
  process.kill(Number(frozen), 'SIGSTOP')
  try {
    await periodsUntil('one is out', async () => (await replicas())[1] === 1)
    expect(says('not ready, and gets no calls: GET /ready does not answer within 1000 ms')).toBeGreaterThan(0)
    const answers = await Promise.all(Array.from({ length: 8 }, () => rig.call('/function/asked/pid')))
    expect(answers.map(({ text }) => text).includes(frozen)).toBe(false)
  } finally {
    process.kill(Number(frozen), 'SIGCONT')
  }
  await periodsUntil('both are in', async () => (await replicas())[1] === 2)
})

test('a process that is started again is asked again', async () => {
  writeFileSync(readyFile(), '')
  await rig.gateway.deploy(server({ path: '/ready' }))
  const { text: pid } = await rig.call('/function/asked/pid')
  rmSync(readyFile())
  process.kill(Number(pid), 'SIGKILL')
  await until('it is started again', () => says('started, process') === 2)
  const waiting = rig.call('/function/asked/pid')
  writeFileSync(readyFile(), '')
  let next = ''
  void waiting.then(({ text }) => (next = text))
  await periodsUntil('the call is answered', () => next !== '')
  expect(Number(next)).toBeGreaterThan(0)
  expect(next).not.toBe(pid)
})

test('a handler is started by its first call, and asked from then on', async () => {
  await rig.gateway.deploy(nodeFunction('asked', 'echo', { annotations: annotated({ path: '/ready' }) }))
  await clock.advance(10 * PERIOD_MS)
  expect(says('started, process')).toBe(0)
  expect((await rig.call('/function/asked', { body: 'x' })).status).toBe(200)
  expect(says('started, process')).toBe(1)
})

describe('a replica that is asked whether it is alive', () => {
  const alive = (http: Readonly<Record<string, string>>): FunctionSpec => ({ ...server({}), annotations: annotated(http, 'health') }) // prettier-ignore

  test('is killed after as many noes in a row as may be, and started again', async () => {
    writeFileSync(readyFile(), '')
    await rig.gateway.deploy(alive({ path: '/ready', failureThreshold: '2' }))
    const { text: pid } = await rig.call('/function/asked/pid')
    for (let period = 0; period < 5; period++) {
      await clock.advance(PERIOD_MS)
      // Answered after the question was: the next period would be its limit of time.
      for (let call = 0; call < 5; call++) expect((await rig.call('/function/asked/pid')).text).toBe(pid)
    }
    expect(says('not alive')).toBe(0)

    rmSync(readyFile())
    await periodsUntil('it is killed', () => says('not alive, and is killed: GET /ready answers 503') === 1)
    writeFileSync(readyFile(), '')
    await until('it is started again', () => says('started, process') === 2)
    await until('it is not there any more', () => !isAlive(Number(pid)))
    const next = await rig.call('/function/asked/pid')
    expect(next.status).toBe(200)
    expect(next.text).not.toBe(pid)
  })

  test('is killed when it is frozen', async () => {
    await rig.gateway.deploy(alive({ path: '/pid', failureThreshold: '1' }))
    const { text: pid } = await rig.call('/function/asked/pid')
    process.kill(Number(pid), 'SIGSTOP')
    const late = rig.call('/function/asked/pid')
    await periodsUntil('it is killed', () => says('not alive, and is killed: GET /pid does not answer within 1000 ms') === 1) // prettier-ignore
    // What it was doing then fails as by a crash, and the next call is answered.
    expect((await late).status).toBe(500)
    await until('it is started again', () => says('started, process') === 2)
    expect((await rig.call('/function/asked/pid')).text).not.toBe(pid)
  })

  test('is not asked before its time, nor started by the question', async () => {
    await rig.gateway.deploy(nodeFunction('asked', 'echo', { annotations: annotated({ path: '/', initialDelaySeconds: '3600', failureThreshold: '1' }, 'health') })) // prettier-ignore
    await clock.advance(10 * PERIOD_MS)
    expect(says('started, process')).toBe(0)
    expect((await rig.call('/function/asked', { body: 'x' })).status).toBe(200)
    const [pid] = [...rig.log.events]
      .flatMap(({ line }) => /^started, process (\d+)$/.exec(line)?.[1] ?? [])
      .map(Number)
    process.kill(pid ?? 0, 'SIGSTOP')
    try {
      await clock.advance(10 * PERIOD_MS)
      await setTimeout(LOOK_MS)
      expect(says('not alive')).toBe(0)
    } finally {
      process.kill(pid ?? 0, 'SIGCONT')
    }
  })
})
