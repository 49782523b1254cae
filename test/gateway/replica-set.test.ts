// The replicas of one function: who gets a call, and how a replica begins and ends.

import { describe, expect, test } from 'vitest'

import type { Replica } from '../../src/gateway/replica.ts'
import { ReplicaSet } from '../../src/gateway/replica-set.ts'
import { ManualClock } from '../../src/sdk/index.ts'
import { MemoryRuntime } from './memory-runtime.ts'

const DRAIN_MS = 60_000

class Rig {
  readonly clock = new ManualClock()
  readonly runtimes: MemoryRuntime[] = []
  readonly set: ReplicaSet
  /** Of each replica, before anything is asked of it. */
  prepare: (runtime: MemoryRuntime, index: number) => void

  constructor(replicas: number, prepare: Rig['prepare'] = () => {}) {
    this.prepare = prepare
    this.set = new ReplicaSet({
      create: (index) => {
        const runtime = new MemoryRuntime()
        this.prepare(runtime, index)
        this.runtimes[index - 1] = runtime
        return runtime
      },
      replicas,
      keepsProcess: true,
      clock: this.clock,
      drainMs: DRAIN_MS,
    })
  }

  /** The index of the replica that has the call. */
  acquire(): { readonly index: number; readonly replica: Replica } {
    const replica = this.set.acquire()
    if (replica === undefined) throw new Error('there is none')
    return { replica, index: this.runtimes.indexOf(replica.runtime as MemoryRuntime) }
  }

  get ended(): readonly boolean[] {
    return this.runtimes.map(({ isEnded }) => isEnded)
  }
}

describe('a call', () => {
  test('goes to the least busy replica', async () => {
    const rig = new Rig(3)
    await rig.set.warm()
    const calls = Array.from({ length: 7 }, () => rig.acquire())
    expect(calls.map(({ index }) => index)).toEqual([0, 1, 2, 0, 1, 2, 0])
    for (const { replica } of calls.filter(({ index }) => index === 1)) replica.release()
    // 3, 0 and 2 calls; of equals the first.
    expect(Array.from({ length: 4 }, () => rig.acquire().index)).toEqual([1, 1, 1, 2])
  })

  test('does not wait for a replica that is starting where another one runs', async () => {
    const rig = new Rig(1)
    await rig.set.warm()
    const go = Promise.withResolvers<void>()
    rig.prepare = (runtime) => {
      runtime.onStart = async () => {
        await go.promise
        runtime.run()
      }
    }
    rig.set.scale(3)
    await rig.clock.advance(0)
    expect([rig.acquire().index, rig.acquire().index]).toEqual([0, 0])
    expect([rig.set.replicas, rig.set.availableReplicas]).toEqual([3, 1])
    go.resolve()
    await rig.clock.advance(0)
    expect([rig.acquire().index, rig.acquire().index]).toEqual([1, 2])
    expect(rig.set.availableReplicas).toBe(3)
  })

  test('passes over a replica that crashed and backs off', async () => {
    const rig = new Rig(2)
    await rig.set.warm()
    ;(rig.runtimes[0] as MemoryRuntime).ready = false
    expect([rig.acquire().index, rig.acquire().index]).toEqual([1, 1])
    ;(rig.runtimes[1] as MemoryRuntime).ready = false
    // Better a refusal with its reason than none at all.
    expect(rig.acquire().index).toBe(0)
  })

  test('is the first: it starts every replica, and nothing was started before', async () => {
    const rig = new Rig(3)
    expect(rig.runtimes.map(({ starts }) => starts)).toEqual([0, 0, 0])
    expect(rig.set.isStarted).toBe(false)
    expect(rig.set.availableReplicas).toBe(3)
    rig.acquire()
    await rig.clock.advance(0)
    expect(rig.runtimes.map(({ starts }) => starts)).toEqual([1, 1, 1])
    expect(rig.set.isStarted).toBe(true)
  })
})

describe('a replica that is taken away', () => {
  test('is one that takes no calls, where there is such a one', async () => {
    const rig = new Rig(3)
    await rig.set.warm()
    ;(rig.runtimes[0] as MemoryRuntime).ready = false
    rig.set.scale(2)
    await rig.clock.advance(0)
    expect(rig.ended).toEqual([true, false, false])
  })

  test('finishes its calls first, and gets no more', async () => {
    const rig = new Rig(2)
    await rig.set.warm()
    const calls = [rig.acquire(), rig.acquire(), rig.acquire(), rig.acquire()]
    rig.set.scale(1)
    expect(rig.set.replicas).toBe(1)
    expect([rig.acquire().index, rig.acquire().index]).toEqual([0, 0])
    const [first, second] = calls.filter(({ index }) => index === 1)
    first?.replica.release()
    await rig.clock.advance(0)
    expect(rig.ended).toEqual([false, false])
    expect(rig.set.pids).toHaveLength(2)
    second?.replica.release()
    await rig.clock.advance(0)
    expect(rig.ended).toEqual([false, true])
    expect(rig.set.pids).toHaveLength(1)
    expect(rig.clock.pending).toBe(0)
  })

  test('ends when its calls had the time that a call may take', async () => {
    const rig = new Rig(1)
    await rig.set.warm()
    rig.acquire()
    rig.set.scale(0)
    await rig.clock.advance(DRAIN_MS - 1)
    expect(rig.ended).toEqual([false])
    await rig.clock.advance(1)
    expect(rig.ended).toEqual([true])
  })

  test('ends with the set, which waits for no call', async () => {
    const rig = new Rig(2)
    await rig.set.warm()
    rig.acquire()
    rig.acquire()
    rig.set.scale(1)
    await rig.set[Symbol.asyncDispose]()
    expect(rig.ended).toEqual([true, true])
    await rig.clock.advance(0)
    expect(rig.clock.pending).toBe(0)
    expect(rig.set.acquire()).toBeUndefined()
  })
})

describe('at zero', () => {
  test('there is no replica until one has started', async () => {
    const rig = new Rig(0)
    expect([rig.set.acquire(), rig.set.replicas, rig.set.availableReplicas]).toEqual([undefined, 0, 0])
    rig.set.scale(1)
    expect([rig.set.acquire(), rig.set.replicas, rig.set.availableReplicas]).toEqual([undefined, 1, 0])
    expect(await rig.set.start()).toBe(true)
    expect([rig.acquire().index, rig.set.availableReplicas]).toEqual([0, 1])
    rig.set.scale(0)
    expect([rig.set.acquire(), rig.set.availableReplicas]).toEqual([undefined, 0])
  })

  test('one of several is enough', async () => {
    const rig = new Rig(0, (runtime, index) => {
      if (index === 1) runtime.onStart = () => new Promise(() => {})
    })
    rig.set.scale(2)
    expect(await rig.set.start()).toBe(true)
    expect([rig.acquire().index, rig.acquire().index]).toEqual([1, 1])
  })

  test('a process that is not there after its start: false, and none is available', async () => {
    const rig = new Rig(0, (runtime) => (runtime.onStart = () => {}))
    rig.set.scale(2)
    expect(await rig.set.start()).toBe(false)
    expect([rig.set.acquire(), rig.set.replicas, rig.set.availableReplicas]).toEqual([undefined, 2, 0])
    // The next attempt is another start.
    for (const runtime of rig.runtimes) runtime.onStart = () => runtime.run()
    expect(await rig.set.start()).toBe(true)
    expect(rig.set.availableReplicas).toBe(2)
  })

  test('one that runs and is not ready yet is asked every 100 ms', async () => {
    const rig = new Rig(0, (runtime) => (runtime.ready = false))
    rig.set.scale(1)
    let outcome: boolean | undefined
    void rig.set.start().then((value) => (outcome = value))
    await rig.clock.advance(5000)
    expect(outcome).toBeUndefined()
    ;(rig.runtimes[0] as MemoryRuntime).ready = true
    await rig.clock.advance(100)
    expect(outcome).toBe(true)
  })

  test('one that is never ready is given up after 100 seconds', async () => {
    const rig = new Rig(0, (runtime) => (runtime.ready = false))
    rig.set.scale(1)
    let outcome: boolean | undefined
    void rig.set.start().then((value) => (outcome = value))
    await rig.clock.advance(99_900)
    expect(outcome).toBeUndefined()
    await rig.clock.advance(200)
    expect(outcome).toBe(false)
    expect(rig.clock.pending).toBe(0)
  })
})
