// The tools of webhooks: what waits on the disk is seen and stays, and what is emitted arrives at the hub that runs, as from
// a caller of its scheme.

import { mkdtempDisposableSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { storedEvents } from '../../src/hub/inboxes.ts'
import { HubError, ManualClock } from '../../src/sdk/index.ts'
import type { Emitter, EventMessage, OutgoingEvent } from '../../src/sdk/index.ts'
import { HttpListener } from '../../test/http-listener.ts'
import { pickPorts } from '../../test/servers/server.ts'
import { createCertificates, noCertificates } from '../../test/servers/tls.ts'
import { SourceRig } from '../../test/source-rig.ts'
import { Look, toolsOf } from '../../test/tools-rig.ts'
import connector from './connector.ts'
import { Hooks, SECRET, ack } from './rig.ts'

const { signal } = new AbortController()
const GITHUB = { name: 'github', scheme: 'github', secret: SECRET }
const SLACK = { name: 'slack', scheme: 'hmac', secret: SECRET, signatureHeader: 'X-Slack-Signature', signaturePrefix: 'v0=', signed: 'v0:{timestamp}:{body}', timestampHeader: 'X-Slack-Request-Timestamp' } // prettier-ignore
const OPEN = { name: 'open', scheme: 'none' }

/** Of 2020, for a key that nobody has. */
const EXPIRED = `-----BEGIN CERTIFICATE-----
MIIBDjCBtgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwHhcN
MjAwMTAxMDAwMDAwWhcNMjAwMjAxMDAwMDAwWjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQQMftOz/Gl/hc3nuZnB3b2uNIe
aOoRPeVIiJMu466fOny6oBLFur1YfgA/WP79sezt+zKhbm0HjcuvOHWERCKJMAoG
CCqGSM49BAMCA0cAMEQCIElWCWKKUA2W/5JPMlEJKYlL+UIGfXBSv0jHNdjsPaTz
AiADHxOEnE+vS/D/oFHvYl1+QPGKd3EelNB8CXQ90eKXcw==
-----END CERTIFICATE-----
`

type Config = Readonly<Record<string, unknown>>

async function emitterOf(config: Config): Promise<Emitter> {
  const emitter = await (await toolsOf(connector, config)).emitter?.(signal)
  if (emitter === undefined) throw new Error('it has no emitter')
  return emitter
}

/** A hub, and what emits to it by the same configuration. */
async function pair(
  config: Config,
  topics: readonly string[],
): Promise<{ readonly hooks: Hooks; readonly emitter: Emitter } & AsyncDisposable> {
  // prettier-ignore
  const { listen = {}, ...rest } = config
  const hooks = await Hooks.open(config, topics)
  const port = Number(new URL(hooks.address).port)
  const emitter = await emitterOf({ listen: { host: '127.0.0.1', ...(listen as object), port }, ...rest })
  return {
    hooks,
    emitter,
    [Symbol.asyncDispose]: async () => {
      await emitter[Symbol.asyncDispose]()
      await hooks[Symbol.asyncDispose]()
    },
  }
}

function event(topic: string, body = '{}', more: Partial<OutgoingEvent> = {}): OutgoingEvent {
  return { topic, body: Buffer.from(body), headers: {}, ...more }
}

async function refusal(emitted: Promise<unknown>): Promise<HubError> {
  const thrown: unknown = await emitted.then(() => new Error('it was taken'), (error: unknown) => error) // prettier-ignore
  if (!(thrown instanceof HubError)) throw thrown
  return thrown
}

describe('a look', () => {
  test('sees what was accepted and waits, field by field, and a hub gets all of it afterwards', async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'webhook-tools-'))
    const inboxPath = join(folder.path, 'inbox.db')
    const config = { hooks: [GITHUB], listen: { host: '127.0.0.1', port: 0 } }
    {
      await using hooks = await Hooks.open(config, ['github'], { inboxPath, unsettledMax: 1 })
      for (const index of [1, 2, 3]) await hooks.github('push', `{"n":${index}}`, `id-${index}`)
      // Beside a hub that has the first of them out.
      await hooks.rig.arrived(1)
      await using look = await Look.open(await toolsOf(connector, config, { stored: [...storedEvents(folder.path, 'webhook')] }), ['github']) // prettier-ignore
      await look.saw(3)
      expect(await ack(hooks.rig.arrivals[0])).toBe('settled')
    }
    const stored: readonly EventMessage[] = [...storedEvents(folder.path, 'webhook')]
    await using look = await Look.open(await toolsOf(connector, config, { stored }), ['github'])
    await look.saw(2)
    expect(look.means).toContain('stay there')
    expect(look.caution).toContain('connector-hub tail')
    await using hooks = await Hooks.open(config, ['github'], { inboxPath })
    await hooks.rig.arrived(2)
    expect(hooks.rig.bodies).toEqual(['{"n":2}', '{"n":3}'])
    expect(look.seen).toEqual(hooks.rig.arrivals.map(({ message }) => message))
  })

  test('of nothing ends by itself: nothing more can be seen', async () => {
    const tools = await toolsOf(connector, { hooks: [OPEN] })
    await using peek = await tools.peek([{ kind: 'topic', topic: 'open' }], signal)
    const seen: EventMessage[] = []
    for await (const one of peek.events()) seen.push(one)
    expect(seen).toEqual([])
  })
})

describe('an event that is emitted', () => {
  test('arrives as of a caller of its scheme, with its headers and content type', async () => {
    await using both = await pair({ hooks: [GITHUB] }, ['github:push'])
    const { hooks, emitter } = both
    const at = await emitter.emit(event('github:push', '{"ref":1}', { contentType: 'application/json', headers: { 'X-Tenant': 'acme' } })) // prettier-ignore
    const [delivery] = await hooks.rig.arrived(1)
    const message = delivery?.message
    expect(at).toBe(`${message?.id} (202 accepted)`)
    expect(message?.topic).toBe('github:push')
    expect(message?.contentType).toBe('application/json')
    expect(hooks.rig.bodies).toEqual(['{"ref":1}'])
    expect(message?.headers).toMatchObject({ 'X-Webhook-Event': 'push', 'x-github-event': 'push', 'x-tenant': 'acme' })
    expect(emitter.place).toBe(`the hub at ${hooks.address}/hooks/`)
  })

  test('and the same again are as many events, in their order', async () => {
    await using both = await pair({ hooks: [GITHUB] }, ['github'])
    const { hooks, emitter } = both
    for (let index = 0; index < 20; index += 1) await emitter.emit(event('github:push', String(index % 2)))
    await hooks.rig.arrived(20)
    expect(hooks.rig.bodies).toEqual(Array.from({ length: 20 }, (_, index) => String(index % 2)))
    expect(emitter.inFlightMax).toBe(1)
  })

  test('to a hook that knows a request by its signature is another event each time, too', async () => {
    await using both = await pair({ hooks: [SLACK] }, ['slack'])
    for (let index = 0; index < 5; index += 1) await both.emitter.emit(event('slack', 'same'))
    await both.hooks.rig.arrived(5)
    expect(new Set(both.hooks.rig.arrivals.map(({ message }) => message.id)).size).toBe(5)
  })

  test('with an id of its own is taken once, and the second time says so', async () => {
    await using both = await pair({ hooks: [GITHUB] }, ['github'])
    const headers = { 'X-GitHub-Delivery': 'mine' }
    expect(await both.emitter.emit(event('github:push', '{}', { headers }))).toBe('webhook:github/mine (202 accepted)')
    const error = await refusal(both.emitter.emit(event('github:push', '{}', { headers })))
    expect([error.code, error.message]).toEqual(['HUB_EMIT_FAILED', 'the hub has taken webhook:github/mine before, and does not take it again within replayWindow']) // prettier-ignore
  })

  test('that no function wants goes nowhere, which is said', async () => {
    await using both = await pair({ hooks: [GITHUB] }, ['github:push'])
    expect(await both.emitter.emit(event('github:ping'))).toBe('nowhere (200 no function has the topic github:ping)')
  })

  test('to a hub that answers for its functions: the function is told with its status', async () => {
    await using both = await pair({ hooks: [OPEN], respond: 'function' }, ['open'])
    const emitting = both.emitter.emit(event('open'))
    const [delivery] = await both.hooks.rig.arrived(1)
    const result = { function: 'checkout', status: 500, headers: [], body: Buffer.from('no'), durationMs: 1, retries: 0, retriesMax: 0 } // prettier-ignore
    await delivery?.settle({ kind: 'reject', reason: 'answered 500', letters: [] }, [result])
    expect(await emitting).toBe('open (checkout answered 500)')
    expect(both.emitter.inFlightMax).toBe(16)
  })

  test('goes to a hub over HTTPS that has the certificate of the configuration, and to no other', async (context) => {
    const missing = noCertificates()
    context.skip(missing !== undefined, missing)
    using files = createCertificates()
    using others = createCertificates()
    const listen = { certFile: files.certFile, keyFile: files.keyFile }
    await using both = await pair({ hooks: [GITHUB], listen }, ['github'])
    expect(both.emitter.place).toContain('https://127.0.0.1:')
    await both.emitter.emit(event('github:push'))
    await both.hooks.rig.arrived(1)
    const port = Number(new URL(both.hooks.address).port)
    await using other = await emitterOf({ hooks: [GITHUB], listen: { host: '127.0.0.1', port, certFile: others.certFile, keyFile: others.keyFile } }) // prettier-ignore
    const error = await refusal(other.emit(event('github:push')))
    expect(error.code).toBe('HUB_EMIT_FAILED')
    expect(error.hint).toContain('restart the hub')
    expect(both.hooks.rig.arrivals).toHaveLength(1)
  })
})

describe('is refused before anything is sent', () => {
  const HINTS: readonly (readonly [string, OutgoingEvent, string, string])[] = [
    ['a key', event('github:push', '', { key: 'k' }), 'a webhook has no key', '--key'],
    ['a hook that there is not', event('gitub:push'), 'no hook is called gitub', 'did you mean github?'],
    ['every event of a hook', event('github:*'), 'no topic of one event', 'github:push'],
    ['a header that no function gets', event('github', '', { headers: { Cookie: 'a=1' } }), 'the header cookie', 'Leave it out'], // prettier-ignore
    ['the content type as a header', event('github', '', { headers: { 'Content-Type': 'a/b' } }), 'no header of its own', '--content-type'], // prettier-ignore
    ['a signature', event('github', '', { headers: { 'X-Hub-Signature-256': 'x' } }), 'is set by emit', 'Leave it out'],
    ['a header that HTTP cannot carry', event('github', '', { headers: { 'X-A': 'a\r\nb: c' } }), 'HTTP cannot carry the header x-a', 'no line breaks'], // prettier-ignore
    ['a name that HTTP cannot carry', event('github', '', { headers: { 'a b': 'c' } }), 'HTTP cannot carry', 'letters'],
    ['an event of a hook without one', event('open:push'), 'name no event', 'eventHeader'],
  ]

  test.each(HINTS)('%s', async (_, outgoing, message, hint) => {
    await using both = await pair({ hooks: [GITHUB, OPEN] }, ['github', 'open'])
    const error = await refusal(both.emitter.emit(outgoing))
    expect([error.code, error.message, error.hint]).toEqual(['HUB_USAGE', expect.stringContaining(message), expect.stringContaining(hint)]) // prettier-ignore
    expect(both.hooks.rig.counts['webhook_requests_total']).toBeUndefined()
  })

  test('anything, when it is not known where the hub listens', async () => {
    const error = await refusal(emitterOf({ hooks: [GITHUB], listen: { port: 0 } }))
    expect([error.code, error.hint]).toEqual(['HUB_USAGE', 'Set listen.port to a port.'])
  })
})

describe('is not taken by the hub', () => {
  test('with another secret, by another name, too large, too often, or for want of room', async () => {
    const [port = 0] = await pickPorts(1)
    const listen = { host: '127.0.0.1', port, bodyMax: '100B' }
    const running = { hooks: [GITHUB, OPEN], listen, rateLimit: { perSecond: 1, burst: 2 } }
    await using hooks = await Hooks.open(running, ['github', 'open'], { inboxMax: 50, clock: new ManualClock() })
    const asked = { ...running, hooks: [{ ...GITHUB, secret: 'another' }, OPEN, { ...OPEN, name: 'new' }] }
    await using emitter = await emitterOf(asked)
    const told = async (one: OutgoingEvent): Promise<readonly string[]> => {
      const { code, message, hint } = await refusal(emitter.emit(one))
      return [code, message, hint]
    }
    const said = (answer: string, hint: string): readonly unknown[] => ['HUB_EMIT_FAILED', expect.stringContaining(answer), expect.stringContaining(hint)] // prettier-ignore
    expect(await told(event('github:push'))).toEqual(said('answered 401 to an event of github:push: the signature is wrong', 'restart it')) // prettier-ignore
    expect(await told(event('new'))).toEqual(said('answered 404', 'no such hook'))
    expect(await told(event('open', 'x'.repeat(101)))).toEqual(said('answered 413', 'listen.bodyMax (100 bytes)'))
    expect(await told(event('open', 'x'.repeat(100)))).toEqual(said('answered 503', 'limits.inboxMax'))
    expect(await told(event('open', 'x'))).toEqual(said('answered 429', 'rateLimit.perSecond (1)'))
    expect(hooks.rig.arrivals).toEqual([])
  })

  test('when it does not run', async () => {
    const [port = 0] = await pickPorts(1)
    await using emitter = await emitterOf({ hooks: [OPEN], listen: { port } })
    const error = await refusal(emitter.emit(event('open')))
    expect([error.code, error.hint]).toEqual(['HUB_EMIT_FAILED', expect.stringContaining('connector-hub run')])
    expect(error.message).toContain(`http://127.0.0.1:${port}: no hub listens there`)
  })

  test('when something else listens there that takes everything', async () => {
    await using other = new HttpListener((_, response) => void response.end('hello'))
    await other.start()
    await using emitter = await emitterOf({ hooks: [OPEN], listen: { port: Number(new URL(other.url).port) } })
    const error = await refusal(emitter.emit(event('open')))
    expect([error.code, error.message, error.hint]).toEqual(['HUB_EMIT_FAILED', 'the hub answered 200 to an event of open: hello', expect.stringContaining('Check that what listens there is the hub')]) // prettier-ignore
  })
})

describe('a probe', () => {
  const probe = async (config: Config, topics: readonly string[] = []) =>
    await new SourceRig(connector, config).source.probe(topics, signal)
  const failing = (config: Config): Promise<HubError> => refusal(probe(config))

  test('says whether the port is free or a hub is running there, and takes nothing', async () => {
    const [port = 0] = await pickPorts(1)
    const config = { hooks: [GITHUB], listen: { host: '127.0.0.1', port } }
    expect((await probe(config)).server).toBe(`webhooks at 127.0.0.1:${port}/hooks/, which is free`)
    await using hooks = await Hooks.open(config, ['github'])
    expect((await probe(config)).server).toBe(`webhooks at 127.0.0.1:${port}/hooks/, where a hub is running`)
    expect((await hooks.rig.source.probe([], signal)).server).toBe(`webhooks at http://127.0.0.1:${port}/hooks/, listening`) // prettier-ignore
    expect(hooks.rig.arrivals).toEqual([])
  })

  test('tells a hub from what else may have the port', async () => {
    const server = createServer((_, response) => void response.end('hello'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { readonly port: number }
    const error = await failing({ hooks: [GITHUB], listen: { host: '127.0.0.1', port } })
    server.closeAllConnections()
    server.close()
    expect([error.code, error.message]).toEqual(['HUB_SOURCE_LISTEN', `http://127.0.0.1:${port}: something listens there that is not a hub with these hooks (it answered 200)`]) // prettier-ignore
  })

  test('names an address that is not of this machine', async () => {
    // TEST-NET-1 (RFC 5737).
    const error = await failing({ hooks: [GITHUB], listen: { host: '192.0.2.1', port: 0 } })
    expect([error.code, error.hint]).toEqual(['HUB_SOURCE_LISTEN', expect.stringContaining('Set listen.host')])
  })

  test('names certificates that cannot be used', async (context) => {
    const missing = noCertificates()
    context.skip(missing !== undefined, missing)
    using files = createCertificates()
    const at = (certFile: string, keyFile: string): Config => ({ hooks: [GITHUB], listen: { host: '127.0.0.1', port: 0, certFile, keyFile } }) // prettier-ignore
    expect((await failing(at('/not/there.pem', files.keyFile))).code).toBe('HUB_SOURCE_TLS')
    const another = await failing(at(files.certFile, files.clientKeyFile))
    expect([another.code, another.hint]).toEqual(['HUB_SOURCE_TLS', expect.stringContaining('a certificate and its key')]) // prettier-ignore
    expect((await probe(at(files.certFile, files.keyFile))).server).toContain('which is free')
    const expired = join(files.certFile, '..', 'expired.pem')
    writeFileSync(expired, EXPIRED)
    const late = await failing(at(expired, files.keyFile))
    expect([late.code, late.message]).toEqual([
      'HUB_SOURCE_TLS',
      'listen.certFile: the certificate has expired on 2020-02-01T00:00:00.000Z',
    ])
  })

  test('says which hooks there are, and which topics nothing is ever on', async () => {
    const config = { hooks: [GITHUB, OPEN], listen: { host: '127.0.0.1', port: 0 } }
    const { topics } = await probe(config, ['github', 'github:push', 'gitub', 'open:push', 'open:*'])
    expect(topics).toEqual([
      { topic: 'github', ok: true, detail: 'scheme: github' },
      { topic: 'github:push', ok: true, detail: 'scheme: github' },
      { topic: 'gitub', ok: false, detail: 'no hook is called gitub', fix: 'Add a hook of that name to hooks, or correct the topic annotation (github?).' }, // prettier-ignore
      { topic: 'open:push', ok: false, detail: 'requests to the hook open name no event, so nothing is ever on this topic', fix: 'Set eventHeader of the hook to the header that names it, or annotate open.' }, // prettier-ignore
      { topic: 'open:*', ok: true, detail: 'scheme: none' },
    ])
  })
})
