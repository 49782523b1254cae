// The NATS source against a real server: what the conformance suite does not ask.

import { DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream'
import { connect, headers as newHeaders } from '@nats-io/transport-node'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { createUserNkey } from '../../test/servers/nats-nkey.ts'
import { noNats, startNats } from '../../test/servers/nats.ts'
import type { NatsServer } from '../../test/servers/nats.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { createCertificates, noCertificates } from '../../test/servers/tls.ts'
import { SourceRig, ack, until } from '../../test/source-rig.ts'
import connector from './connector.ts'
import { consumerName } from './subjects.ts'

const missing = await noNats()
let server: NatsServer
let client: NatsConnection
let manager: JetStreamManager
let stream: JetStreamClient
let tests = 0
let base = ''

beforeAll(async () => {
  if (missing !== undefined) return
  server = await startNats()
  client = await connect({ servers: server.url, reconnect: false })
  manager = await jetstreamManager(client)
  stream = jetstream(client)
})
afterAll(async () => {
  await client?.close()
  await server?.[Symbol.asyncDispose]()
})
beforeEach(async (context) => {
  if (missing !== undefined) context.skip(missing)
  base = `t${(tests += 1)}`
  await manager.streams.add({ name: base, subjects: [`${base}.>`] })
})

const rig = (config: Readonly<Record<string, unknown>> = {}): SourceRig =>
  new SourceRig(connector, { servers: [server.url], durable: base, ...config })

describe('what is read', () => {
  test('a message has its place, its headers and its time', async () => {
    await using source = await rig({ orderingToken: 2 }).opened([`${base}.*.created`])
    const headers = newHeaders()
    headers.set('Trace', 'abc')
    headers.append('Trace', 'def')
    headers.set('Nats-Msg-Id', 'unique')
    headers.set('Content-Type', 'application/json')
    await stream.publish(`${base}.42.created`, '{}', { headers })
    const [delivery] = await source.arrived(1)
    expect(delivery?.message).toMatchObject({
      id: `nats:${base}:1`,
      topic: `${base}.42.created`,
      orderingKey: '42',
      attempt: 1,
      contentType: 'application/json',
      headers: {
        'X-Nats-Stream': base,
        'X-Nats-Sequence': '1',
        'X-Nats-Delivered': '1',
        'X-Nats-Trace': 'abc, def',
        'X-Nats-Msg-Id': 'unique',
      },
    })
    expect(Math.abs((delivery?.message.timestampMs ?? 0) - Date.now())).toBeLessThan(60_000)
  })

  test('overlapping subjects bring a message once', async () => {
    await using source = await rig().opened([`${base}.a.*`, `${base}.*.b`, `${base}.a.b`])
    source.ackAll = true
    for (let count = 0; count < 50; count++) await stream.publish(`${base}.a.b`, `${count}`)
    await stream.publish(`${base}.a.c`, 'last')
    await until(() => source.bodies.includes('last'), 'the last arrives')
    const pending = async (): Promise<number> => {
      const infos = await Promise.all([`${base}.a.*`, `${base}.*.b`].map((one) => manager.consumers.info(base, consumerName(base, one)))) // prettier-ignore
      return infos.reduce((sum, info) => sum + info.num_pending + info.num_ack_pending, 0)
    }
    await expect.poll(pending, { timeout: 10_000 }).toBe(0)
    expect(source.bodies).toHaveLength(51)
    // Covered by another filter: no consumer of its own.
    await expect(manager.consumers.info(base, consumerName(base, `${base}.a.b`))).rejects.toThrow('consumer not found')
  })

  test('deliver: new begins with what comes, all with what is there; both keep their place', async () => {
    await stream.publish(`${base}.x`, 'before')
    {
      await using later = await rig({ durable: `${base}-new`, deliver: 'new' }).opened([`${base}.x`])
      await stream.publish(`${base}.x`, 'after')
      await later.arrived(1)
      expect(later.bodies).toEqual(['after'])
      await ack(later.arrivals[0])
    }
    await stream.publish(`${base}.x`, 'while away')
    await using again = await rig({ durable: `${base}-new`, deliver: 'new' }).opened([`${base}.x`])
    await again.arrived(1)
    expect(again.bodies).toEqual(['while away'])
    await using all = await rig().opened([`${base}.x`])
    await all.arrived(3)
    expect(all.bodies).toEqual(['before', 'after', 'while away'])
  })

  test('a subject without a stream is named with the command that makes one; the others work', async () => {
    await using source = await rig().opened([`${base}.x`, 'nowhere.x'])
    expect(source.log.lines.join('\n')).toContain('no stream has the subject nowhere.x')
    expect(source.log.lines.join('\n')).toContain('nats stream add EVENTS --subjects')
    await stream.publish(`${base}.x`, 'fine')
    await source.arrived(1)
    await expect(rig().opened(['nowhere.x'])).rejects.toMatchObject({
      code: 'HUB_SOURCE_FORBIDDEN',
      hint: expect.stringContaining('createStream: true') as string,
    })
    const { topics } = await source.source.probe([`${base}.x`, 'nowhere.x'], new AbortController().signal)
    expect(topics.map(({ ok }) => ok)).toEqual([true, false])
  })

  test('createStream makes what is missing', async () => {
    await using source = await rig({ createStream: true }).opened([`made-${base}.x`])
    await stream.publish(`made-${base}.x`, 'stored')
    await source.arrived(1)
    expect(source.bodies).toEqual(['stored'])
  })

  test('a consumer of somebody else keeps its settings but for the wait', async () => {
    const name = consumerName(base, `${base}.x`)
    await manager.consumers.add(base, { durable_name: name, filter_subject: `${base}.x`, ack_policy: 'explicit', deliver_policy: DeliverPolicy.All, max_deliver: 7 }) // prettier-ignore
    await using source = await rig({ ackWait: '7s' }).opened([`${base}.x`])
    await stream.publish(`${base}.x`, 'x')
    await source.arrived(1)
    const { config } = await manager.consumers.info(base, name)
    expect([config.ack_wait, config.max_deliver]).toEqual([7_000_000_000, 7])
  })
})

describe('settling', () => {
  test('a held message is not delivered again, however long it takes', async () => {
    await using source = await rig({ ackWait: '1s' }).opened([`${base}.x`])
    await stream.publish(`${base}.x`, 'slow')
    const [delivery] = await source.arrived(1)
    // Two waits of the server; the condition is the server's own count.
    const name = consumerName(base, `${base}.x`)
    const since = Date.now()
    await expect.poll(() => Date.now() - since, { timeout: 10_000, interval: 200 }).toBeGreaterThan(2500)
    const info = await manager.consumers.info(base, name)
    expect([info.num_redelivered, info.num_ack_pending]).toEqual([0, 1])
    expect(await ack(delivery)).toBe('settled')
    expect((await manager.consumers.info(base, name)).num_ack_pending).toBe(0)
  })

  test('a rejected message is terminated and told why', async () => {
    const advisories: string[] = []
    const subscription = client.subscribe('$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>', {
      callback: (_, message) => void advisories.push(message.string()),
    })
    await using source = await rig().opened([`${base}.x`])
    await stream.publish(`${base}.x`, 'bad')
    const [delivery] = await source.arrived(1)
    expect(await delivery?.settle({ kind: 'reject', reason: 'answered 400', letters: [] })).toBe('settled')
    await until(() => advisories.length > 0, 'the server tells of it')
    subscription.unsubscribe()
    expect(advisories[0]).toContain('answered 400')
  })

  test('after the connection is lost a settlement is stale, and the message comes again', async () => {
    await using proxy = await startTcpProxy(server.port)
    await using source = await rig({ servers: [`nats://127.0.0.1:${proxy.port}`], ackWait: '1s' }).opened([`${base}.x`])
    await stream.publish(`${base}.x`, 'once more')
    const [first] = await source.arrived(1)
    proxy.cut()
    expect((await source.lost()).code).toBe('HUB_SOURCE_LOST')
    expect(await ack(first)).toBe('stale')
    await source.reconnect([`${base}.x`])
    const [, again] = await source.arrived(2)
    expect(again?.message).toMatchObject({ id: first?.message.id, attempt: 2 })
    expect(await ack(again)).toBe('settled')
  })

  test('a consumer that is deleted ends the connection, which makes it anew', async () => {
    await using source = await rig().opened([`${base}.x`])
    source.ackAll = true
    await stream.publish(`${base}.x`, 'it is being read')
    await source.arrived(1)
    await manager.consumers.delete(base, consumerName(base, `${base}.x`))
    expect((await source.lost()).message).toContain(consumerName(base, `${base}.x`))
    await source.reconnect([`${base}.x`])
    await stream.publish(`${base}.x`, 'anew')
    await until(() => source.bodies.includes('anew'), 'the new consumer reads')
  })
})

describe('logging in', () => {
  const expectRefusal = async (config: Readonly<Record<string, unknown>>, expected: string): Promise<void> => {
    await using source = rig(config)
    const error = await source.refused()
    expect([error.code, error.canRetry]).toEqual([expected, expected === 'HUB_SOURCE_UNREACHABLE'])
    expect(`${error.message} ${error.hint}`).not.toMatch(/wrong-secret|SUA/)
  }
  const expectLogin = async (url: string, config: Readonly<Record<string, unknown>>): Promise<void> => {
    await using source = await rig({ servers: [url], createStream: true, ...config }).opened(['login.x'])
    expect(source.ending).toBeUndefined()
  }

  test('with a token', async () => {
    await using own = await startNats({ credentials: { token: 'right-token' } })
    await expectLogin(own.url, { token: 'right-token' })
    await expectRefusal({ servers: [own.url], token: 'wrong-secret' }, 'HUB_SOURCE_AUTH')
    await expectRefusal({ servers: [own.url] }, 'HUB_SOURCE_AUTH')
  })

  test('with an NKey', async () => {
    const nkey = createUserNkey()
    await using own = await startNats({ credentials: { nkey } })
    await expectLogin(own.url, { nkeySeed: nkey.seed })
    await expectRefusal({ servers: [own.url], nkeySeed: createUserNkey().seed }, 'HUB_SOURCE_AUTH')
    await expectRefusal({ servers: [own.url], nkeySeed: 'no seed' }, 'HUB_SOURCE_AUTH')
  })

  test('nobody there, and a server that is no NATS server', async () => {
    await expectRefusal({ servers: ['nats://127.0.0.1:1'] }, 'HUB_SOURCE_UNREACHABLE')
    await using proxy = await startTcpProxy(server.port)
    proxy.silence(true)
    await expectRefusal(
      { servers: [`nats://127.0.0.1:${proxy.port}`], connectTimeout: '300ms' },
      'HUB_SOURCE_UNREACHABLE',
    )
  })

  test('JetStream that is off is named', async () => {
    await using own = await startNats({ jetStream: false })
    await using source = rig({ servers: [own.url], connectTimeout: '2s' })
    const error = await source.refused()
    expect(error.code).toBe('HUB_SOURCE_PROTOCOL')
    expect(error.hint).toContain('nats-server -js')
  })

  test('with TLS and a client certificate; what is wrong is HUB_SOURCE_TLS', async (context) => {
    const why = noCertificates()
    if (why !== undefined) return context.skip(why)
    using files = createCertificates()
    await using own = await startNats({ tls: { ...files, requireClient: true } })
    const pair = { certFile: files.clientCertFile, keyFile: files.clientKeyFile }
    await expectLogin(own.url, { tls: { caFile: files.caFile, ...pair } })
    for (const tls of [{ caFile: files.otherCaFile, ...pair }, pair, { caFile: '/nonexistent/ca.pem' }])
      await expectRefusal({ servers: [own.url], tls }, 'HUB_SOURCE_TLS')
    await expectRefusal({ servers: [server.url.replace('nats:', 'tls:')] }, 'HUB_SOURCE_TLS')
  })
})

test.for([
  [{ username: 'a', token: 'b' }, 'username and token are different ways to log in'],
  [{ servers: [] }, 'servers is empty'],
  [{ tls: { certFile: '/a.pem' } }, 'certFile and keyFile belong together'],
  [{ durable: 'has.dots' }, 'must be letters'],
] as const)('%j is refused', ([config, expected]) => {
  expect(() => rig(config)).toThrow(expected)
})
