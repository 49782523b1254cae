// The Kafka broker of the tests is a real one: it keeps its topics, checks its clients and leaves nothing behind.

import { beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { connectKafka } from './kafka-wire.ts'
import { noKafka, startKafka } from './kafka.ts'
import { foldersWith, tracesOf } from './server-traces.ts'
import { startTcpProxy } from './tcp-proxy.ts'
import type { TcpProxy } from './tcp-proxy.ts'
import { createCertificates, noCertificates } from './tls.ts'

const SET_UP_MS = 900_000
const TEST_MS = 120_000
let missing: string | undefined

describe('kafka', { timeout: TEST_MS }, () => {
  beforeAll(async () => {
    missing = (await noKafka()) ?? noCertificates()
  }, SET_UP_MS)
  beforeEach((context) => context.skip(missing !== undefined, missing))

  test('topics outlive SIGKILL, SIGTERM and a restart, and nothing is left in the end', async () => {
    await using server = await startKafka()
    using first = await connectKafka({ port: server.port })
    await first.createTopic('orders', 3)
    await expect(first.createTopic('orders', 3)).rejects.toThrow('already exists')
    await server.kill()
    await expect(connectedTo(server.port)).rejects.toThrow('ECONNREFUSED')
    await server.start()
    using second = await connectKafka({ port: server.port })
    expect((await second.metadata()).topics.get('orders')).toBe(3)
    await second.createTopic('invoices', 1)
    await server.restart()
    using third = await connectKafka({ port: server.port })
    expect((await third.metadata()).topics).toEqual(new Map([['orders', 3], ['invoices', 1]])) // prettier-ignore
    // The process and its folder.
    expect(tracesOf(server)).toHaveLength(2)
    await server[Symbol.asyncDispose]()
    expect(tracesOf(server)).toEqual([])
  })

  test('lets in by each of its mechanisms over TLS, and nobody else', async () => {
    using files = createCertificates()
    const mechanisms = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const
    const sasl = mechanisms.map((mechanism) => ({ mechanism, username: 'hub', password: 's3cr3t' }))
    await using server = await startKafka({ sasl, tls: { ...files, requireClient: false } })
    expect(server.bootstrap).toBe(`localhost:${server.port}`)
    const address = { port: server.port, tls: { caFile: files.caFile } }
    for (const login of sasl) {
      using client = await connectKafka({ ...address, sasl: login })
      expect((await client.metadata()).brokers).toEqual([1])
      await expect(connectKafka({ ...address, sasl: { ...login, password: 'wrong' } })).rejects.toThrow('error 58')
    }
    using stranger = await connectKafka(address)
    await expect(stranger.metadata()).rejects.toThrow('ended')
  })

  test('lets in by client certificate, and shows one of the right authority', async () => {
    using files = createCertificates()
    await using server = await startKafka({ tls: { ...files, requireClient: true } })
    const { caFile, otherCaFile, clientCertFile: certFile, clientKeyFile: keyFile } = files
    using client = await connectKafka({ port: server.port, tls: { caFile, certFile, keyFile } })
    expect((await client.metadata()).brokers).toEqual([1])
    await expect(brokersBy(server.port, { caFile })).rejects.toThrow(/certificate|ended|ECONNRESET/)
    await expect(brokersBy(server.port, { caFile: otherCaFile, certFile, keyFile })).rejects.toThrow(/self-signed|unable to verify/) // prettier-ignore
  })

  test('is of a version after ZooKeeper, with the newest consumer protocol, and sends its clients through a proxy', async () => {
    let proxy: TcpProxy | undefined
    await using server = await startKafka({
      advertise: async (port) => {
        proxy = await startTcpProxy(port)
        return proxy.port
      },
    })
    expect(server.bootstrap).toBe(`127.0.0.1:${proxy?.port}`)
    using client = await connectKafka({ port: server.port })
    expect((await client.metadata()).ports).toEqual([proxy?.port])
    expect(server.version).toMatch(/^4\./)
    // ConsumerGroupHeartbeat, KIP-848.
    expect([...(await client.apiVersions()).keys()]).toContain(68)
    await proxy?.[Symbol.asyncDispose]()
  })

  test('a broker that does not start says why and leaves nothing', async () => {
    let offered = 0
    const advertise = (port: number): Promise<number> => Promise.resolve((offered = port))
    await expect(startKafka({ advertise, config: ['num.partitions=many'] })).rejects.toThrow('num.partitions')
    expect(foldersWith('server.properties', `CLIENT://127.0.0.1:${offered}`)).toEqual([])
  })
})

async function connectedTo(port: number): Promise<unknown> {
  using client = await connectKafka({ port })
  return await client.apiVersions()
}

async function brokersBy(
  port: number,
  tls: { readonly caFile: string; readonly certFile?: string; readonly keyFile?: string },
): Promise<unknown> {
  using client = await connectKafka({ port, tls })
  return (await client.metadata()).brokers
}
