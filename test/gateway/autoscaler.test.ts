// When the number of replicas changes, and when not (OpenFaaS contract, scaling), on a clock that the test moves.

import { beforeEach, describe, expect, test } from 'vitest'

import { Autoscaler } from '../../src/gateway/autoscaler.ts'
import type { Scalable } from '../../src/gateway/autoscaler.ts'
import { scaleSettings } from '../../src/gateway/scale-settings.ts'
import { ManualClock } from '../../src/sdk/index.ts'

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS

class Scaled implements Scalable {
  readonly scale: Scalable['scale']
  readonly replicas = { replicas: 1, availableReplicas: 1 }
  /** Every number that it was scaled to. */
  readonly steps: number[] = []
  inFlight = 0
  finished = 0

  constructor(labels: Readonly<Record<string, string>>, replicas = 1) {
    this.scale = scaleSettings(
      Object.fromEntries(Object.entries(labels).map(([name, value]) => [`com.openfaas.scale.${name}`, value])),
    ).settings
    this.set(replicas)
  }

  scaleTo(replicas: number): void {
    this.steps.push(replicas)
    this.set(replicas)
  }

  /** As somebody else does it. */
  set(replicas: number): void {
    this.replicas.replicas = replicas
    this.replicas.availableReplicas = replicas
  }
}

let clock: ManualClock
let autoscaler: Autoscaler

beforeEach(() => {
  clock = new ManualClock()
  autoscaler = new Autoscaler(clock)
})

function watched(labels: Readonly<Record<string, string>>, replicas?: number): Scaled {
  const scaled = new Scaled(labels, replicas)
  autoscaler.watch(scaled)
  return scaled
}

/** So many calls end in each second of this time. */
async function calls(scaled: Scaled, perSecond: number, forMs: number): Promise<void> {
  for (let elapsedMs = 0; elapsedMs < forMs; elapsedMs += SECOND_MS) {
    scaled.finished += perSecond
    await clock.advance(SECOND_MS)
  }
}

describe('without labels', () => {
  test.each([
    {},
    { min: '2', max: '5', factor: '50' },
    { type: 'cpu', target: '50' },
    { min: '2', max: '2', type: 'rps' },
  ])('%o: no timer, no change', async (labels) => {
    const scaled = watched(labels)
    expect(clock.pending).toBe(0)
    scaled.inFlight = 10_000
    await clock.advance(60 * MINUTE_MS)
    expect(scaled.steps).toEqual([])
  })

  test('the timer ends with the last function that needs it', () => {
    const scaled = watched({ type: 'rps' })
    const other = watched({ zero: 'true' })
    expect(clock.pending).toBe(1)
    autoscaler.forget(scaled)
    expect(clock.pending).toBe(1)
    autoscaler.forget(other)
    expect(clock.pending).toBe(0)
  })
})

describe('capacity: calls in flight', () => {
  const LABELS = { type: 'capacity', target: '10', 'target-proportion': '0.5', max: '8', 'down.window': '1m' }

  test('more at once, as many as the load needs, up to max', async () => {
    const scaled = watched(LABELS)
    scaled.inFlight = 11
    await clock.advance(2 * SECOND_MS)
    expect(scaled.steps).toEqual([3])
    scaled.inFlight = 1000
    await clock.advance(2 * SECOND_MS)
    expect(scaled.steps).toEqual([3, 8])
    await clock.advance(MINUTE_MS)
    expect(scaled.steps).toEqual([3, 8])
  })

  test('fewer only after the window in which no more were called for', async () => {
    const scaled = watched(LABELS)
    scaled.inFlight = 20
    await clock.advance(2 * SECOND_MS)
    scaled.inFlight = 0
    await clock.advance(MINUTE_MS - SECOND_MS)
    expect(scaled.steps).toEqual([4])
    await clock.advance(4 * SECOND_MS)
    expect(scaled.steps).toEqual([4, 1])
  })

  test('a load that comes and goes does not make the replicas come and go', async () => {
    const scaled = watched(LABELS)
    for (let round = 0; round < 20; round++) {
      scaled.inFlight = round % 2 === 0 ? 20 : 0
      await clock.advance(10 * SECOND_MS)
    }
    expect(scaled.steps).toEqual([4])
  })

  test('never fewer than min, and never none for want of load', async () => {
    const scaled = watched({ ...LABELS, min: '2' }, 5)
    await clock.advance(5 * MINUTE_MS)
    expect(scaled.steps).toEqual([2])
    const other = watched({ ...LABELS, min: '0' }, 5)
    await clock.advance(5 * MINUTE_MS)
    expect(other.steps).toEqual([1])
  })

  test('what somebody else asked for stays for the window', async () => {
    const scaled = watched(LABELS)
    await clock.advance(5 * MINUTE_MS)
    scaled.set(6)
    await clock.advance(MINUTE_MS)
    expect(scaled.steps).toEqual([])
    await clock.advance(4 * SECOND_MS)
    expect(scaled.steps).toEqual([1])
  })

  test('nothing is ready: the load of a replica is not known, and nothing changes', async () => {
    const scaled = watched(LABELS, 3)
    scaled.replicas.availableReplicas = 0
    scaled.inFlight = 1000
    await clock.advance(MINUTE_MS)
    expect(scaled.steps).toEqual([])
  })

  test('at zero it stays, however many wait: the call brings it back', async () => {
    const scaled = watched(LABELS, 0)
    scaled.inFlight = 100
    await clock.advance(MINUTE_MS)
    expect(scaled.steps).toEqual([])
  })
})

describe('rps: calls ended in a second', () => {
  const LABELS = { type: 'rps', target: '50', 'target-proportion': '0.9', 'down.window': '30s' }

  test('as many replicas as the calls of the last seconds need', async () => {
    const scaled = watched(LABELS)
    await calls(scaled, 45, 20 * SECOND_MS)
    expect(scaled.steps).toEqual([])
    await calls(scaled, 46, 20 * SECOND_MS)
    expect(scaled.steps).toEqual([2])
    await calls(scaled, 450, 20 * SECOND_MS)
    expect(scaled.replicas.replicas).toBe(10)
    await calls(scaled, 10, 29 * SECOND_MS)
    expect(scaled.replicas.replicas).toBe(10)
    await calls(scaled, 10, 20 * SECOND_MS)
    expect(scaled.steps.at(-1)).toBe(1)
  })

  test('calls in flight are not counted, and calls from before neither', async () => {
    const scaled = new Scaled(LABELS)
    scaled.finished = 1_000_000
    autoscaler.watch(scaled)
    scaled.inFlight = 1000
    await clock.advance(MINUTE_MS)
    expect(scaled.steps).toEqual([])
  })
})

describe('to zero', () => {
  const LABELS = { zero: 'true', 'zero-duration': '5m' }

  test('once nobody has called for the duration', async () => {
    const scaled = watched(LABELS)
    await clock.advance(5 * MINUTE_MS - SECOND_MS)
    expect(scaled.steps).toEqual([])
    await clock.advance(4 * SECOND_MS)
    expect(scaled.steps).toEqual([0])
  })

  test('not while a call runs, and not sooner than the duration after it', async () => {
    const scaled = watched(LABELS)
    scaled.inFlight = 1
    await clock.advance(60 * MINUTE_MS)
    scaled.inFlight = 0
    scaled.finished = 1
    await clock.advance(5 * MINUTE_MS - SECOND_MS)
    expect(scaled.steps).toEqual([])
    await clock.advance(6 * SECOND_MS)
    expect(scaled.steps).toEqual([0])
  })

  test('a call between two looks counts', async () => {
    const scaled = watched(LABELS)
    for (let round = 0; round < 10; round++) {
      await clock.advance(4 * MINUTE_MS)
      scaled.finished += 1
    }
    expect(scaled.steps).toEqual([])
  })

  test('again, after it was brought back', async () => {
    const scaled = watched(LABELS)
    await clock.advance(6 * MINUTE_MS)
    await clock.advance(60 * MINUTE_MS)
    expect(scaled.steps).toEqual([0])
    scaled.set(2)
    await clock.advance(5 * MINUTE_MS - SECOND_MS)
    expect(scaled.steps).toEqual([0])
    await clock.advance(4 * SECOND_MS)
    expect(scaled.steps).toEqual([0, 0])
  })

  test('whatever min says, and with a load to be scaled by', async () => {
    const scaled = watched({ ...LABELS, min: '3', type: 'capacity', 'down.window': '0s' }, 3)
    await clock.advance(6 * MINUTE_MS)
    expect(scaled.steps).toEqual([0])
  })
})
