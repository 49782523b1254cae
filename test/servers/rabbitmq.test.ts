// The RabbitMQ server of the tests is a real one: it keeps its queues, separates virtual hosts and leaves nothing behind.

import { beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { greetRabbit } from './rabbitmq-wire.ts'
import { noRabbit, startRabbit } from './rabbitmq.ts'
import type { RabbitServer } from './rabbitmq.ts'
import { tracesOf } from './server-traces.ts'
import { createCertificates, noCertificates } from './tls.ts'

const SET_UP_MS = 900_000
const TEST_MS = 180_000
let missing: string | undefined

describe('rabbitmq', { timeout: TEST_MS }, () => {
  beforeAll(async () => {
    missing = (await noRabbit()) ?? noCertificates()
  }, SET_UP_MS)
  beforeEach((context) => context.skip(missing !== undefined, missing))

  test('durable queues and messages outlive SIGKILL, SIGTERM and a restart, and nothing is left in the end', async () => {
    await using server = await startRabbit()
    await server.manage('PUT', 'queues/%2f/orders', { durable: true })
    await server.manage('PUT', 'queues/%2f/quorum', { durable: true, arguments: { 'x-queue-type': 'quorum' } })
    await publish(server, 'orders', 'first')
    await publish(server, 'quorum', 'second')
    await server.saved()
    await server.kill()
    await expect(greetRabbit(server.port)).rejects.toThrow('ECONNREFUSED')
    await server.start()
    expect(await take(server, 'orders')).toEqual(['first'])
    await server.stop()
    await server.start()
    expect(await take(server, 'quorum')).toEqual(['second'])
    await server.restart()
    expect(await take(server, 'orders')).toEqual([])
    await server[Symbol.asyncDispose]()
    expect(tracesOf(server)).toEqual([])
  })

  test('separates virtual hosts, says its version, ends its port mapper', async () => {
    await using server = await startRabbit()
    expect(await server.manage('GET', 'overview')).toMatchObject({ rabbitmq_version: server.version })
    const [one, other] = [await server.vhost(), await server.vhost()]
    await server.manage('PUT', `queues/${one.name}/orders`, {})
    expect(await server.manage('GET', `queues/${one.name}`)).toHaveLength(1)
    expect(await server.manage('GET', `queues/${other.name}`)).toEqual([])
    expect(one.url).toBe(`amqp://hub:hub-test@127.0.0.1:${server.port}/${one.name}`)
    await one[Symbol.asyncDispose]()
    await expect(server.manage('GET', `vhosts/${one.name}`)).rejects.toThrow('404')
    // The node, its folder, and what the node started.
    expect(tracesOf(server).length).toBeGreaterThanOrEqual(2)
    expect(tracesOf({ folder: `-port ${server.epmdPort}` })).toHaveLength(1)
    await server[Symbol.asyncDispose]()
    expect(tracesOf({ folder: `-port ${server.epmdPort}` })).toEqual([])
  })

  test('speaks TLS, and lets in by client certificate', async () => {
    using files = createCertificates()
    await using server = await startRabbit({ tls: { ...files, requireClient: true } })
    const { caFile, otherCaFile, clientCertFile: certFile, clientKeyFile: keyFile } = files
    const port = server.tlsPort ?? 0
    expect(await greetRabbit(port, { caFile, certFile, keyFile })).toBeUndefined()
    await expect(greetRabbit(port, { caFile })).rejects.toThrow(/certificate|ended|ECONNRESET/)
    await expect(greetRabbit(port, { caFile: otherCaFile, certFile, keyFile })).rejects.toThrow(
      /self-signed|unable to verify/,
    )
  })

  test('a broker that does not start says why', async () => {
    await expect(startRabbit({ config: ['no_such_setting = 1'] })).rejects.toThrow('no_such_setting')
  })
})

async function publish(server: RabbitServer, queue: string, payload: string): Promise<void> {
  const message = { properties: { delivery_mode: 2 }, routing_key: queue, payload, payload_encoding: 'string' }
  expect(await server.manage('POST', 'exchanges/%2f/amq.default/publish', message)).toEqual({ routed: true })
}

async function take(server: RabbitServer, queue: string): Promise<readonly string[]> {
  const order = { count: 10, ackmode: 'ack_requeue_false', encoding: 'auto' }
  const messages = await server.manage('POST', `queues/%2f/${queue}/get`, order)
  return (messages as readonly { readonly payload: string }[]).map(({ payload }) => payload)
}
