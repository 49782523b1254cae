import { describe, expect, test } from 'vitest'

import { LeaseElection } from '../../src/kubernetes/lease-election.ts'
import { ManualClock } from '../../src/sdk/index.ts'
import { MemoryCluster } from './memory-api.ts'
import type { MemoryApi } from './memory-api.ts'

const PATH = '/apis/coordination.k8s.io/v1/namespaces/hub/leases/hub-cron'
const TIMING = { durationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2000 }

interface Replica {
  readonly election: LeaseElection
  readonly api: MemoryApi
  readonly said: string[]
}

class World {
  readonly clock = new ManualClock(Date.UTC(2026, 0, 1))
  readonly cluster = new MemoryCluster(this.clock)

  replica(identity: string): Replica {
    const api = this.cluster.client()
    const said: string[] = []
    const events = {
      began: (epoch: number) => void said.push(`began ${epoch}`),
      ended: (epoch: number, why: string) => void said.push(`ended ${epoch}: ${why}`),
      follows: (holder: string) => void said.push(`follows ${holder}`),
      failed: ({ code }: { readonly code: string }) => void said.push(`failed ${code}`),
    }
    const { clock } = this
    const election = new LeaseElection({ api, namespace: 'hub', name: 'hub-cron', identity, timing: TIMING, clock, events, random: () => 0 }) // prettier-ignore
    election.start()
    return { election, api, said }
  }

  get lease(): Record<string, Record<string, unknown>> {
    return this.cluster.objects.get(PATH) as Record<string, Record<string, unknown>>
  }
}

describe('the first candidate', () => {
  test('makes the Lease as client-go does, leads, and renews it', async () => {
    const world = new World()
    const { election, said } = world.replica('pod-1')
    await world.clock.advance(0)
    expect(world.lease['spec']).toEqual({
      holderIdentity: 'pod-1',
      leaseDurationSeconds: 15,
      leaseTransitions: 0,
      renewTime: '2026-01-01T00:00:00.000000Z',
      acquireTime: '2026-01-01T00:00:00.000000Z',
    })
    expect([election.term?.epoch, election.term?.held(), said]).toEqual([0, true, ['began 0']])
    await world.clock.advance(60_000)
    expect(world.lease['spec']).toMatchObject({ renewTime: '2026-01-01T00:01:00.000000Z', acquireTime: '2026-01-01T00:00:00.000000Z', leaseTransitions: 0 }) // prettier-ignore
    expect(said).toEqual(['began 0'])
    await election.resign()
  })

  test('leaves alone what others have written into the Lease', async () => {
    const world = new World()
    const { election } = world.replica('pod-1')
    await world.clock.advance(1000)
    const { metadata = {}, spec } = world.lease
    world.cluster.apply('PUT', PATH, { metadata: { ...metadata, labels: { team: 'a' } }, spec: { ...spec, strategy: 'x' } }) // prettier-ignore
    await world.clock.advance(5000)
    expect(election.term?.held()).toBe(true)
    expect(world.lease['metadata']).toMatchObject({ labels: { team: 'a' } })
    expect(world.lease['spec']).toMatchObject({ strategy: 'x', renewTime: '2026-01-01T00:00:06.000000Z' })
    await election.resign()
  })
})

describe('the turn', () => {
  async function two(): Promise<{ readonly world: World; readonly first: Replica; readonly second: Replica }> {
    const world = new World()
    const first = world.replica('pod-1')
    await world.clock.advance(500)
    const second = world.replica('pod-2')
    await world.clock.advance(500)
    return { world, first, second }
  }

  test('goes to the next one within a retry period when it is resigned', async () => {
    const { world, first, second } = await two()
    expect(second.election.standing).toEqual({ holder: 'pod-1', isOurs: false, epoch: 0, problem: undefined })
    const term = first.election.term
    await first.election.resign()
    expect([term?.held(), term?.signal.aborted]).toEqual([false, true])
    expect(world.lease['spec']).toMatchObject({ holderIdentity: '', leaseDurationSeconds: 1 })
    await world.clock.advance(2000)
    expect([second.election.term?.epoch, second.said]).toEqual([1, ['follows pod-1', 'began 1']])
    await second.election.resign()
  })

  test('of a holder that is cut off ends for it before it begins for another', async () => {
    const { world, first, second } = await two()
    await world.clock.advance(1000)
    const term = first.election.term
    first.api.fault = () => 'request-lost'
    await world.clock.advance(9999)
    expect([term?.held(), second.election.term]).toEqual([true, undefined])
    await world.clock.advance(1)
    expect([term?.held(), term?.signal.aborted, second.election.term]).toEqual([false, true, undefined])
    await world.clock.advance(3500)
    expect(second.election.term).toBeUndefined()
    await world.clock.advance(2500)
    expect(second.election.term?.epoch).toBe(1)
    first.api.fault = () => undefined
    await world.clock.advance(10_000)
    expect(first.said.at(-1)).toBe('follows pod-2')
    await Promise.all([first.election.resign(), second.election.resign()])
    expect(world.lease['spec']).toMatchObject({ holderIdentity: '', leaseTransitions: 1 })
  })

  test('goes on through answers that are lost and writes that come late', async () => {
    const { world, first, second } = await two()
    const faults = ['answer-lost', undefined, 'late', undefined, 'request-lost', undefined] as const
    let count = 0
    first.api.fault = (method) => (method === 'PUT' ? faults[(count += 1) % faults.length] : undefined)
    for (let round = 0; round < 60; round++) {
      await world.clock.advance(1000)
      world.cluster.deliverLate()
      expect(first.election.term?.held()).toBe(true)
    }
    expect([first.election.term?.epoch, second.election.term]).toEqual([0, undefined])
    first.api.fault = () => undefined
    await world.clock.advance(5000)
    await Promise.all([first.election.resign(), second.election.resign()])
  })

  test('is the same one, by its epoch, when nobody had it while the API server was away', async () => {
    const { world, first, second } = await two()
    const away = (): 'request-lost' => 'request-lost'
    first.api.fault = second.api.fault = away
    await world.clock.advance(120_000)
    expect([first.election.term, second.election.term]).toEqual([undefined, undefined])
    first.api.fault = () => undefined
    await world.clock.advance(10_000)
    expect(first.said.filter((line) => line.startsWith('began'))).toEqual(['began 0', 'began 0'])
    await Promise.all([first.election.resign(), second.election.resign()])
  })

  test('ends when the wall clock goes forward as after a suspension, and begins again with a renewal', async () => {
    const { world, first, second } = await two()
    const term = first.election.term
    world.clock.jump(10_000)
    expect([term?.held(), term?.signal.aborted]).toEqual([false, true])
    await world.clock.advance(0)
    expect([first.election.term?.held(), first.election.term?.epoch, term?.held()]).toEqual([true, 0, false])
    await Promise.all([first.election.resign(), second.election.resign()])
  })

  test('is not ended by the clock of the holder being wrong, nor by one that goes back', async () => {
    const { world, first, second } = await two()
    world.clock.jump(-365 * 86_400_000)
    await world.clock.advance(60_000)
    expect([first.election.term?.held(), second.election.term]).toEqual([true, undefined])
    await Promise.all([first.election.resign(), second.election.resign()])
  })

  test('has a higher epoch after something was found written under a later one', async () => {
    const { world, first, second } = await two()
    first.election.outrank(41)
    expect(first.election.term).toBeUndefined()
    await world.clock.advance(0)
    expect(first.election.term?.epoch).toBe(42)
    await Promise.all([first.election.resign(), second.election.resign()])
  })

  test('ends at once when somebody else is found in the Lease', async () => {
    const { world, first, second } = await two()
    const { metadata, spec } = world.lease
    world.cluster.apply('PUT', PATH, { metadata, spec: { ...spec, holderIdentity: 'somebody', leaseTransitions: 7 } })
    await world.clock.advance(2000)
    expect(first.said.slice(1)).toEqual(['ended 0: somebody has it now', 'follows somebody'])
    await Promise.all([first.election.resign(), second.election.resign()])
  })
})

describe('a problem', () => {
  test('of a candidate that may not look is told at once, and not any more when it may', async () => {
    const world = new World()
    const { election, api, said } = world.replica('pod-1')
    api.fault = () => 'forbidden'
    await world.clock.advance(0)
    expect(election.standing.problem?.code).toBe('HUB_KUBERNETES_FORBIDDEN')
    expect(said).toEqual(['failed HUB_KUBERNETES_FORBIDDEN'])
    api.fault = () => undefined
    await world.clock.advance(2000)
    expect([election.standing.problem, election.term?.epoch]).toEqual([undefined, 0])
    await election.resign()
  })

  test.each(['POST', 'PUT'] as const)('of a candidate that may not %s is told although it may look', async (method) => {
    const world = new World()
    if (method === 'PUT') {
      const before = world.replica('before')
      await world.clock.advance(0)
      await before.election.resign()
    }
    const { election, api } = world.replica('pod-1')
    api.fault = (asked) => (asked === method ? 'forbidden' : undefined)
    await world.clock.advance(20_000)
    expect(election.standing.problem?.code).toBe('HUB_KUBERNETES_FORBIDDEN')
    await election.resign()
  })

  test('is none while it lasts for less than a holder may be silent', async () => {
    const world = new World()
    const first = world.replica('pod-1')
    await world.clock.advance(0)
    const { election, api } = world.replica('pod-2')
    await world.clock.advance(2000)
    api.fault = () => 'request-lost'
    await world.clock.advance(9000)
    expect(election.standing.problem).toBeUndefined()
    await world.clock.advance(10_000)
    expect(election.standing.problem?.code).toBe('HUB_KUBERNETES_UNREACHABLE')
    api.fault = () => undefined
    await world.clock.advance(10_000)
    expect(election.standing.problem).toBeUndefined()
    await Promise.all([first.election.resign(), election.resign()])
  })
})

test('resigning is idempotent, leaves no timer, and takes what another has from nobody', async () => {
  const world = new World()
  const first = world.replica('pod-1')
  await world.clock.advance(0)
  const second = world.replica('pod-2')
  await world.clock.advance(0)
  await second.election.resign()
  await second.election.resign()
  expect(world.lease['spec']).toMatchObject({ holderIdentity: 'pod-1' })
  await first.election.resign()
  expect(world.clock.pending).toBe(0)
})
