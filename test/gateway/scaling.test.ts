// Scaling with real processes: replicas, scaling by load and by hand, to zero and back (OpenFaaS contract, scaling). The
// gateway's clock is moved by the test where time decides.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { ManualClock } from '../../src/sdk/index.ts'
import { isAlive, nodeFunction, open, processFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'

const MINUTE_MS = 60_000

let clock: ManualClock
let rig: Rig

beforeEach(async () => {
  clock = new ManualClock()
  rig = await startRig([], { clock })
})
afterEach(() => rig[Symbol.asyncDispose]())

function scaleLabels(labels: Readonly<Record<string, string>>): { readonly labels: Record<string, string> } {
  return {
    labels: Object.fromEntries(Object.entries(labels).map(([name, value]) => [`com.openfaas.scale.${name}`, value])),
  }
}

async function status(name: string): Promise<{ readonly replicas?: number; readonly availableReplicas?: number }> {
  const { replicas, availableReplicas } = JSON.parse((await rig.call(`/system/function/${name}`)).text) as {
    replicas?: number
    availableReplicas?: number
  }
  return {
    ...(replicas === undefined ? {} : { replicas }),
    ...(availableReplicas === undefined ? {} : { availableReplicas }),
  }
}

/** The process that answered. */
async function pidOf(path: string): Promise<number> {
  const { status: code, text } = await rig.call(path)
  expect([code, text]).toEqual([200, expect.stringMatching(/^\d+ /)])
  return Number(text.split(' ')[0])
}

/** `count` calls that all run until `release` is called; they resolve with the processes that had them. */
function held(name: string, count: number): { readonly pids: Promise<number[]>; release(): void } {
  const file = join(rig.directory, `release-${Math.random()}`)
  const path = `/function/${name}/held?until=${encodeURIComponent(file)}`
  return {
    pids: Promise.all(Array.from({ length: count }, () => pidOf(path))),
    release: () => writeFileSync(file, ''),
  }
}

async function metric(series: string): Promise<number | undefined> {
  const { text } = await rig.call('/metrics')
  const line = text.split('\n').find((one) => one.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

describe('replicas', () => {
  test('as many processes as scale.min, started by the first call, which does not wait for the others', async () => {
    await rig.gateway.deploy(nodeFunction('held', 'held', scaleLabels({ min: '3' })))
    expect(await status('held')).toEqual({ replicas: 3, availableReplicas: 3 })
    expect(rig.log.events).toEqual([])
    await pidOf('/function/held')
    await until('all have started', async () => (await status('held')).availableReplicas === 3)
    const calls = held('held', 6)
    await until(
      'all calls run',
      async () => (await metric('gateway_invocation_function_inflight{function_name="held.openfaas-fn"}')) === 6,
    )
    calls.release()
    const pids = await calls.pids
    expect(new Set(pids).size).toBe(3)
    for (const pid of pids) expect(pids.filter((one) => one === pid)).toHaveLength(2)
  })

  test('labels that cannot be used are said in the log of the function', async () => {
    await rig.gateway.deploy(nodeFunction('held', 'held', scaleLabels({ min: 'many', type: 'cpu' })))
    expect(rig.log.events).toEqual([
      { name: 'held', line: 'com.openfaas.scale.min "many" is not a whole number from 0 to 100; 1 is used' },
      {
        name: 'held',
        line: 'com.openfaas.scale.type "cpu" is not measured here, only rps and capacity; it is not scaled',
      },
    ])
    expect(await status('held')).toEqual({ replicas: 1, availableReplicas: 1 })
  })

  test('a thousand deployed functions have no process', async () => {
    const timers = clock.pending
    for (let index = 0; index < 1000; index++)
      await rig.gateway.deploy(nodeFunction(`f${index}`, 'held', index % 2 === 0 ? scaleLabels({ min: '0' }) : {}))
    expect(rig.log.events).toEqual([])
    // Nor does the autoscaler look at any: nobody asked for it.
    expect(clock.pending).toBe(timers)
    expect(await status('f998')).toEqual({})
    expect(await status('f999')).toEqual({ replicas: 1, availableReplicas: 1 })
    await pidOf('/function/f998')
    await pidOf('/function/f999')
    expect(rig.log.events.map(({ name }) => name)).toEqual(['f998', 'f998', 'f999'])
  })
})

describe('capacity', () => {
  test('calls in flight bring replicas, and their absence takes them away; no call is cut', async () => {
    const labels = scaleLabels({
      type: 'capacity',
      target: '2',
      'target-proportion': '1',
      max: '3',
      'down.window': '1m',
    })
    await rig.gateway.deploy(nodeFunction('held', 'held', labels))
    const first = await pidOf('/function/held')
    const calls = held('held', 4)
    await until(
      'all calls run',
      async () => (await metric('gateway_invocation_function_inflight{function_name="held.openfaas-fn"}')) === 4,
    )
    await clock.advance(2000)
    expect(rig.log.events).toContainEqual({ name: 'held', line: '[Scale] function=held 1 => 2.' })
    await until('both have started', async () => (await status('held')).availableReplicas === 2)
    const second = await pidOf('/function/held')
    expect(second).not.toBe(first)
    calls.release()
    expect(new Set(await calls.pids)).toEqual(new Set([first]))

    const last = held('held', 2)
    await until(
      'two calls run',
      async () => (await metric('gateway_invocation_function_inflight{function_name="held.openfaas-fn"}')) === 2,
    )
    await clock.advance(2 * MINUTE_MS)
    expect(rig.log.events).toContainEqual({ name: 'held', line: '[Scale] function=held 2 => 1.' })
    expect(await status('held')).toEqual({ replicas: 1, availableReplicas: 1 })
    // Its call still runs, and so does it.
    expect([isAlive(first), isAlive(second)]).toEqual([true, true])
    last.release()
    expect(new Set(await last.pids)).toEqual(new Set([first, second]))
    await until('the one that was taken away has ended', () => !isAlive(first) || !isAlive(second))
  })
})

describe('to zero and back', () => {
  const ZERO = scaleLabels({ zero: 'true', 'zero-duration': '5m' })

  test('without calls its process ends and the status names no replicas; calls at once share one cold start', async () => {
    await rig.gateway.deploy(nodeFunction('held', 'held', ZERO))
    const pid = await pidOf('/function/held')
    await clock.advance(4 * MINUTE_MS)
    expect(await pidOf('/function/held')).toBe(pid)
    await clock.advance(4 * MINUTE_MS)
    expect(await status('held')).toEqual({ replicas: 1, availableReplicas: 1 })
    await clock.advance(2 * MINUTE_MS)
    expect(await status('held')).toEqual({})
    await until('its process has ended', () => !isAlive(pid))

    const pids = await Promise.all(Array.from({ length: 200 }, () => pidOf('/function/held')))
    expect(new Set(pids).size).toBe(1)
    expect(pids[0]).not.toBe(pid)
    expect(await status('held')).toEqual({ replicas: 1, availableReplicas: 1 })
    expect(await metric('gateway_function_cold_start_seconds_count{function_name="held.openfaas-fn"}')).toBe(1)
    const scaled = rig.log.events.filter(({ line }) => line.startsWith('[Scale]'))
    expect(scaled.map(({ line }) => line)).toEqual(['[Scale] function=held 1 => 0.', '[Scale] function=held 0 => 1.'])
  })

  test('a call that runs keeps it, however long', async () => {
    await rig.gateway.deploy(nodeFunction('held', 'held', ZERO))
    const calls = held('held', 1)
    await until('the call runs', () => rig.log.events.some(({ line }) => line.startsWith('started')))
    await clock.advance(60 * MINUTE_MS)
    expect(await status('held')).toEqual({ replicas: 1, availableReplicas: 1 })
    calls.release()
    await calls.pids
  })

  test('from a min of 0, to one replica', async () => {
    await rig.gateway.deploy(nodeFunction('held', 'held', scaleLabels({ min: '0' })))
    expect(await status('held')).toEqual({})
    await pidOf('/function/held')
    expect(await status('held')).toEqual({ replicas: 1, availableReplicas: 1 })
  })

  test('back to scale.min, where it is more than one', async () => {
    await rig.gateway.deploy(
      nodeFunction('held', 'held', scaleLabels({ min: '2', zero: 'true', 'zero-duration': '1m' })),
    )
    await clock.advance(2 * MINUTE_MS)
    expect(await status('held')).toEqual({})
    await pidOf('/function/held')
    expect((await status('held')).replicas).toBe(2)
  })

  test('a process per call has a way back, too', async () => {
    await rig.gateway.deploy(processFunction('cat', 'cat', ZERO))
    await clock.advance(10 * MINUTE_MS)
    expect(await status('cat')).toEqual({})
    expect(await rig.call('/function/cat', { body: 'x' })).toMatchObject({ status: 200, text: 'x' })
  })

  test('scaled to 0 by hand, the next call brings it back', async () => {
    await rig.gateway.deploy(nodeFunction('held', 'held', ZERO))
    const pid = await pidOf('/function/held')
    const body = JSON.stringify({ serviceName: 'held', replicas: 0 })
    expect((await rig.call('/system/scale-function/held', { body })).status).toBe(202)
    expect(await status('held')).toEqual({})
    await until('its process has ended', () => !isAlive(pid))
    // Time alone does not.
    await clock.advance(60 * MINUTE_MS)
    expect(await status('held')).toEqual({})
    expect(await pidOf('/function/held')).not.toBe(pid)
    expect(await status('held')).toEqual({ replicas: 1, availableReplicas: 1 })
  })

  test('scaled by hand, there are so many processes, with no call to start them', async () => {
    await rig.gateway.deploy(nodeFunction('held', 'held', scaleLabels({ min: '0', max: '3' })))
    const body = JSON.stringify({ serviceName: 'held', replicas: 1000 })
    expect((await rig.call('/system/scale-function/held', { body })).status).toBe(202)
    await until('three run', async () => (await status('held')).availableReplicas === 3)
    expect(await status('held')).toEqual({ replicas: 3, availableReplicas: 3 })
  })

  test('an async call brings it back, too', async () => {
    await using own = await startRig([nodeFunction('held', 'held', scaleLabels({ min: '0' }))])
    expect((await own.call('/async-function/held', { body: 'x' })).status).toBe(202)
    const done = 'gateway_function_invocation_total{function_name="held.openfaas-fn",code="200"} 1'
    await until('it was called', async () => (await own.call('/metrics')).text.split('\n').includes(done))
  })

  test('scaled to 0 by hand, the calls that are queued share one start and all run', async () => {
    await using own = await startRig([nodeFunction('held', 'held', ZERO)])
    const body = JSON.stringify({ serviceName: 'held', replicas: 0 })
    expect((await own.call('/system/scale-function/held', { body })).status).toBe(202)
    const queued = Array.from({ length: 30 }, () => own.call('/async-function/held', { method: 'POST' }))
    expect(new Set((await Promise.all(queued)).map((answer) => answer.status))).toEqual(new Set([202]))
    await until('all have run', () => own.gateway.queueLength === 0)
    expect(own.log.requests.filter((line) => line.includes('Invoked: held [200]'))).toHaveLength(30)
    const events = own.log.events.map(({ line }) => line.replace(/\d+$/, '<pid>'))
    expect(events).toEqual(['[Scale] function=held 1 => 0.', '[Scale] function=held 0 => 1.', 'started, process <pid>'])
  })

  test('what cannot be started has no endpoints, each time, until it can', async () => {
    await rig.gateway.deploy(nodeFunction('broken', 'broken', scaleLabels({ min: '0' })))
    for (let attempt = 0; attempt < 3; attempt++) {
      const answer = await rig.call('/function/broken', { body: 'x' })
      expect(answer).toMatchObject({
        status: 503,
        text: 'No endpoints available for: broken.\n',
        headers: { 'x-openfaas-internal': 'proxy', 'content-type': 'text/plain; charset=utf-8' },
      })
    }
    expect(await status('broken')).toEqual({ replicas: 1 })
    expect(
      await metric('gateway_function_cold_start_seconds_count{function_name="broken.openfaas-fn"}'),
    ).toBeUndefined()
    await rig.gateway.deploy(nodeFunction('broken', 'held', scaleLabels({ min: '0' })))
    await pidOf('/function/broken')
  })

  test('a caller that leaves while it waits ends nothing for the others', async () => {
    await rig.gateway.deploy(nodeFunction('held', 'held', scaleLabels({ min: '0' })))
    const leaving = new AbortController()
    const left = open(rig.gateway.address, '/function/held', { signal: leaving.signal }).catch(
      (error: unknown) => error,
    )
    const stays = pidOf('/function/held')
    leaving.abort()
    expect(await left).toBeInstanceOf(Error)
    await stays
    await until(
      'no call is left',
      async () => (await metric('gateway_invocation_function_inflight{function_name="held.openfaas-fn"}')) === 0,
    )
  })

  test('removed while it is at zero, it is gone', async () => {
    await rig.gateway.deploy(nodeFunction('held', 'held', scaleLabels({ min: '0' })))
    await pidOf('/function/held')
    expect(await rig.gateway.remove('held')).toBe(true)
    expect((await rig.call('/function/held')).status).toBe(503)
    expect(await metric('gateway_function_cold_start_seconds_count{function_name="held.openfaas-fn"}')).toBeUndefined()
  })
})
