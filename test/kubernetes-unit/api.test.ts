import { describe, expect, test, vi } from 'vitest'

import { KubernetesApi, KubernetesError, ruleOf } from '../../src/kubernetes/index.ts'
import type { KubernetesApiOptions, WatchEvent } from '../../src/kubernetes/index.ts'
import { ManualClock, systemClock } from '../../src/sdk/index.ts'
import { FakeApi, json, silent, text } from './fake-api.ts'
import type { Answer } from './fake-api.ts'

const WAIT = { timeout: 30_000, interval: 2 }
const PATH = '/apis/apps/v1/namespaces/shop/deployments'

class Asking implements AsyncDisposable {
  readonly fake: FakeApi
  readonly api: KubernetesApi

  private constructor(fake: FakeApi, options: Partial<KubernetesApiOptions>) {
    this.fake = fake
    this.api = new KubernetesApi({
      access: fake.access('t0'),
      clock: systemClock,
      userAgent: 'connector-hub/test',
      ...options,
    })
  }

  static async of(answer: Answer, options: Partial<KubernetesApiOptions> = {}): Promise<Asking> {
    const asking = new Asking(await FakeApi.listen(), options)
    asking.fake.answers.set(PATH, answer)
    return asking
  }

  /** What it is refused with. */
  async refusal(): Promise<KubernetesError> {
    const error: unknown = await this.api.list(PATH, {}).then(() => undefined, (reason: unknown) => reason) // prettier-ignore
    if (error instanceof KubernetesError) return error
    throw new Error(`not refused: ${String(error)}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.api.close()
    await this.fake[Symbol.asyncDispose]()
  }
}

describe('a request', () => {
  test('says who asks and what is understood, and gives the JSON back', async () => {
    await using asking = await Asking.of(json({ kind: 'DeploymentList', items: [] }))
    expect(await asking.api.list(PATH, { limit: 5, continue: undefined })).toEqual({ kind: 'DeploymentList', items: [] }) // prettier-ignore
    const [asked] = asking.fake.asked
    expect([asked?.method, asked?.query.toString()]).toEqual(['GET', 'limit=5'])
    expect(asked?.headers).toMatchObject({
      authorization: 'Bearer t0',
      accept: 'application/json',
      'user-agent': 'connector-hub/test',
    })
    expect([asking.api.namespace, asking.api.server]).toEqual(['here', asking.fake.url])
  })

  test('sends objects as JSON', async () => {
    await using asking = await Asking.of(json({}, 201))
    await asking.api.create(PATH, { a: 1 })
    await asking.api.replace(PATH, { a: 2 })
    expect(asking.fake.asked.map(({ method, body, headers }) => [method, headers['content-type'], body])).toEqual([
      ['POST', 'application/json', '{"a":1}'],
      ['PUT', 'application/json', '{"a":2}'],
    ])
  })

  test('uses a connection that is there', async () => {
    await using asking = await Asking.of(json({}))
    for (let times = 1; times <= 5; times += 1) await asking.api.get(PATH)
    // Whether the first is free by then is a matter of moments.
    expect(asking.fake.connections).toBeLessThan(4)
  })

  test.each([
    [404, 'NotFound', 'HUB_KUBERNETES_FAILED', false],
    [409, 'Conflict', 'HUB_KUBERNETES_FAILED', false],
    [403, 'Forbidden', 'HUB_KUBERNETES_FORBIDDEN', true],
    [410, 'Expired', 'HUB_KUBERNETES_FAILED', true],
    [429, 'TooManyRequests', 'HUB_KUBERNETES_FAILED', true],
    [503, 'ServiceUnavailable', 'HUB_KUBERNETES_FAILED', true],
  ])('that is answered %i has its status and reason', async (status, reason, code, canRetry) => {
    const answer = { kind: 'Status', status: 'Failure', reason, code: status, message: 'because\nof this' }
    await using asking = await Asking.of(json(answer, status))
    const error = await asking.refusal()
    expect(error).toMatchObject({ status, reason, code, canRetry })
    expect(error.message).toBe(`GET ${asking.fake.url}${PATH} answered ${status} ${reason}: because?of this`)
  })

  test('that is forbidden names the rule that is missing', async () => {
    await using asking = await Asking.of(json({ kind: 'Status', reason: 'Forbidden' }, 403))
    expect((await asking.refusal()).hint).toBe(
      'Grant the service account by a Role in namespace shop: apiGroups ["apps"], resources ["deployments"], verbs ["list"].',
    )
  })

  test('whose token is refused is sent once more with the next one', async () => {
    const fake = await FakeApi.listen()
    await using asking = await Asking.of(silent, { access: fake.access('old', 'new') })
    fake.answers.set(PATH, (response, url, request) =>
      (request.headers.authorization === 'Bearer new' ? json({ ok: true }) : json({}, 401))(response, url, request),
    )
    expect(await asking.api.get(PATH)).toEqual({ ok: true })
    expect(await asking.api.get(PATH)).toEqual({ ok: true })
    expect(fake.asked.map(({ headers }) => headers.authorization)).toEqual(['Bearer old', 'Bearer new', 'Bearer new'])
    await asking.api.close()
    await fake[Symbol.asyncDispose]()
  })

  test('whose only token is refused is unauthorized, without a second attempt and without the token', async () => {
    await using asking = await Asking.of(json({ kind: 'Status', reason: 'Unauthorized' }, 401))
    const error = await asking.refusal()
    expect([error.code, error.status, error.canRetry]).toEqual(['HUB_KUBERNETES_UNAUTHORIZED', 401, true])
    expect(JSON.stringify([error.message, error.hint])).not.toContain('t0')
    expect(asking.fake.asked).toHaveLength(1)
  })

  test.each([
    ['a page of a proxy', text('<html>', 502), 502, /answered 502$/],
    ['a web page', text('<html>welcome', 200), 0, /the answer is not a JSON object$/],
    ['a list', json([]), 0, /the answer is not a JSON object$/],
    ['a redirect, which is not followed', text('', 302, { location: 'http://localhost:1/' }), 302, /answered 302$/],
  ])('that is answered by %s fails', async (_what, answer, status, message) => {
    await using asking = await Asking.of(answer)
    const error = await asking.refusal()
    expect([error.code, error.status]).toEqual(['HUB_KUBERNETES_FAILED', status])
    expect(error.message).toMatch(message)
    expect(asking.fake.asked).toHaveLength(1)
  })

  test('whose answer is larger than allowed is given up', async () => {
    await using asking = await Asking.of(text('x'.repeat(2000)), { responseBytesMax: 1024 })
    expect((await asking.refusal()).message).toMatch(/the answer is larger than 1KiB$/)
  })

  test('that is not answered ends when its time is over, the answer included', async () => {
    const clock = new ManualClock()
    const beginning: Answer = (response) => void response.writeHead(200).write('{')
    await using asking = await Asking.of(beginning, { clock, timeoutMs: 5000 })
    const refused = asking.refusal()
    await vi.waitFor(() => expect(asking.fake.asked).toHaveLength(1), WAIT)
    await clock.advance(5000)
    const error = await refused
    expect([error.code, error.status, error.canRetry]).toEqual(['HUB_KUBERNETES_UNREACHABLE', 0, true])
    expect(error.message).toContain('no answer within 5s')
    expect(clock.pending).toBe(0)
  })

  test('that is aborted ends with the reason', async () => {
    await using asking = await Asking.of(silent)
    const stop = new AbortController()
    const asked = asking.api.get(PATH, { signal: stop.signal })
    await vi.waitFor(() => expect(asking.fake.asked).toHaveLength(1), WAIT)
    stop.abort(new Error('enough'))
    await expect(asked).rejects.toThrow('enough')
    await expect(asking.api.get(PATH, { signal: stop.signal })).rejects.toThrow('enough')
  })

  test('to nobody is unreachable', async () => {
    const fake = await FakeApi.listen()
    const access = fake.access('t')
    const { url } = fake
    await fake[Symbol.asyncDispose]()
    const api = new KubernetesApi({ access: { ...access, server: url }, clock: systemClock, userAgent: 'test' })
    await expect(api.get(PATH)).rejects.toMatchObject({ code: 'HUB_KUBERNETES_UNREACHABLE', status: 0, canRetry: true })
    await api.close()
  })

  test('keeps the path of a server that has one', async () => {
    const fake = await FakeApi.listen()
    fake.answers.set(`/k8s/clusters/c-1${PATH}`, json({}))
    const access = { ...fake.access('t'), server: `${fake.url}/k8s/clusters/c-1` }
    const api = new KubernetesApi({ access, clock: systemClock, userAgent: 'test' })
    expect(await api.get(PATH)).toEqual({})
    await api.close()
    await fake[Symbol.asyncDispose]()
  })
})

/** Events of one watch until it ends, and what it ended with. */
async function watched(
  answer: Answer,
  options: Partial<KubernetesApiOptions> = {},
): Promise<{ readonly events: readonly WatchEvent[]; readonly error: unknown; readonly query: string | undefined }> {
  await using asking = await Asking.of(answer, options)
  const events: WatchEvent[] = []
  const watch = { resourceVersion: '7', timeoutSeconds: 30, signal: new AbortController().signal }
  const error: unknown = await asking.api.watch(PATH, watch, (event) => events.push(event)).then(() => undefined, (reason: unknown) => reason) // prettier-ignore
  return { events, error, query: asking.fake.asked[0]?.query.toString() }
}

const line = (type: string, object: unknown): string => `${JSON.stringify({ type, object })}\n`

describe('a watch', () => {
  test('asks for what comes after, with bookmarks and an end, and tells each event in order', async () => {
    const { events, error, query } = await watched(
      text(line('ADDED', { n: 1 }) + line('MODIFIED', { n: 2 }) + line('BOOKMARK', { n: 3 }) + line('DELETED', { n: 4 })), // prettier-ignore
    )
    expect(error).toBe(undefined)
    expect(query).toBe('watch=true&allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=30')
    expect(events).toEqual([
      { type: 'ADDED', object: { n: 1 } },
      { type: 'MODIFIED', object: { n: 2 } },
      { type: 'BOOKMARK', object: { n: 3 } },
      { type: 'DELETED', object: { n: 4 } },
    ])
  })

  test('puts together what comes in pieces, characters of several bytes too, and drops a part at the end', async () => {
    const bytes = Buffer.from(`${line('ADDED', { name: 'größer €' })}${line('ADDED', { n: 2 })}{"type":"ADD`)
    const { events, error } = await watched((response) => {
      response.writeHead(200)
      const send = (at: number): void => {
        if (at >= bytes.length) response.end()
        else response.write(bytes.subarray(at, at + 7), () => send(at + 7))
      }
      send(0)
    })
    expect([events.map(({ object }) => object), error]).toEqual([[{ name: 'größer €' }, { n: 2 }], undefined])
  })

  test('that has forgotten says so by an event as by its status', async () => {
    const gone = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' }
    for (const answer of [text(line('ERROR', gone)), json(gone, 410)]) {
      const { error, events } = await watched(answer)
      expect(error).toMatchObject({ code: 'HUB_KUBERNETES_FAILED', status: 410, reason: 'Expired', canRetry: true })
      expect(events).toEqual([])
    }
  })

  test.each([
    ['no JSON', 'nonsense\n', /is not JSON/],
    ['no object', '{"type":"ADDED"}\n', /has no object/],
    ['an unknown type', line('RENAMED', {}), /unknown type RENAMED/],
  ])('with an event of %s fails, because what it meant would be missed', async (_what, body, message) => {
    expect((await watched(text(body))).error).toMatchObject({
      code: 'HUB_KUBERNETES_FAILED',
      message: expect.stringMatching(message) as string,
    })
  })

  test('with a line that has no end is given up', async () => {
    const { error } = await watched(text('x'.repeat(9 * 1024 * 1024)))
    expect(error).toMatchObject({ code: 'HUB_KUBERNETES_UNREACHABLE', message: expect.stringContaining('a line of more than 8388608 bytes') as string }) // prettier-ignore
  })

  test('that is silent for longer than it may counts as dead, and one that speaks does not', async () => {
    const clock = new ManualClock()
    let speak: () => void = () => {}
    const answer: Answer = (response) => {
      response.writeHead(200).flushHeaders()
      speak = () => void response.write(line('BOOKMARK', {}))
    }
    await using asking = await Asking.of(answer, { clock })
    const events: WatchEvent[] = []
    let opened = 0
    const options = {
      resourceVersion: '7',
      timeoutSeconds: 30,
      idleMs: 1000,
      signal: new AbortController().signal,
      onOpen: () => (opened += 1),
    }
    const ended = asking.api.watch(PATH, options, (event) => events.push(event)).catch((error: unknown) => error)
    await vi.waitFor(() => expect(opened).toBe(1), WAIT)
    for (let times = 1; times <= 3; times += 1) {
      await clock.advance(700)
      speak()
      await vi.waitFor(() => expect(events).toHaveLength(times), WAIT)
    }
    await clock.advance(1000)
    expect(await ended).toMatchObject({ code: 'HUB_KUBERNETES_UNREACHABLE', status: 0 })
    expect(clock.pending).toBe(0)
  })

  test('holds up no request, however many there are', async () => {
    const open: Answer = (response, url, request) => {
      if (url.searchParams.has('watch')) response.writeHead(200).flushHeaders()
      else json({ ok: true })(response, url, request)
    }
    await using asking = await Asking.of(open)
    const stop = new AbortController()
    const options = { resourceVersion: '1', timeoutSeconds: 60, signal: stop.signal }
    const watches = Array.from({ length: 20 }, () => asking.api.watch(PATH, options, () => {}))
    await vi.waitFor(() => expect(asking.fake.asked).toHaveLength(20), WAIT)
    expect(await asking.api.get(PATH)).toEqual({ ok: true })
    stop.abort(new Error('enough'))
    expect((await Promise.allSettled(watches)).map(({ status }) => status)).toEqual(Array(20).fill('rejected'))
  })
})

test.each([
  ['list', '/api/v1/namespaces', { group: '', resource: 'namespaces', namespace: undefined }],
  ['get', '/api/v1/namespaces/shop', { group: '', resource: 'namespaces', namespace: undefined }],
  ['list', '/apis/openfaas.com/v1/functions?watch=1', { group: 'openfaas.com', resource: 'functions', namespace: undefined }], // prettier-ignore
  ['update', '/apis/coordination.k8s.io/v1/namespaces/shop/leases/cron', { group: 'coordination.k8s.io', resource: 'leases', namespace: 'shop' }], // prettier-ignore
  ['patch', '/apis/apps/v1/namespaces/shop/deployments/a/scale', { group: 'apps', resource: 'deployments/scale', namespace: 'shop' }], // prettier-ignore
])('the rule for %s %s is that of a Role', (verb, path, rule) => {
  expect(ruleOf(verb, path)).toEqual({ verb, ...rule })
})

test('what is no resource has no rule', () => {
  expect(ruleOf('get', '/version')).toBe(undefined)
  expect(ruleOf('get', '/apis/openfaas.com/v1')).toBe(undefined)
})
