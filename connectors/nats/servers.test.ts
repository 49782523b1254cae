// More than one server, and servers that leave, throw out or fall silent: how both sources come through it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import type { NatsConnection } from '@nats-io/transport-node'
import { beforeEach, describe, expect, test } from 'vitest'

import { startNatsCluster } from '../../test/servers/nats-cluster.ts'
import { createOperator } from '../../test/servers/nats-jwt.ts'
import { noNats, startNats } from '../../test/servers/nats.ts'
import type { NatsServer } from '../../test/servers/nats.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { SourceRig, ack, until } from '../../test/source-rig.ts'
import connector from './connector.ts'
import { startMeddler } from './rig.ts'

const missing = await noNats()
beforeEach((context) => context.skip(missing !== undefined, missing))

const PATIENCE_MS = 60_000

const core = (servers: readonly string[], config: Readonly<Record<string, unknown>> = {}): SourceRig =>
  new SourceRig(connector, { layer: 'core', servers: [...servers], ...config })

/** How many connections of the hub each server has. */
function clientsOf(servers: readonly NatsServer[]): Promise<readonly number[]> {
  return Promise.all(
    servers.map(async ({ monitorUrl }) => {
      const answer = await fetch(`${monitorUrl}/connz`).catch(() => undefined)
      const { connections = [] } = ((await answer?.json()) ?? {}) as { connections?: { name?: string }[] }
      return connections.filter(({ name }) => name?.startsWith('connector-hub') === true).length
    }),
  )
}

test('with a credentials file of a user of an operator', async () => {
  const operator = createOperator()
  const user = operator.user()
  await using server = await startNats({ credentials: user, config: operator.config })
  const folder = mkdtempSync(join(tmpdir(), 'hub-nats-creds-'))
  try {
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text, { mode: 0o600 })
      return join(folder, name)
    }
    const rig = (credsFile: string): SourceRig =>
      new SourceRig(connector, { servers: [server.url], credsFile, createStream: true })
    {
      await using source = await rig(file('hub.creds', user.creds)).opened(['creds.x'])
      const client = await connect({ servers: server.url, authenticator: (nonce) => ({ jwt: user.jwt, sig: user.nkey.sign(nonce ?? '') }) }) // prettier-ignore
      await jetstream(client).publish('creds.x', 'let in')
      await source.arrived(1)
      await client.close()
    }
    const refusals = [file('stranger.creds', createOperator().user().creds), file('no.creds', 'nothing'), join(folder, 'none')] // prettier-ignore
    for (const credsFile of refusals) {
      await using source = rig(credsFile)
      const { code, canRetry, message } = await source.refused()
      expect([code, canRetry]).toEqual(['HUB_SOURCE_AUTH', false])
      expect(message).not.toMatch(/eyJ|SUA/)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

describe('several servers', () => {
  test('one that is down is passed over', async () => {
    await using server = await startNats()
    for (const servers of [
      ['nats://127.0.0.1:1', server.url],
      [server.url, 'nats://127.0.0.1:1'],
    ]) {
      await using source = new SourceRig(connector, { servers, createStream: true })
      await source.opened(['second.x'])
      expect((await source.source.probe([], new AbortController().signal)).server).toContain(`127.0.0.1:${server.port}`)
    }
  })

  test('of two in a cluster the one in use dies: read on from the other', { timeout: PATIENCE_MS }, async () => {
    await using cluster = await startNatsCluster(2, { jetStream: false })
    const { servers } = cluster
    await using source = await core(servers.map(({ url }) => url)).opened(['cluster.x'])
    source.ackAll = true
    const used = (await clientsOf(servers)).indexOf(1)
    await servers[used]?.kill()
    expect((await source.lost()).canRetry).toBe(true)
    await source.reconnect(['cluster.x'])
    const client = await connect({ servers: servers[1 - used]?.url ?? '' })
    client.publish('cluster.x', 'from the other')
    await source.arrived(1)
    await client.close()
  })
})

describe('lame duck', () => {
  test(
    'core: requests under way are answered, and nothing is missed or read twice',
    { timeout: PATIENCE_MS },
    async () => {
      await using cluster = await startNatsCluster(2, { jetStream: false })
      const { servers } = cluster
      await using source = await core(servers.map(({ url }) => url)).opened(['duck.x'])
      const used = (await clientsOf(servers)).indexOf(1)
      const client = await connect({ servers: servers[1 - used]?.url ?? '' })
      // The cluster is one when what is published at the other server arrives.
      const arrives = (): Promise<unknown> => client.request('duck.x', 'first', { timeout: 500 }).catch(() => undefined)
      await expect.poll(() => arrives().then(() => source.arrivals.length), { timeout: 20_000 }).toBeGreaterThan(0)
      source.arrivals.length = 0
      const answered = client.request('duck.x', 'asked before', { timeout: 20_000 })
      await source.arrived(1)
      servers[used]?.lameDuck()
      expect((await source.lost()).message).toContain('lame duck')
      // Still read there, until there is another.
      client.publish('duck.x', 'in between')
      await client.flush()
      await source.reconnect(['duck.x'])
      expect(await clientsOf([servers[1 - used] as NatsServer])).toEqual([1])
      const results = [{ function: 'f', status: 200, headers: [], body: Buffer.from('yes'), durationMs: 1, retries: 0, retriesMax: 0 }] // prettier-ignore
      await source.arrivals[0]?.settle({ kind: 'ack' }, results)
      expect((await answered).string()).toBe('yes')
      client.publish('duck.x', 'after')
      await until(() => source.bodies.includes('after'), 'what comes after is read')
      expect(source.bodies).toEqual(['asked before', 'in between', 'after'])
      expect(source.log.lines.join('\n')).toContain('nats.lame-duck')
      await client.close()
    },
  )

  test('JetStream: what is out is settled elsewhere and does not come again', { timeout: PATIENCE_MS }, async () => {
    await using cluster = await startNatsCluster(3)
    const { servers } = cluster
    const urls = servers.map(({ url }) => url)
    let client: NatsConnection | undefined
    try {
      client = await connect({ servers: urls })
      const stream = jetstream(client)
      await expect.poll(async () => {
        const manager = await jetstreamManager(client as NatsConnection, { timeout: 2000 })
        return (await manager.streams.add({ name: 'DUCK', subjects: ['duck.>'], num_replicas: 3 })).config.name
      }).toBe('DUCK') // prettier-ignore
      await using source = await new SourceRig(connector, { servers: urls }).opened(['duck.x'])
      for (const body of ['0', '1', '2']) await stream.publish('duck.x', body)
      await source.arrived(3)
      const used = (await clientsOf(servers)).indexOf(1)
      await client.close()
      client = await connect({ servers: urls.filter((_, index) => index !== used) })
      servers[used]?.lameDuck()
      expect((await source.lost()).message).toContain('lame duck')
      expect(await ack(source.arrivals[0])).toBe('settled')
      await source.reconnect(['duck.x'])
      expect(await Promise.all(source.arrivals.slice(1).map(ack))).toEqual(['settled', 'settled'])
      source.ackAll = true
      await expect.poll(() => jetstream(client as NatsConnection).publish('duck.x', '3', { timeout: 2000, msgID: '3' }).then(() => 'stored', String)).toBe('stored') // prettier-ignore
      await until(() => source.bodies.includes('3'), 'what comes after is read')
      const manager = await jetstreamManager(client)
      await expect.poll(async () => {
        const [info] = await manager.consumers.list('DUCK').next()
        return [info?.num_pending, info?.num_ack_pending, info?.num_redelivered]
      }, { timeout: 20_000 }).toEqual([0, 0, 0]) // prettier-ignore
      expect(source.bodies).toEqual(['0', '1', '2', '3'])
    } finally {
      await client?.close()
    }
  })
})

describe('a connection that breaks', () => {
  test(
    'a server that throws out a slow consumer is counted; one that dies is not',
    { timeout: PATIENCE_MS },
    async () => {
      await using server = await startNats({
        jetStream: false,
        config: ['max_pending: 1MB', 'write_deadline: "500ms"'],
      })
      await using meddler = await startMeddler(server.port)
      await using source = await core([`nats://127.0.0.1:${meddler.port}`]).opened(['slow.x'])
      source.ackAll = true
      const client = await connect({ servers: server.url })
      meddler.stall(true)
      const body = Buffer.alloc(500_000)
      const publishUntilThrownOut = async (): Promise<string> => {
        client.publish('slow.x', body)
        await client.flush()
        return server.output()
      }
      await expect.poll(publishUntilThrownOut, { interval: 1 }).toContain('Slow Consumer')
      meddler.stall(false)
      await source.lost()
      await source.reconnect(['slow.x'])
      expect(source.counts['nats_thrown_out_total']).toBe(1)
      expect(source.log.lines.filter((line) => line.includes('nats.slow-consumer'))).toHaveLength(1)
      await client.close()
      await server.kill()
      await until(() => source.ending !== undefined, 'the death is noticed')
      await server.start()
      await source.reconnect(['slow.x'])
      expect(source.counts['nats_thrown_out_total']).toBe(1)
    },
  )

  test.for(['core', 'jetstream'])('%s: a server that falls silent is noticed by keepAlive', async (layer) => {
    await using server = await startNats()
    await using proxy = await startTcpProxy(server.port)
    const config = { layer, servers: [`nats://127.0.0.1:${proxy.port}`], keepAlive: '100ms', createStream: true }
    await using source = await new SourceRig(connector, config).opened(['silent.x'])
    proxy.silence(true)
    expect((await source.lost()).code).toBe('HUB_SOURCE_LOST')
  })
})

test('a server before 2.10.4 is not told why a message is terminated, which it would not understand', async () => {
  await using server = await startNats()
  await using meddler = await startMeddler(server.port, (info) =>
    info.replace(/"version":"[^"]+"/, '"version":"2.10.3"'),
  )
  const client = await connect({ servers: server.url })
  const advisories: string[] = []
  client.subscribe('$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>', { callback: (_, message) => void advisories.push(message.string()) }) // prettier-ignore
  await using source = new SourceRig(connector, { servers: [`nats://127.0.0.1:${meddler.port}`], createStream: true })
  await source.opened(['old.x'])
  await jetstream(client).publish('old.x', 'bad')
  const [delivery] = await source.arrived(1)
  expect(await delivery?.settle({ kind: 'reject', reason: 'answered 400', letters: [] })).toBe('settled')
  await until(() => advisories.length > 0, 'the server tells of it')
  expect(advisories[0]).not.toContain('answered 400')
  await client.close()
})
