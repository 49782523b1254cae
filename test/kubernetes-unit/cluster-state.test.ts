import { describe, expect, test } from 'vitest'

import { ClusterState } from '../../src/kubernetes/cluster-state.ts'
import { HubError, ManualClock } from '../../src/sdk/index.ts'
import type { Term } from '../../src/sdk/index.ts'
import { MemoryCluster } from './memory-api.ts'
import type { MemoryApi } from './memory-api.ts'

const PATH = '/api/v1/namespaces/hub/configmaps/hub-cron'

/** Has the turn when the test says so. */
class Seat {
  term: Term | undefined
  readonly outranked: number[] = []
  #abort = new AbortController()

  begin(epoch: number): void {
    const abort = (this.#abort = new AbortController())
    this.term = { epoch, signal: abort.signal, held: () => !abort.signal.aborted }
  }

  end(): void {
    this.term = undefined
    this.#abort.abort(new Error('the term is over'))
  }

  outrank(epoch: number): void {
    this.outranked.push(epoch)
    this.end()
  }
}

interface Replica {
  readonly state: ClusterState
  readonly seat: Seat
  readonly api: MemoryApi
  readonly failures: string[]
}

class World {
  readonly clock = new ManualClock()
  readonly cluster = new MemoryCluster(this.clock)

  replica(identity: string, epoch?: number): Replica {
    const seat = new Seat()
    if (epoch !== undefined) seat.begin(epoch)
    const api = this.cluster.client()
    const failures: string[] = []
    const state = new ClusterState({ api, namespace: 'hub', name: 'hub-cron', identity, election: seat, clock: this.clock, retryMs: 2000, failed: ({ code }) => void failures.push(code) }) // prettier-ignore
    return { state, seat, api, failures }
  }

  /** In steps, because what is done between two timers takes turns of the event loop of its own. */
  async pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) await this.clock.advance(1000)
  }

  get stored(): { readonly metadata: Record<string, unknown>; readonly data: Record<string, string>; readonly binaryData?: Record<string, string> } {
    return this.cluster.objects.get(PATH) as never
  } // prettier-ignore
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: unknown) => (error instanceof HubError ? error.code : String(error)),
  )

test('what one holder has written, the next one reads', async () => {
  const world = new World()
  const first = world.replica('pod-1', 4)
  expect(await first.state.get('a')).toBeUndefined()
  await Promise.all([first.state.set('a', '1'), first.state.set('b', '2')])
  await first.state.delete('b')
  expect(world.stored.data).toEqual({ fence: '{"epoch":4,"holder":"pod-1","write":2}', state: '{\n "a": "1"\n}' })
  const second = world.replica('pod-2', 5)
  expect([await second.state.get('a'), await second.state.keys()]).toEqual(['1', ['a']])
})

test('changes of one moment are one write, and are seen before it is confirmed', async () => {
  const world = new World()
  const { state } = world.replica('pod-1', 0)
  await state.get('a')
  const before = world.cluster.writes
  const writing = Array.from({ length: 1000 }, (_, index) => state.set(`key ${index}`, String(index)))
  await Promise.resolve()
  expect(await state.get('key 999')).toBe('999')
  await Promise.all(writing)
  expect(world.cluster.writes - before).toBe(1)
})

describe('a holder that has been replaced', () => {
  test('can write no more, however late it finds out', async () => {
    const world = new World()
    const first = world.replica('pod-1', 4)
    await first.state.set('a', '1')
    const second = world.replica('pod-2', 5)
    await second.state.set('a', '2')
    expect(await codeOf(first.state.set('a', 'stale'))).toBe('HUB_LEASE_LOST')
    expect(first.seat.outranked).toEqual([5])
    expect(await second.state.get('a')).toBe('2')
    expect(JSON.parse(world.stored.data['state'] ?? '')).toEqual({ a: '2' })
  })

  test('has written nothing when its write arrives after the sealing, and everything when before', async () => {
    const world = new World()
    const first = world.replica('pod-1', 4)
    await first.state.set('a', '1')
    first.api.fault = (method) => (method === 'PUT' ? 'late' : undefined)
    const early = codeOf(first.state.set('a', 'early'))
    await world.pass(2)
    world.cluster.deliverLate()
    const second = world.replica('pod-2', 5)
    expect(await second.state.get('a')).toBe('early')
    await world.pass(20)
    // It is in the state, and whoever reads that goes on from there; the writer must not.
    expect(await early).toBe('HUB_LEASE_LOST')
    second.api.fault = (method) => (method === 'PUT' ? 'late' : undefined)
    const late = codeOf(second.state.set('a', 'late'))
    await world.pass(2)
    const third = world.replica('pod-3', 6)
    expect(await third.state.get('a')).toBe('early')
    world.cluster.deliverLate()
    await world.pass(20)
    expect(await late).toBe('HUB_LEASE_LOST')
    expect(await third.state.get('a')).toBe('early')
  })

  test('does not seal any more', async () => {
    const world = new World()
    await world.replica('pod-2', 5).state.set('a', '2')
    const first = world.replica('pod-1', 4)
    expect(await codeOf(first.state.get('a'))).toBe('HUB_LEASE_LOST')
    expect(first.seat.outranked).toEqual([5])
  })

  test('by somebody of the same epoch, because the Lease was deleted, gives way', async () => {
    const world = new World()
    await world.replica('pod-2', 0).state.set('a', '2')
    const first = world.replica('pod-1', 0)
    expect(await codeOf(first.state.get('a'))).toBe('HUB_LEASE_LOST')
    expect(first.seat.outranked).toEqual([0])
    first.seat.begin(1)
    expect(await first.state.get('a')).toBe('2')
  })
})

describe('an API server that does not answer', () => {
  test('keeps a change pending, which is then made, once', async () => {
    const world = new World()
    const { state, api, failures } = world.replica('pod-1', 0)
    await state.set('a', '1')
    let answered = false
    api.fault = () => 'request-lost'
    const writing = state.set('a', '2').then(() => (answered = true))
    await world.pass(120)
    expect([answered, failures.length > 0]).toEqual([false, true])
    api.fault = () => undefined
    await world.pass(20)
    await writing
    expect(JSON.parse(world.stored.data['state'] ?? '')).toEqual({ a: '2' })
  })

  test('but had made the change is asked, and not told again', async () => {
    const world = new World()
    const { state, api } = world.replica('pod-1', 0)
    await state.set('a', '1')
    const before = world.cluster.writes
    api.fault = (method) => (method === 'PUT' ? 'answer-lost' : undefined)
    const writing = state.set('a', '2')
    await world.pass(20)
    await writing
    // Once more on the version it had before, which is a conflict; the look then says that it is done.
    expect(world.cluster.writes - before).toBeLessThanOrEqual(2)
    expect(JSON.parse(world.stored.data['fence'] ?? '')).toEqual({ epoch: 0, holder: 'pod-1', write: 2 })
  })

  test('and a term that ends meanwhile do not matter as long as nobody else has sealed', async () => {
    const world = new World()
    const { state, api, seat } = world.replica('pod-1', 3)
    await state.set('a', '1')
    api.fault = () => 'request-lost'
    seat.end()
    const writing = state.set('a', '2')
    await world.pass(60)
    api.fault = () => undefined
    await world.pass(20)
    await writing
    seat.begin(3)
    expect(await state.get('a')).toBe('2')
    expect(await codeOf(world.replica('pod-2').state.get('a'))).toBe('HUB_LEASE_LOST')
  })

  test('is not waited for any more once it is closed', async () => {
    const world = new World()
    const { state, api } = world.replica('pod-1', 0)
    await state.set('a', '1')
    api.fault = () => 'request-lost'
    const writing = codeOf(state.set('a', '2'))
    const next = codeOf(state.set('a', '3'))
    await world.pass(2)
    state.close()
    await world.pass(30)
    expect([await writing, await next]).toEqual(['HUB_LEASE_LOST', 'HUB_LEASE_LOST'])
    expect(world.clock.pending).toBe(0)
  })
})

test('a write that is refused for good is told to whoever made it, and those after it go on', async () => {
  const world = new World()
  const { state } = world.replica('pod-1', 0)
  await state.set('a', '1')
  // Hardly compresses: 2.6 MB of digits and letters without a pattern.
  const huge = Array.from({ length: 400_000 }, (_, index) => ((index * 2_654_435_761) % 4_294_967_296).toString(36)).join('') // prettier-ignore
  expect(await codeOf(state.set('b', huge))).toBe('HUB_STATE_UNUSABLE')
  expect(await state.keys()).toEqual(['a'])
  await state.set('c', '3')
  expect(await state.keys()).toEqual(['a', 'c'])
})

test('ten thousand schedules fit, compressed, and are read back', async () => {
  const world = new World()
  const first = world.replica('pod-1', 0)
  const key = (index: number): string =>
    `fires billing-report-${index}.openfaas-fn/CRON_TZ=Europe/London */5 9-17 * * MON-FRI`
  await Promise.all(Array.from({ length: 10_000 }, (_, index) => first.state.set(key(index), String(1_767_225_600_000 + index * 1000)))) // prettier-ignore
  expect(world.stored.data['state']).toBeUndefined()
  expect(Buffer.from(world.stored.binaryData?.['state.gz'] ?? '', 'base64').byteLength).toBeLessThan(200_000)
  const second = world.replica('pod-2', 1)
  expect(await second.state.get(key(9999))).toBe('1767235599000')
})

test('what others have put on the ConfigMap stays', async () => {
  const world = new World()
  const { state } = world.replica('pod-1', 0)
  await state.set('a', '1')
  const { metadata, data } = world.stored
  world.cluster.apply('PUT', PATH, { metadata: { ...metadata, labels: { team: 'a' } }, data })
  await state.set('a', '2')
  expect(world.stored.metadata).toMatchObject({ labels: { team: 'a' } })
  expect(JSON.parse(world.stored.data['state'] ?? '')).toEqual({ a: '2' })
})

test.each([{ fence: 'x' }, { fence: '{}' }, { state: '[]' }, { fence: '[]' }])('a ConfigMap with %j is left alone', async (data) => {
  const world = new World()
  world.cluster.apply('POST', PATH.slice(0, -'/hub-cron'.length), { metadata: { name: 'hub-cron' }, data })
  expect(await codeOf(world.replica('pod-1', 0).state.get('a'))).toBe('HUB_STATE_UNUSABLE')
  expect(world.stored.data).toEqual(data)
}) // prettier-ignore

test('one that is deleted begins anew, for the holder of the turn only', async () => {
  const world = new World()
  const { state, seat } = world.replica('pod-1', 0)
  await state.set('a', '1')
  world.cluster.objects.delete(PATH)
  expect(await codeOf(state.set('a', '2'))).toBe('HUB_LEASE_LOST')
  expect(seat.outranked).toEqual([])
  await state.set('a', '3')
  expect(JSON.parse(world.stored.data['state'] ?? '')).toEqual({ a: '3' })
})
