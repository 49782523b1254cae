// The watcher against a server that says on demand what real ones say only when something is badly wrong.

import type { ServerResponse } from 'node:http'

import { describe, expect, test, vi } from 'vitest'

import { CheckedWatcher, KubernetesWatcher } from '../../src/discovery/kubernetes.ts'
import type { KubernetesWatcherOptions } from '../../src/discovery/kubernetes.ts'
import type { DiscoveryEvents, FunctionWatcher, Snapshot } from '../../src/discovery/index.ts'
import { KubernetesApi } from '../../src/kubernetes/index.ts'
import { HubError, ManualClock, systemClock } from '../../src/sdk/index.ts'
import { RecordedEvents, functionInfo, snapshot } from '../discovery/fixtures.ts'
import { FakeApi, json, text } from './fake-api.ts'
import type { Answer } from './fake-api.ts'

const FUNCTIONS = '/apis/openfaas.com/v1/namespaces/shop/functions'
const DEPLOYMENTS = '/apis/apps/v1/namespaces/shop/deployments'
const WAIT = { timeout: 30_000, interval: 2 }

const deployment = (name: string, topic: string, resourceVersion = '1'): unknown => ({
  metadata: { name, namespace: 'shop', resourceVersion },
  spec: { template: { metadata: { annotations: { topic } } } },
})
const list = (...items: readonly unknown[]): unknown => ({ metadata: { resourceVersion: '10' }, items })
const status = (code: number, reason: string): unknown => ({ kind: 'Status', code, reason })

/** Lists as told, and watches that stay open until told otherwise. */
class Cluster implements AsyncDisposable {
  readonly fake: FakeApi
  readonly events = new RecordedEvents()
  readonly snapshots: Snapshot[] = []
  readonly watcher: KubernetesWatcher
  /** Open watches of Deployments. */
  readonly watches: ServerResponse[] = []
  /** Answers of lists, the last one for all that follow. */
  lists: Answer[]
  /** Answers of watches instead of staying open, each once. */
  readonly refusals: Answer[] = []

  private constructor(fake: FakeApi, lists: readonly Answer[], more: Partial<KubernetesWatcherOptions>) {
    this.fake = fake
    this.lists = [...lists]
    fake.answers.set(FUNCTIONS, json(status(404, 'NotFound'), 404))
    fake.answers.set(DEPLOYMENTS, (...request) => this.#answer(...request))
    const clock = systemClock
    this.watcher = new KubernetesWatcher({
      namespaces: { allow: ['shop'], deny: [] },
      functionNamespace: 'openfaas-fn',
      open: () =>
        Promise.resolve(new KubernetesApi({ access: fake.access('t'), clock, userAgent: 'test', timeoutMs: 5000 })),
      clock,
      events: this.events,
      tuning: { confirmMs: 300, absentMs: 50, backoffMaxMs: 300 },
      ...more,
    })
    this.watcher.start((one) => this.snapshots.push(one))
  }

  static async of(lists: readonly Answer[], more: Partial<KubernetesWatcherOptions> = {}): Promise<Cluster> {
    return new Cluster(await FakeApi.listen(), lists, more)
  }

  #answer(...[response, url, request]: Parameters<Answer>): void {
    if (!url.searchParams.has('watch')) {
      const answer = this.lists.length > 1 ? this.lists.shift() : this.lists[0]
      answer?.(response, url, request)
      return
    }
    const refusal = this.refusals.shift()
    if (refusal !== undefined) return refusal(response, url, request)
    response.writeHead(200).flushHeaders()
    this.watches.push(response)
  }

  tell(type: string, object: unknown): void {
    this.watches.at(-1)?.write(`${JSON.stringify({ type, object })}\n`)
  }

  get topics(): readonly (string | undefined)[] | undefined {
    return this.snapshots.at(-1)?.functions.map(({ annotations }) => annotations['topic'])
  }

  get messages(): readonly string[] {
    return this.events.failures.map(({ message }) => message)
  }

  /** What its lists and watches of Deployments began with. */
  get versions(): readonly string[] {
    return this.fake.asksOf(DEPLOYMENTS).map(({ query }) => query.get('resourceVersion') ?? 'list')
  }

  /** Until the list is wired, and watched. */
  watched(): Promise<void> {
    return this.until(() => {
      if (this.topics?.[0] !== '1' || this.watches.length !== 1) throw new Error(`${this.watches.length} watches`)
    })
  }

  until(expected: () => void): Promise<void> {
    return vi.waitFor(expected, WAIT)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.watcher.close()
    await this.fake[Symbol.asyncDispose]()
  }
}

describe('a watch', () => {
  test('is asked for by label, from where the list was, and goes on where bookmarks say', async () => {
    await using cluster = await Cluster.of([json(list(deployment('a', '1')))])
    await cluster.watched()
    expect(cluster.fake.asksOf(DEPLOYMENTS).map(({ query }) => query.get('labelSelector'))).toEqual(['faas_function', 'faas_function']) // prettier-ignore
    cluster.tell('BOOKMARK', { metadata: { resourceVersion: '77' } })
    cluster.watches[0]?.end()
    await cluster.until(() => expect(cluster.watches).toHaveLength(2))
    expect(cluster.versions).toEqual(['list', '10', '77'])
    expect([cluster.messages, cluster.snapshots.length]).toEqual([[], 1])
  })

  test('is not believed for ever: a server that was restored has another past', async () => {
    const restored = { metadata: { resourceVersion: '3' }, items: [deployment('a', 'restored', '2')] }
    await using cluster = await Cluster.of([json(list(deployment('a', '1'))), json(restored)], { tuning: { relistMs: 0 } }) // prettier-ignore
    await cluster.watched()
    cluster.watches[0]?.end()
    await cluster.until(() => expect(cluster.topics).toEqual(['restored']))
    await cluster.until(() => expect(cluster.versions).toEqual(['list', '10', 'list', '3']))
    expect(cluster.messages).toEqual([])
  })

  test('that never ends but by being cut is not believed for ever either', async () => {
    const restored = { metadata: { resourceVersion: '3' }, items: [deployment('a', 'restored', '2')] }
    await using cluster = await Cluster.of([json(list(deployment('a', '1'))), json(restored)], { tuning: { relistMs: 0 } }) // prettier-ignore
    await cluster.watched()
    cluster.watches[0]?.destroy()
    await cluster.until(() => expect(cluster.topics).toEqual(['restored']))
    await cluster.until(() => expect(cluster.versions).toEqual(['list', '10', 'list', '3']))
  })

  test('that ends by an event of 410 leads to a list, and what is wired stays meanwhile', async () => {
    await using cluster = await Cluster.of([json(list(deployment('a', '1'))), json(list(deployment('a', '2')))])
    await cluster.watched()
    cluster.tell('ERROR', status(410, 'Expired'))
    await cluster.until(() => expect(cluster.topics).toEqual(['2']))
    await cluster.until(() => expect(cluster.versions).toEqual(['list', '10', 'list', '10']))
    expect(cluster.events.failures).toMatchObject([{ code: 'HUB_KUBERNETES_FAILED', lastGoodAgeMs: expect.any(Number) as number }]) // prettier-ignore
    await cluster.until(() => expect(cluster.events.recoveries).toBe(1))
  })

  test('that is always too late is not begun in a circle', async () => {
    const clock = new ManualClock()
    await using cluster = await Cluster.of([json(list(deployment('a', '1')))], { clock })
    const gone = json(status(410, 'Expired'), 410)
    cluster.refusals.push(...Array.from({ length: 1000 }, () => gone))
    await cluster.until(() => expect(cluster.messages).toHaveLength(2))
    // Time enough for another round, and for many.
    for (let times = 0; times < 50; times += 1) await fetch(`${cluster.fake.url}/nothing`)
    expect(cluster.versions).toEqual(['list', '10', 'list', '10'])
    await clock.advance(1000)
    await cluster.until(() => expect(cluster.messages).toHaveLength(3))
  })

  test('that fails on the server goes on from the last event', async () => {
    await using cluster = await Cluster.of([json(list(deployment('a', '1')))])
    await cluster.watched()
    cluster.tell('MODIFIED', deployment('a', '2', '11'))
    await cluster.until(() => expect(cluster.topics).toEqual(['2']))
    cluster.refusals.push(json(status(503, 'ServiceUnavailable'), 503), text('<html>', 502), json(status(429, 'TooManyRequests'), 429)) // prettier-ignore
    cluster.watches[0]?.destroy()
    await cluster.until(() => expect(cluster.watches).toHaveLength(2))
    expect(cluster.versions).toEqual(['list', '10', '11', '11', '11', '11'])
    expect(cluster.messages.map((message) => /answered (\d+)/.exec(message)?.[1])).toEqual([undefined, '503', '502', '429']) // prettier-ignore
    await cluster.until(() => expect(cluster.watcher.status().problem).toBe(undefined))
  })

  test('with nonsense in it is given up, and nothing of it is wired', async () => {
    await using cluster = await Cluster.of([json(list(deployment('a', '1')))])
    await cluster.watched()
    cluster.watches[0]?.write('{"type":"MODIFIED"}\n')
    await cluster.until(() => expect(cluster.watches).toHaveLength(2))
    expect(cluster.messages[0]).toContain('an event of the watch has no object')
    expect(cluster.topics).toEqual(['1'])
  })

  test('a deletion that is told counts at once', async () => {
    await using cluster = await Cluster.of([json(list(deployment('a', '1')))], { tuning: { confirmMs: 3_600_000 } })
    await cluster.watched()
    cluster.tell('DELETED', deployment('a', '1', '12'))
    await cluster.until(() => expect(cluster.topics).toEqual([]))
    expect(cluster.messages).toEqual([])
  })
})

describe('a list', () => {
  const expire = async (cluster: Cluster): Promise<void> => {
    await cluster.watched()
    cluster.tell('ERROR', status(410, 'Expired'))
  }
  /** Until there were so many lists, and a watch after the last one. */
  const listed = (cluster: Cluster, lists: number): Promise<void> =>
    cluster.until(() => {
      expect(cluster.versions.filter((version) => version === 'list')).toHaveLength(lists)
      expect(cluster.versions.at(-1)).toBe('10')
    })

  test('that is suddenly empty counts when the next one says so, too', async () => {
    await using cluster = await Cluster.of([json(list(deployment('a', '1'))), json(list())])
    await expire(cluster)
    await cluster.until(() => expect(cluster.topics).toEqual([]))
    expect(cluster.messages.filter((message) => message.startsWith('the API server suddenly lists no deployments in shop'))).toHaveLength(1) // prettier-ignore
    expect(cluster.versions.filter((version) => version === 'list')).toHaveLength(3)
  })

  test('that is suddenly empty for a moment changes nothing', async () => {
    const full = json(list(deployment('a', '1')))
    await using cluster = await Cluster.of([full, json(list()), full])
    await expire(cluster)
    await listed(cluster, 3)
    expect([cluster.topics, cluster.snapshots.length]).toEqual([['1'], 1])
  })

  test('that is empty, fails and is empty again is confirmed by neither', async () => {
    const [empty, failing] = [json(list()), json(status(500, 'InternalError'), 500)]
    await using cluster = await Cluster.of([json(list(deployment('a', '1'))), empty, failing, empty, failing, json(list(deployment('a', '1')))]) // prettier-ignore
    await expire(cluster)
    await listed(cluster, 6)
    expect([cluster.topics, cluster.snapshots.length]).toEqual([['1'], 1])
  })

  test.each([
    ['no list', json({ kind: 'Status' })],
    ['no JSON', text('welcome')],
    ['items that are none', json({ metadata: { resourceVersion: '1' }, items: 'x' })],
  ])('with %s is no list of nothing', async (_what, answer) => {
    await using cluster = await Cluster.of([json(list(deployment('a', '1'))), answer, json(list(deployment('a', '2')))])
    await expire(cluster)
    await cluster.until(() => expect(cluster.topics).toEqual(['2']))
    expect(cluster.snapshots.map(({ functions }) => functions.length)).toEqual([1, 1])
  })

  test('whose resource is not installed is looked for again; the definition taken away is confirmed first', async () => {
    await using cluster = await Cluster.of([json(list())])
    await cluster.until(() => expect(cluster.topics).toEqual([]))
    await cluster.until(() => expect(cluster.fake.asksOf(FUNCTIONS).length).toBeGreaterThan(2))
    const resource = { metadata: { name: 'f', namespace: 'shop' }, spec: { annotations: { topic: 't' } } }
    cluster.fake.answers.set(FUNCTIONS, json(list(resource)))
    await cluster.until(() => expect(cluster.topics).toEqual(['t']))
    expect(cluster.messages.filter((message) => message.includes('functions: '))).toEqual([])
    cluster.fake.answers.set(FUNCTIONS, json(status(404, 'NotFound'), 404))
    await cluster.until(() => expect(cluster.topics).toEqual([]))
    expect(cluster.messages.filter((message) => message.startsWith('the API server suddenly lists no functions in shop'))).toHaveLength(1) // prettier-ignore
  })
})

test('credentials that come later than the hub are waited for', async () => {
  const fake = await FakeApi.listen()
  fake.answers.set(DEPLOYMENTS, json(list(deployment('a', '1'))))
  let opens = 0
  const open = (): Promise<KubernetesApi> => {
    opens += 1
    if (opens < 3) return Promise.reject(new HubError('HUB_CONFIG_UNREADABLE', 'no token yet'))
    return Promise.resolve(new KubernetesApi({ access: fake.access('t'), clock: systemClock, userAgent: 'test' }))
  }
  await using cluster = await Cluster.of([], { open })
  await cluster.until(() => expect(cluster.topics).toEqual(['1']))
  expect([cluster.messages.length >= 2, cluster.messages[0]?.startsWith('no token yet')]).toEqual([true, true])
  await cluster.watcher.close()
  await fake[Symbol.asyncDispose]()
})

test('namespaces that are all denied are a finding, and nothing is asked', async () => {
  await using cluster = await Cluster.of([], { namespaces: { allow: ['shop'], deny: ['*'] } })
  await cluster.until(() => expect(cluster.snapshots).toHaveLength(1))
  expect(cluster.snapshots).toMatchObject([{ functions: [], findings: [{ level: 'warning', function: '' }] }])
  expect(cluster.fake.asked).toEqual([])
})

describe('a cluster that is compared with a gateway', () => {
  /** Says what it is told to. */
  class Told implements FunctionWatcher {
    listener: (one: Snapshot) => void = () => {}
    closed = false
    start(onSnapshot: (one: Snapshot) => void): void {
      this.listener = onSnapshot
    }
    status() {
      return { lastGoodAtMs: 5, problem: 'of the cluster', functions: 1 }
    }
    close(): Promise<void> {
      this.closed = true
      return Promise.resolve()
    }
  }

  function compared() {
    const clock = new ManualClock()
    const [cluster, gateway] = [new Told(), new Told()]
    let events: DiscoveryEvents | undefined
    const snapshots: Snapshot[] = []
    const own = new RecordedEvents()
    const watcher = new CheckedWatcher({
      watcher: cluster,
      gateway: (given) => {
        events = given
        return gateway
      },
      functionNamespace: 'openfaas-fn',
      clock,
      events: own,
      graceMs: 30_000,
    })
    watcher.start((one) => snapshots.push(one))
    return { clock, cluster, gateway, events: events as DiscoveryEvents, snapshots, watcher, own }
  }

  test('is wired at once, whatever the gateway says, and what lasts is a finding', async () => {
    const { clock, cluster, gateway, snapshots, watcher } = compared()
    gateway.listener(snapshot({ 'a.shop': {}, 'old.shop': {} }))
    expect(snapshots).toEqual([])
    cluster.listener(snapshot({ 'a.shop': { topic: 't' } }))
    expect(snapshots).toMatchObject([{ functions: [functionInfo('a.shop', { topic: 't' })], findings: [] }])
    await clock.advance(30_000)
    expect(snapshots).toHaveLength(2)
    expect(snapshots[1]?.findings.map(({ function: name, annotation }) => [name, annotation])).toEqual([
      ['a.shop', 'topic'],
      ['old.shop', ''],
    ])
    gateway.listener(snapshot({ 'a.shop': { topic: 't' } }))
    expect(snapshots.at(-1)?.findings).toEqual([])
    expect(watcher.status()).toEqual({ lastGoodAtMs: 5, problem: 'of the cluster', functions: 1 })
    await watcher.close()
    expect([cluster.closed, gateway.closed, clock.pending]).toEqual([true, true, 0])
  })

  test('is wired while the gateway cannot be listed, which is a finding, and no difference is', async () => {
    const { clock, cluster, gateway, events, snapshots, own } = compared()
    gateway.listener(snapshot({}))
    cluster.listener(snapshot({ 'a.shop': {} }))
    events.discoveryFailed('HUB_DISCOVERY_FAILED', 'it is away', undefined)
    await clock.advance(60_000)
    expect(snapshots.at(-1)).toMatchObject({ functions: [{ fullName: 'a.shop' }], findings: [{ level: 'warning', function: '', code: 'HUB_DISCOVERY_FAILED' }] }) // prettier-ignore
    cluster.listener(snapshot({ 'a.shop': {}, 'b.shop': {} }))
    expect(snapshots.at(-1)?.functions).toHaveLength(2)
    gateway.listener(snapshot({ 'a.shop': {}, 'b.shop': {} }))
    events.discoveryRecovered()
    expect(snapshots.at(-1)?.findings).toEqual([])
    expect(own.failures).toEqual([])
  })
})
