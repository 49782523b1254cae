// Deployment, replacement and removal where starts take their time: which replica has a call, and when it ends. On a clock
// that the test moves, with runtimes in memory whose starts the test decides.

import { beforeEach, describe, expect, test } from 'vitest'

import { Functions } from '../../src/gateway/functions.ts'
import type { DeployedFunction } from '../../src/gateway/functions.ts'
import type { Replica } from '../../src/gateway/replica.ts'
import { ManualClock } from '../../src/sdk/index.ts'
import { MemoryRuntime } from './memory-runtime.ts'
import { NAMESPACE, nodeFunction } from './rig.ts'

const DRAIN_MS = 60_000

let clock: ManualClock
let functions: Functions
/** By version and instance: `1 f-1`. */
let runtimes: Map<string, MemoryRuntime>
/** Of each runtime, before anything is asked of it. */
let prepare: (runtime: MemoryRuntime) => void
let coldStarts: number[]

beforeEach(() => {
  clock = new ManualClock()
  runtimes = new Map()
  prepare = () => {}
  coldStarts = []
  functions = new Functions({
    onEnded: () => {},
    namespace: NAMESPACE,
    clock,
    drainMs: DRAIN_MS,
    start: (spec, instance) => {
      const runtime = new MemoryRuntime()
      prepare(runtime)
      runtimes.set(`${spec.envVars['VERSION']} ${instance}`, runtime)
      return runtime
    },
    log: () => {},
    listener: { deployed: () => {}, removed: () => {}, coldStart: (_, seconds) => coldStarts.push(seconds) },
  })
})

function deploy(version: number, scale: Readonly<Record<string, string>> = {}): DeployedFunction {
  const labels = Object.fromEntries(Object.entries(scale).map(([name, value]) => [`com.openfaas.scale.${name}`, value]))
  functions.deploy(nodeFunction('f', 'held', { envVars: { VERSION: String(version) }, labels }))
  return functions.find('f') as DeployedFunction
}

/** Which replica has the call. */
function nameOf(replica: Replica | undefined): string | undefined {
  return Array.from(runtimes).find(([, runtime]) => runtime === replica?.runtime)?.[0]
}

function ended(): readonly string[] {
  return Array.from(runtimes)
    .filter(([, { isEnded }]) => isEnded)
    .map(([name]) => name)
}

/** Starts of what comes from now on wait for this. */
function holdStarts(): { go(): void } {
  const gate = Promise.withResolvers<void>()
  prepare = (runtime) => {
    runtime.onStart = async () => {
      await gate.promise
      runtime.run()
    }
  }
  return { go: () => gate.resolve() }
}

const NEVER = new AbortController().signal

describe('a replacement', () => {
  test('is in force at once; the calls go to the one before until it has started', async () => {
    deploy(1)
    await functions.find('f')?.replicas.warm()
    const starts = holdStarts()
    const next = deploy(2)
    expect(functions.find('f')?.spec.envVars['VERSION']).toBe('2')
    let isServing = false
    void functions.serving('f').then(() => (isServing = true))
    const held = next.acquire()
    expect(nameOf(held)).toBe('1 f-1')
    await clock.advance(1000)
    expect([isServing, ended()]).toEqual([false, []])
    starts.go()
    await clock.advance(0)
    expect([isServing, nameOf(next.acquire())]).toEqual([true, '2 f-1'])
    expect(ended()).toEqual([])
    held?.release()
    await clock.advance(0)
    expect(ended()).toEqual(['1 f-1'])
  })

  test('that does not start in 30 seconds gets the calls all the same', async () => {
    deploy(1)
    await functions.find('f')?.replicas.warm()
    holdStarts()
    const next = deploy(2)
    await clock.advance(29_999)
    expect(nameOf(next.acquire())).toBe('1 f-1')
    await clock.advance(1)
    expect(nameOf(next.acquire())).toBe('2 f-1')
  })

  test('of a replacement that is starting: the first one serves until the last has started', async () => {
    deploy(1)
    await functions.find('f')?.replicas.warm()
    holdStarts()
    deploy(2)
    await clock.advance(20_000)
    const starts = holdStarts()
    const last = deploy(3)
    await clock.advance(20_000)
    expect(ended()).toEqual(['2 f-1'])
    expect(nameOf(last.acquire())).toBe('1 f-1')
    starts.go()
    await clock.advance(0)
    expect(nameOf(last.acquire())).toBe('3 f-1')
    await clock.advance(DRAIN_MS)
    expect(ended()).toEqual(['1 f-1', '2 f-1'])
  })

  test('does not fail the calls that wait for the one before to come from zero', async () => {
    const starts = holdStarts()
    const before = deploy(1, { min: '0' })
    expect(before.tryEnter()).toBe(true)
    expect(before.acquire()).toBeUndefined()
    const waiting = before.acquireFromZero(NEVER)
    await clock.advance(5000)
    deploy(2, { min: '0' })
    await clock.advance(5000)
    expect(ended()).toEqual([])
    starts.go()
    const replica = await waiting
    expect(nameOf(replica)).toBe('1 f-1')
    expect(coldStarts).toEqual([10])
    replica?.release()
    before.leave()
    await clock.advance(0)
    expect(ended()).toEqual(['1 f-1'])
    expect(clock.pending).toBe(0)
  })

  test('has as many replicas as the load had brought the one before; else as many as its labels say', async () => {
    deploy(1, { type: 'rps', max: '4' })
    functions.scale('f', 3)
    expect(deploy(2, { type: 'rps', max: '4' }).replicas.replicas).toBe(3)
    expect(deploy(3, { type: 'rps', max: '2' }).replicas.replicas).toBe(2)
    functions.scale('f', 0)
    expect(deploy(4, { min: '2' }).replicas.replicas).toBe(2)
    functions.scale('f', 5)
    expect(deploy(5).replicas.replicas).toBe(1)
    await functions[Symbol.asyncDispose]()
  })

  test('by an equal one changes nothing', async () => {
    const first = deploy(1)
    expect(deploy(1)).toBe(first)
    await functions.serving('f')
    await functions.serving('nobody')
  })
})

describe('what is removed', () => {
  test('ends when its calls had their time', async () => {
    const deployed = deploy(1)
    await deployed.replicas.warm()
    deployed.tryEnter()
    deployed.acquire()
    expect(functions.remove('f')).toBe(true)
    expect(functions.remove('f')).toBe(false)
    // Its calls may wait for a replica as long as that, and then run as long as that.
    await clock.advance(2 * DRAIN_MS - 1)
    expect(ended()).toEqual([])
    await clock.advance(1)
    expect(ended()).toEqual(['1 f-1'])
    expect(clock.pending).toBe(0)
  })

  test('while it takes over, takes the one before with it', async () => {
    deploy(1)
    await functions.find('f')?.replicas.warm()
    holdStarts()
    deploy(2)
    functions.remove('f')
    await clock.advance(30_000)
    expect(ended()).toEqual(['1 f-1', '2 f-1'])
  })
})

describe('at the end', () => {
  test('everything ends at once: what serves, what starts, and what finishes its calls', async () => {
    deploy(1)
    await functions.find('f')?.replicas.warm()
    functions.find('f')?.acquire()
    deploy(2)
    await functions.serving('f')
    functions.find('f')?.acquire()
    holdStarts()
    deploy(3)
    await functions[Symbol.asyncDispose]()
    expect(ended()).toEqual(['1 f-1', '2 f-1', '3 f-1'])
  })
})

describe('by hand and by alert', () => {
  test('within 0 and max', () => {
    const deployed = deploy(1, { max: '4' })
    expect(functions.scale('f', 1_000_000)).toBe(true)
    expect(deployed.replicas.replicas).toBe(4)
    functions.scale('f', -1)
    expect(deployed.replicas.replicas).toBe(0)
    expect(functions.scale('nobody', 1)).toBe(false)
  })

  test('an alert that fires is a step up, and its end is min', () => {
    const deployed = deploy(1, { min: '2', max: '10', factor: '25' })
    for (const replicas of [5, 8, 10, 10]) {
      expect(functions.alert('f', 'firing')).toBe(true)
      expect(deployed.replicas.replicas).toBe(replicas)
    }
    functions.alert('f', 'resolved')
    expect(deployed.replicas.replicas).toBe(2)
    expect(functions.alert('nobody', 'firing')).toBe(false)
  })
})
