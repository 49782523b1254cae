import { describe, expect, test, vi } from 'vitest'

import { GatewayListing, GatewayWatcher } from '../../src/discovery/gateway.ts'
import type { GatewayWatcherOptions } from '../../src/discovery/gateway.ts'
import { globMatches, namespaceTest } from '../../src/discovery/index.ts'
import type { Snapshot } from '../../src/discovery/index.ts'
import { HubError, ManualClock, Secret, systemClock, type ClockTimer } from '../../src/sdk/index.ts'
import { FakeGateway, endless, json, resetMidBody, silent, status } from './fake-gateway.ts'
import { RecordedEvents } from './fixtures.ts'

const INTERVAL_MS = 30_000
const TIMEOUT_MS = 5000
const WAIT = { timeout: 10_000, interval: 2 }

/** Tells the pauses between polls from the time limits of requests. */
class PollClock extends ManualClock {
  readonly pauses: number[] = []

  override after(delayMs: number, callback: () => void): ClockTimer {
    if (delayMs !== TIMEOUT_MS) this.pauses.push(delayMs)
    return super.after(delayMs, callback)
  }
}

class Watching implements AsyncDisposable {
  readonly clock = new PollClock()
  readonly events = new RecordedEvents()
  readonly snapshots: Snapshot[] = []
  readonly watcher: GatewayWatcher

  constructor(gatewayUrl: string, more: Partial<GatewayWatcherOptions> = {}) {
    this.watcher = new GatewayWatcher({
      gatewayUrl,
      timeoutMs: TIMEOUT_MS,
      intervalMs: INTERVAL_MS,
      userAgent: 'connector-hub/test',
      clock: this.clock,
      events: this.events,
      ...more,
    })
  }

  async started(): Promise<this> {
    this.watcher.start((snapshot) => this.snapshots.push(snapshot))
    await this.polled(1)
    return this
  }

  polled(times: number): Promise<void> {
    return vi.waitFor(() => {
      if (this.clock.pauses.length < times) throw new Error(`${this.clock.pauses.length} polls of ${times}`)
    }, WAIT)
  }

  async nextPoll(): Promise<void> {
    const done = this.clock.pauses.length
    await this.clock.advance(this.clock.pauses.at(-1) as number)
    await this.polled(done + 1)
  }

  get names(): (string[] | undefined)[] {
    return this.snapshots.map(({ functions }) => functions.map(({ fullName }) => fullName))
  }

  get problem(): string {
    return this.watcher.status().problem ?? ''
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.watcher.close()
  }
}

describe('a listing', () => {
  test('asks each namespace, with basic auth, under the prefix of the URL', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.prefix = '/some/path'
    gateway.credentials = 'admin:pa:ss'
    gateway.namespaces = {
      'openfaas-fn': [
        { name: 'b', annotations: { topic: 't' }, replicas: 1 },
        { name: 'a', annotations: null },
      ],
      other: [{ name: 'b', namespace: 'lies' }],
    }
    const auth = { user: 'admin', password: new Secret('pa:ss') }
    await using watching = await new Watching(`${gateway.url}//`, { auth }).started()
    expect(watching.problem).toBe('')
    expect(watching.snapshots).toMatchObject([
      {
        functions: [
          { name: 'a', namespace: 'openfaas-fn', fullName: 'a.openfaas-fn', annotations: {} },
          { fullName: 'b.openfaas-fn', annotations: { topic: 't' } },
          { fullName: 'b.other', namespace: 'other', annotations: {} },
        ],
        findings: [],
      },
    ])
    expect(gateway.requests.map(({ url }) => url)).toEqual([
      '/some/path/system/namespaces',
      '/some/path/system/functions?namespace=openfaas-fn',
      '/some/path/system/functions?namespace=other',
    ])
  })

  test.each([
    ['404', status(404, '404 page not found')],
    ['an empty body', status(200, '')],
    ['null', status(200, 'null')],
    ['[]', json([])],
  ])('takes %s from namespaces as none, and uses bare names', async (_name, fault) => {
    await using gateway = await new FakeGateway().listen()
    gateway.namespaces = { '': [{ name: 'env' }] }
    gateway.faults.set('/system/namespaces', fault)
    await using watching = await new Watching(gateway.url).started()
    expect(watching.snapshots).toMatchObject([{ functions: [{ name: 'env', namespace: '', fullName: 'env' }] }])
    expect(gateway.requests.at(-1)?.url).toBe('/system/functions')
  })

  test('looks only at allowed namespaces, and denied ones never', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.namespaces = { 'team-a': [{ name: 'f' }], 'team-b': [{ name: 'f' }], system: [{ name: 'f' }] }
    await using watching = await new Watching(gateway.url, {
      namespaces: { allow: ['team-*'], deny: ['*-b'] },
    }).started()
    expect(watching.names).toEqual([['f.team-a']])
    expect(gateway.requests).toHaveLength(2)
  })

  test('says when no namespace is allowed', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.namespaces = { a: [{ name: 'f' }] }
    await using watching = await new Watching(gateway.url, { namespaces: { allow: ['b'], deny: [] } }).started()
    expect(watching.snapshots).toMatchObject([{ functions: [], findings: [{ level: 'warning', function: '' }] }])
  })

  test('says when no function of a gateway without namespaces is in an allowed one', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.namespaces = { '': [{ name: 'f' }, { name: 'g', namespace: 'a' }] }
    const rules = (name: string) => ({ namespaces: { allow: [name], deny: [] } })
    await using none = await new Watching(gateway.url, rules('b')).started()
    expect(none.snapshots).toMatchObject([{ functions: [], findings: [{ level: 'warning', function: '' }] }])
    await using some = await new Watching(gateway.url, rules('a')).started()
    expect(some.snapshots).toMatchObject([{ functions: [{ fullName: 'g' }], findings: [] }])
  })

  test('refuses names that would change the route, and counts a repeated name once', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.namespaces = {
      ns: [
        { name: 'ok_1.x-Y' },
        { name: '../admin' },
        { name: '..' },
        { name: 'a b' },
        { name: 'ok_1.x-Y', annotations: { topic: 'no' } },
      ],
    }
    gateway.namespaces['n/s'] = [{ name: 'f' }]
    await using watching = await new Watching(gateway.url).started()
    expect(watching.snapshots[0]?.functions).toMatchObject([{ fullName: 'ok_1.x-Y.ns', annotations: {} }])
    expect(watching.snapshots[0]?.findings.map(({ level }) => level)).toEqual([
      'error',
      'error',
      'error',
      'error',
      'warning',
    ])
  })

  test('keeps the annotations that are text', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.namespaces = { ns: [{ name: 'f', annotations: { topic: 't', a: 1, b: null }, unknown: { x: [] } }] }
    await using watching = await new Watching(gateway.url).started()
    expect(watching.snapshots[0]).toMatchObject({
      functions: [{ annotations: { topic: 't' } }],
      findings: [{ annotation: 'a' }],
    })
  })

  test('of 10,000 functions arrives whole and in order', async () => {
    await using gateway = await new FakeGateway().listen()
    const annotations = { topic: 'a,b,c,d,e' }
    gateway.namespaces = {
      ns: Array.from({ length: 10_000 }, (_, index) => ({ name: `f${99_999 - index}`, annotations })),
    }
    await using watching = await new Watching(gateway.url).started()
    const [names] = watching.names
    expect(names).toHaveLength(10_000)
    expect(names).toEqual([...(names ?? [])].sort())
  })
})

describe('the last good listing', () => {
  test.each([
    ['500', '*', status(500, 'oops')],
    ['500 with a list of functions', '/system/functions?namespace=a', status(500, '[]')],
    ['500 with a list of namespaces', '/system/namespaces', status(500, '["a"]')],
    ['502 with HTML', '*', status(502, '<html>')],
    ['401', '*', status(401, 'invalid credentials')],
    ['HTML with 200 for namespaces', '/system/namespaces', status(200, '<!doctype html><p>hello')],
    ['HTML with 200 for functions', '/system/functions?namespace=a', status(200, '<!doctype html><p>hello')],
    ['JSON cut short', '/system/functions?namespace=a', status(200, '[{"name":"f","annot')],
    ['an object instead of a list', '/system/functions?namespace=a', json({ functions: [] })],
    ['a list of something else', '/system/functions?namespace=a', json([1, 2])],
    ['annotations of the wrong shape', '/system/functions?namespace=a', json([{ name: 'f', annotations: ['x'] }])],
    ['an empty body', '/system/functions?namespace=a', status(200, '')],
    ['null', '/system/functions?namespace=a', json(null)],
    ['a namespace list of the wrong shape', '/system/namespaces', json([{ name: 'a' }])],
    ['one namespace that fails', '/system/functions?namespace=b', status(500, 'not now')],
    ['a connection reset within the body', '/system/functions?namespace=a', resetMidBody],
    ['a redirect', '*', status(302, '', { location: 'http://elsewhere.example/login?next=x' })],
    ['an answer without end', '/system/functions?namespace=a', endless],
  ])('survives %s, and the first good one after it counts', async (_name, path, fault) => {
    await using gateway = await new FakeGateway().listen()
    gateway.namespaces = { a: [{ name: 'f' }], b: [{ name: 'g' }] }
    await using watching = await new Watching(gateway.url, { responseBytesMax: 1024 * 1024 }).started()
    gateway.faults.set(path, fault)
    gateway.namespaces['b'] = [{ name: 'g' }, { name: 'h' }]
    await watching.nextPoll()
    await watching.nextPoll()
    expect(watching.names).toEqual([['f.a', 'g.b']])
    expect(watching.watcher.status()).toMatchObject({ functions: 2, lastGoodAtMs: watching.snapshots[0]?.takenAtMs })
    expect(watching.problem).toMatch(/^HUB_DISCOVERY_(FAILED|UNAUTHORIZED): .+\. .+/)
    expect(watching.events.failures).toHaveLength(2)
    gateway.faults.clear()
    await watching.nextPoll()
    expect(watching.names).toEqual([
      ['f.a', 'g.b'],
      ['f.a', 'g.b', 'h.b'],
    ])
    expect(watching.problem).toBe('')
    expect(watching.events.recoveries).toBe(1)
  })

  test('survives a gateway that does not answer in time', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.namespaces = { a: [{ name: 'f' }] }
    await using watching = await new Watching(gateway.url).started()
    gateway.faults.set('/system/functions?namespace=a', silent)
    const seen = gateway.requests.length
    await watching.clock.advance(INTERVAL_MS)
    await vi.waitFor(() => expect(gateway.requests.length).toBe(seen + 2), WAIT)
    await watching.clock.advance(TIMEOUT_MS)
    await watching.polled(2)
    expect(watching.problem).toContain('no complete answer within 5s')
    expect(watching.names).toEqual([['f.a']])
  })

  test('survives an outage, and a gateway that comes up late is found', async () => {
    const gateway = await new FakeGateway().listen()
    gateway.namespaces = { a: [{ name: 'f' }] }
    const { port, url } = gateway
    await gateway[Symbol.asyncDispose]()
    await using watching = await new Watching(url).started()
    expect(watching.watcher.status()).toMatchObject({ lastGoodAtMs: undefined, functions: 0 })
    expect(watching.problem).toMatch(/^HUB_DISCOVERY_FAILED: .*ECONNREFUSED/)
    {
      await using up = await new FakeGateway().listen(port)
      up.namespaces = { a: [{ name: 'f' }] }
      await watching.nextPoll()
      expect(watching.names).toEqual([['f.a']])
    }
    await watching.nextPoll()
    expect(watching.watcher.status()).toMatchObject({ functions: 1 })
    expect(watching.events.failures.at(-1)?.lastGoodAgeMs).toBe(INTERVAL_MS)
    expect(watching.names).toHaveLength(1)
  })

  test('names the credentials as the fault, and never shows them', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.credentials = 'admin:right'
    const auth = { user: 'admin', password: new Secret('hunter2') }
    await using watching = await new Watching(gateway.url, { auth }).started()
    expect(watching.problem).toMatch(/^HUB_DISCOVERY_UNAUTHORIZED: .*basic-auth|usernameFile/)
    const said = JSON.stringify([watching.problem, watching.events.failures])
    expect(said).not.toContain('hunter2')
    expect(said).not.toContain(Buffer.from('admin:hunter2').toString('base64'))
  })

  test('is retried soon after a failure, later and later, and never later than the interval', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.faults.set('*', status(500, ''))
    await using watching = await new Watching(gateway.url).started()
    for (let poll = 0; poll < 8; poll++) await watching.nextPoll()
    const [first, ...rest] = watching.clock.pauses
    expect(first).toBeLessThanOrEqual(1000)
    for (const pause of rest) expect(pause).toBeLessThanOrEqual(INTERVAL_MS)
    // Equal jitter: half of the exponential wait at least (OpenFaaS contract, retry back-off).
    expect(rest.at(-1)).toBeGreaterThanOrEqual(INTERVAL_MS / 2)
  })

  test('does not send credentials to where a redirect leads', async () => {
    await using elsewhere = await new FakeGateway().listen()
    await using gateway = await new FakeGateway().listen()
    gateway.faults.set('*', status(307, '', { location: `${elsewhere.url}/system/namespaces` }))
    const auth = { user: 'admin', password: new Secret('x') }
    await using watching = await new Watching(gateway.url, { auth }).started()
    expect(watching.problem).toContain(elsewhere.url)
    expect(elsewhere.requests).toEqual([])
  })
})

describe('a list that is suddenly empty', () => {
  const full = { a: [{ name: 'f' }], b: [{ name: 'g' }] }

  test('counts when the next listing says the same, one interval later', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.namespaces = { ...full }
    await using watching = await new Watching(gateway.url).started()
    gateway.namespaces = { a: [], b: [{ name: 'g' }, { name: 'h' }] }
    await watching.nextPoll()
    expect(watching.names).toEqual([['f.a', 'g.b']])
    expect(watching.problem).toContain('suddenly lists no functions in a')
    expect(watching.clock.pauses.at(-1)).toBe(INTERVAL_MS)
    await watching.nextPoll()
    expect(watching.names).toEqual([
      ['f.a', 'g.b'],
      ['g.b', 'h.b'],
    ])
    expect(watching.problem).toBe('')
  })

  test('does not count when a failure or the functions come in between', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.namespaces = { ...full }
    await using watching = await new Watching(gateway.url).started()
    gateway.namespaces = { a: [], b: [] }
    await watching.nextPoll()
    gateway.faults.set('*', status(503, ''))
    await watching.nextPoll()
    gateway.faults.clear()
    await watching.nextPoll()
    gateway.namespaces = { ...full }
    await watching.nextPoll()
    gateway.namespaces = { a: [], b: [] }
    await watching.nextPoll()
    expect(watching.names).toEqual([['f.a', 'g.b']])
  })

  test('is not confirmed by namespaces that are gone as a whole', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.namespaces = { ...full }
    await using watching = await new Watching(gateway.url).started()
    gateway.namespaces = { '': [{ name: 'f' }] }
    await watching.nextPoll()
    expect(watching.names).toEqual([['f.a', 'g.b']])
    await watching.nextPoll()
    expect(watching.names.at(-1)).toEqual(['f'])
  })

  test('is to be confirmed at the start, too: an earlier process may have left subscriptions', async () => {
    await using gateway = await new FakeGateway().listen()
    await using watching = await new Watching(gateway.url).started()
    expect([watching.names, watching.watcher.status().lastGoodAtMs]).toEqual([[], undefined])
    expect(watching.problem).toContain('the gateway lists no functions')
    expect(watching.clock.pauses.at(-1)).toBe(INTERVAL_MS)
    await watching.nextPoll()
    expect([watching.names, watching.problem]).toEqual([[[]], ''])
    gateway.namespaces = { '': [{ name: 'f' }] }
    await watching.nextPoll()
    expect(watching.names).toEqual([[], ['f']])
  })

  test('at the start is over when the provider has started', async () => {
    await using gateway = await new FakeGateway().listen()
    await using watching = await new Watching(gateway.url).started()
    gateway.namespaces = { ...full }
    await watching.nextPoll()
    expect([watching.names, watching.problem]).toEqual([[['f.a', 'g.b']], ''])
  })
})

describe('an unchanged listing', () => {
  test('is not told again, whatever else changes in it', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.namespaces = { a: [{ name: 'f', annotations: { topic: 't', x: 'y' } }, { name: 'g' }] }
    await using watching = await new Watching(gateway.url).started()
    await watching.nextPoll()
    gateway.namespaces = {
      a: [
        { name: 'g', invocationCount: 5 },
        { name: 'f', replicas: 3, annotations: { x: 'y', topic: 't' } },
      ],
    }
    await watching.nextPoll()
    expect(watching.snapshots).toHaveLength(1)
    expect(watching.watcher.status().lastGoodAtMs).toBe(watching.clock.now())
  })

  test('keeps the objects of functions that did not change', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.namespaces = { a: [{ name: 'f' }, { name: 'g', annotations: { topic: 't' } }] }
    await using watching = await new Watching(gateway.url).started()
    gateway.namespaces = { a: [{ name: 'f' }, { name: 'g', annotations: { topic: 'u' } }] }
    await watching.nextPoll()
    const [before, after] = watching.snapshots
    expect(after?.functions[0]).toBe(before?.functions[0])
    expect(after?.functions[1]).toMatchObject({ annotations: { topic: 'u' } })
  })
})

describe('a watcher', () => {
  test('goes on when its listener throws, and tells the listing again', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.namespaces = { a: [{ name: 'f' }] }
    await using watching = new Watching(gateway.url)
    let calls = 0
    watching.watcher.start(() => {
      calls += 1
      if (calls === 1) throw new Error('a bug')
    })
    await watching.polled(1)
    expect(watching.problem).toContain('a bug')
    await watching.nextPoll()
    expect(calls).toBe(2)
    expect(watching.problem).toBe('')
  })

  test('closes at once in the middle of a request, and twice', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.faults.set('*', silent)
    const watching = new Watching(gateway.url)
    watching.watcher.start(() => {})
    await vi.waitFor(() => expect(gateway.requests).toHaveLength(1), WAIT)
    await watching.watcher.close()
    await watching.watcher.close()
    expect(watching.events.failures).toEqual([])
    expect(watching.clock.pending).toBe(0)
  })

  test.each(['not a url', 'ftp://gateway', 'http://user:hunter2@gateway'])(
    'refuses the gateway URL %s',
    (gatewayUrl) => {
      expect(() => new Watching(gatewayUrl)).toThrow(expect.objectContaining({ code: 'HUB_CONFIG_INVALID' }))
      expect(() => new Watching(gatewayUrl)).not.toThrow(/hunter2/)
    },
  )
})

test('a one-shot listing rejects with the named error', async () => {
  await using gateway = await new FakeGateway().listen()
  gateway.faults.set('*', status(401, ''))
  const listing = new GatewayListing({
    gatewayUrl: gateway.url,
    timeoutMs: TIMEOUT_MS,
    userAgent: 'x',
    clock: systemClock,
  })
  const error = await listing.list(new AbortController().signal).catch((reason: unknown) => reason)
  await listing.close()
  expect(error).toBeInstanceOf(HubError)
  expect(error).toMatchObject({ code: 'HUB_DISCOVERY_UNAUTHORIZED' })
})

test.each([
  ['*', '', true],
  ['*', 'x', true],
  ['team-*', 'team-', true],
  ['team-*', 'tea', false],
  ['*-b-*', 'a-b-b-c', true],
  ['a?c', 'abc', true],
  ['a?c', 'ac', false],
  ['a', 'ab', false],
  ['a.c', 'abc', false],
])('the glob %s on "%s": %s', (glob, text, expected) => {
  expect(globMatches(glob, text)).toBe(expected)
  expect(namespaceTest({ allow: [], deny: [glob] })(text)).toBe(!expected)
})
