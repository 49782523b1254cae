// What a real server tells an autoscaler of the durable consumers, and that asking makes nothing.

import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import type { Tools } from '../../src/sdk/index.ts'
import { noNats, startNats } from '../../test/servers/nats.ts'
import type { NatsServer } from '../../test/servers/nats.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { SourceRig } from '../../test/source-rig.ts'
import { lagOf, lagProbe, toolsOf } from '../../test/tools-rig.ts'
import connector from './connector.ts'

const missing = await noNats()
const never = new AbortController().signal
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
  base = `lag${(tests += 1)}`
  await manager.streams.add({ name: base, subjects: [`${base}.>`] })
})

const tools = (config: Readonly<Record<string, unknown>> = {}): Promise<Tools> => toolsOf(connector, { servers: [server.url], durable: base, ...config }) // prettier-ignore
const consumers = async (): Promise<number> => (await manager.streams.info(base)).state.consumer_count

describe('how much waits', () => {
  test('is what the consumer was not given, and what was given and is not settled', async () => {
    const subject = `${base}.orders`
    {
      await using source = await new SourceRig(connector, { servers: [server.url], durable: base }, { unsettledMax: 2 }).opened([subject]) // prettier-ignore
      for (let event = 0; event < 5; event++) await stream.publish(subject, `${event}`)
      await source.arrived(2)
      await expect.poll(() => lag(subject)).toBe(5)
    }
    // The hub is gone: its consumer stays, and with it what waits.
    await stream.publish(subject, 'five')
    await expect.poll(() => lag(subject)).toBe(6)
    expect(await consumers()).toBe(1)
  })

  test('is unread before a hub has made its consumer, whoever else reads', async () => {
    await stream.publish(`${base}.orders`, 'event')
    expect(await lagOf(await tools(), [`${base}.orders`])).toEqual([{ topic: `${base}.orders`, kind: 'unread' }])
    expect(await consumers()).toBe(0)
  })

  test('is unknown without a stream, and unread where a hub makes one', async () => {
    expect(await lagOf(await tools(), ['nowhere.x'])).toMatchObject([{ topic: 'nowhere.x', kind: 'unknown', problem: { code: 'HUB_SOURCE_FORBIDDEN' } }]) // prettier-ignore
    expect(await lagOf(await tools({ createStream: true }), ['nowhere.x'])).toEqual([{ topic: 'nowhere.x', kind: 'unread' }]) // prettier-ignore
    expect(await manager.streams.names('nowhere.x').next()).toEqual([])
  })

  test('cannot be asked over a connection that broke, and can be over another', async () => {
    await using proxy = await startTcpProxy(Number(new URL(`nats://${server.url.replace(/^nats:\/\//, '')}`).port))
    const broken = await tools({ servers: [`127.0.0.1:${proxy.port}`] })
    await using probe = await lagProbe(broken)
    const wanted = [{ kind: 'topic', topic: `${base}.orders` }] as const
    expect(await probe.read(wanted, never)).toHaveLength(1)
    proxy.cut()
    await expect.poll(() => probe.read(wanted, never).catch((error: unknown) => error)).toMatchObject({ code: 'HUB_SOURCE_LOST', canRetry: true }) // prettier-ignore
    expect(await lagOf(broken, [`${base}.orders`])).toHaveLength(1)
  })

  test('is not told by core NATS', async () => {
    expect(await tools({ layer: 'core' })).not.toHaveProperty('lag')
  })
})

async function lag(subject: string): Promise<number | undefined> {
  const [found] = await lagOf(await tools(), [subject])
  return found?.kind === 'known' ? found.waiting + (found.unsettled ?? 0) : undefined
}
