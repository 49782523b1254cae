// What `doctor` is told of a NATS server: each thing that is wrong by name, with what to change; and nothing is made or taken.

import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { HubError } from '../../src/sdk/index.ts'
import type { ProbeReport } from '../../src/sdk/index.ts'
import { noNats, startNats } from '../../test/servers/nats.ts'
import type { NatsServer } from '../../test/servers/nats.ts'
import { createCertificates, noCertificates } from '../../test/servers/tls.ts'
import { SourceRig } from '../../test/source-rig.ts'
import { Look, toolsOf } from '../../test/tools-rig.ts'
import connector from './connector.ts'
import { startMeddler } from './rig.ts'
import { consumerName } from './subjects.ts'

const missing = await noNats()
const DURABLE = 'connector-hub-nats'
/** What README.md says that a user of the connector needs, its probe and its look included. */
const READER = ['$JS.API.INFO', '$JS.API.STREAM.NAMES', '$JS.API.STREAM.INFO.*', '$JS.API.CONSUMER.>', '$JS.ACK.>']
const LOOKER = [...READER, '$JS.API.STREAM.MSG.GET.*']

let server: NatsServer
let admin: NatsConnection

/** Users with the names of what they lack; `admin` may do everything. */
function users(): string {
  const user = (name: string, publish: readonly string[], subscribe = '["_INBOX.>"]'): string =>
    `{ user: ${name}, password: pw, permissions: { publish: ${JSON.stringify(publish)}, subscribe: ${subscribe} } }`
  const without = (lacking: string): string[] => READER.filter((subject) => subject !== lacking)
  const consuming = ['INFO', 'CREATE', 'MSG.NEXT'].map((api) => `$JS.API.CONSUMER.${api}.>`)
  const all = [
    user('reader', READER),
    user('looker', LOOKER),
    user('no-account', without('$JS.API.INFO')),
    user('no-names', without('$JS.API.STREAM.NAMES')),
    user('no-ack', without('$JS.ACK.>')),
    user('no-create', [...without('$JS.API.CONSUMER.>'), ...consuming.toSpliced(1, 1)]),
    user('no-next', [...without('$JS.API.CONSUMER.>'), ...consuming.toSpliced(2, 1)]),
    user('no-inbox', READER, '{ deny: ["_INBOX.>"] }'),
    user('group-only', [], '["orders.> openfaas_nats_worker_group"]'),
  ]
  return `authorization { users: [ { user: admin, password: pw }, ${all.join(', ')} ] }`
}

beforeAll(async () => {
  if (missing !== undefined) return
  server = await startNats({ config: [users(), 'no_auth_user: admin'] })
  admin = await connect({ servers: server.url })
  const manager = await jetstreamManager(admin)
  await manager.streams.add({ name: 'ORDERS', subjects: ['orders.>'] })
  await jetstream(admin).publish('orders.x', 'waits')
})
afterAll(async () => {
  await admin?.close()
  await server?.[Symbol.asyncDispose]()
})
beforeEach((context) => context.skip(missing !== undefined, missing))

type Config = Readonly<Record<string, unknown>>
const configOf = (username: string, config: Config = {}): Config => ({ servers: [server.url], username, password: 'pw', ...config }) // prettier-ignore

async function probe(config: Config, topics: readonly string[] = ['orders.x']): Promise<ProbeReport> {
  await using rig = new SourceRig(connector, config)
  return await rig.source.probe(topics, new AbortController().signal)
}

async function refusal(config: Config): Promise<HubError> {
  const error: unknown = await probe(config).then(
    () => new Error('nothing is wrong'),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof HubError)) throw error
  return error
}

describe('JetStream', () => {
  test('the permissions that README names are enough, to be found fit and to read', async () => {
    expect((await probe(configOf('reader'), ['orders.x', 'orders.*.y'])).topics).toEqual([
      { topic: 'orders.x', ok: true, detail: 'in ORDERS' },
      { topic: 'orders.*.y', ok: true, detail: 'in ORDERS' },
    ])
    const manager = await jetstreamManager(admin)
    expect((await manager.streams.info('ORDERS')).state.consumer_count).toBe(0)
    const open = await Look.open(await toolsOf(connector, configOf('looker')), ['orders.x'])
    await open.saw(1)
    await open[Symbol.asyncDispose]()
    await using source = await new SourceRig(connector, configOf('reader')).opened(['orders.x'])
    await source.arrived(1)
  })

  test('a consumer with something to deliver delivers nothing to a probe', async () => {
    const manager = await jetstreamManager(admin)
    const name = consumerName(DURABLE, 'orders.w')
    await manager.consumers.add('ORDERS', { durable_name: name, filter_subject: 'orders.w', ack_policy: AckPolicy.Explicit }) // prettier-ignore
    const client = jetstream(admin)
    for (const body of ['out', 'waits']) await client.publish('orders.w', body)
    await (await client.consumers.get('ORDERS', name)).next()
    const state = async (): Promise<unknown> => {
      const { delivered, ack_floor, num_ack_pending, num_pending, num_redelivered, num_waiting } =
        await manager.consumers.info('ORDERS', name)
      return [delivered.consumer_seq, ack_floor.consumer_seq, num_ack_pending, num_pending, num_redelivered, num_waiting] // prettier-ignore
    }
    expect((await probe(configOf('reader'), ['orders.w'])).topics[0]?.ok).toBe(true)
    await admin.flush()
    expect(await state()).toEqual([1, 0, 1, 1, 0, 0])
  })

  test.for([
    ['no-names', 'publish to $JS.API.STREAM.NAMES', 'orders.y'],
    ['no-create', `publish to $JS.API.CONSUMER.CREATE.ORDERS.${DURABLE}-orders_y-`, 'orders.y'],
    ['no-next', `publish to $JS.API.CONSUMER.MSG.NEXT.ORDERS.${DURABLE}-orders_y-`, 'orders.y'],
    ['no-ack', `publish to $JS.ACK.ORDERS.${DURABLE}-orders_y-`, 'orders.y'],
  ] as const)('a user that lacks one: %s', async ([user, what, topic]) => {
    const [report] = (await probe(configOf(user), [topic])).topics
    expect(report).toMatchObject({ ok: false, code: 'HUB_SOURCE_FORBIDDEN' })
    expect(report?.detail).toContain(`the user may not ${what}`)
    expect(report?.fix).toContain(`Allow the user to ${what}`)
  })

  test.for([
    ['no-account', 'Allow the user to publish to $JS.API.INFO.'],
    ['no-inbox', 'Allow the user to subscribe to _INBOX.>.'],
  ] as const)('a user that cannot use JetStream at all: %s', async ([user, hint]) => {
    expect(await refusal(configOf(user))).toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN', hint })
    await using rig = new SourceRig(connector, configOf(user))
    expect(await rig.refused()).toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN', hint })
  })

  test('a look that is not allowed is refused before it begins', async () => {
    await expect(Look.open(await toolsOf(connector, configOf('reader')), ['orders.x'])).rejects.toMatchObject({
      code: 'HUB_SOURCE_FORBIDDEN',
      hint: 'Allow the user to publish to $JS.API.STREAM.MSG.GET.ORDERS.',
    })
  })

  test('a test event that may not be published fails at once, each one of many', async () => {
    const out = await (await toolsOf(connector, configOf('reader'))).emitter?.(new AbortController().signal)
    const emit = (): Promise<string> | undefined => out?.emit({ topic: 'orders.x', body: Buffer.from('x'), headers: {} }) // prettier-ignore
    const results = await Promise.allSettled([emit(), emit(), emit()])
    for (const result of results)
      expect((result as PromiseRejectedResult).reason).toMatchObject({
        code: 'HUB_EMIT_FAILED',
        hint: 'Allow the user to publish to orders.x.',
      })
    await out?.[Symbol.asyncDispose]()
  })

  test('a subject without a stream, with the command that makes it; one that the connector makes is fine', async () => {
    const config = configOf('admin')
    const [report] = (await probe(config, ['nowhere.x'])).topics
    expect(report).toMatchObject({ ok: false, detail: expect.stringContaining('no stream has the subject nowhere.x') as string, fix: expect.stringContaining('nats stream add EVENTS --subjects "nowhere.x"') as string }) // prettier-ignore
    expect(report?.code).toBeUndefined()
    expect((await probe({ ...config, createStream: true }, ['nowhere.x'])).topics).toEqual([{ topic: 'nowhere.x', ok: true, detail: 'in no stream yet; the connector makes one' }]) // prettier-ignore
    const foreign = { ...config, createStream: true, stream: 'ORDERS' }
    expect((await probe(foreign, ['nowhere.x'])).topics[0]).toMatchObject({ ok: false, fix: expect.stringContaining('nats stream edit ORDERS') as string }) // prettier-ignore
    const absent = { ...config, stream: 'ABSENT' }
    expect((await probe(absent, ['nowhere.x'])).topics[0]).toMatchObject({ ok: false, fix: expect.stringContaining('nats stream add ABSENT') as string }) // prettier-ignore
  })

  test('a server without JetStream', async () => {
    await using own = await startNats({ jetStream: false })
    const { code, hint } = await refusal({ servers: [own.url] })
    expect([code, hint]).toEqual(['HUB_SOURCE_PROTOCOL', 'Start the server with JetStream (nats-server -js), and allow the user $JS.API.>. Or set layer: core.']) // prettier-ignore
  })

  test('a server that says it is too old', async () => {
    await using old = await startMeddler(server.port, (info) => info.replace(/"version":"[^"]+"/, '"version":"2.8.4"'))
    const servers = [`nats://127.0.0.1:${old.port}`]
    const expected = { code: 'HUB_SOURCE_PROTOCOL', hint: 'Update nats-server to 2.9.4 or later, or set layer: core.' }
    expect(await refusal(configOf('admin', { servers }))).toMatchObject(expected)
    await using rig = new SourceRig(connector, configOf('admin', { servers }))
    expect(await rig.refused()).toMatchObject(expected)
    await expect(Look.open(await toolsOf(connector, configOf('admin', { servers })), ['x'])).rejects.toMatchObject(expected) // prettier-ignore
    expect((await probe(configOf('admin', { servers, layer: 'core' }))).topics[0]?.ok).toBe(true)
  })
})

describe.for(['jetstream', 'core'])('%s', (layer) => {
  test('a wrong password, and nobody there, are named for a probe, a look and a test event alike', async () => {
    const cases: readonly (readonly [Config, string])[] = [
      [configOf('admin', { password: 'wrong-secret', layer }), 'HUB_SOURCE_AUTH'],
      [configOf('admin', { servers: ['nats://127.0.0.1:1'], layer }), 'HUB_SOURCE_UNREACHABLE'],
    ]
    for (const [config, code] of cases) {
      const tools = await toolsOf(connector, config)
      const attempts = [
        () => probe(config),
        () => Look.open(tools, ['orders.x']),
        () => tools.emitter?.(new AbortController().signal),
      ]
      for (const attempt of attempts) {
        const error: unknown = await Promise.resolve(attempt()).catch((thrown: unknown) => thrown)
        expect(error).toMatchObject({ code })
        expect((error as HubError).message).not.toContain('wrong-secret')
      }
    }
  })

  test('a wrong CA is named', async (context) => {
    const why = noCertificates()
    if (why !== undefined) return context.skip(why)
    using files = createCertificates()
    await using own = await startNats({ tls: { ...files, requireClient: false } })
    const error = await refusal({ servers: [own.url], layer, tls: { caFile: files.otherCaFile } })
    expect(error.code).toBe('HUB_SOURCE_TLS')
    expect(error.hint).toContain('tls.caFile')
  })
})

test.for(['jetstream', 'core'])('%s: what is read is asked for, the configured topics', async (layer) => {
  const { topics } = await probe(configOf('admin', { layer, topics: ['orders.*.y'] }), ['orders.x'])
  expect(topics.map(({ topic, ok }) => [topic, ok])).toEqual([['orders.*.y', true]])
})

test('core: what may not be subscribed to, and what a group alone would be enough for', async () => {
  const config = configOf('group-only', { layer: 'core' })
  const [, report] = (await probe(config, ['_INBOX.x', 'orders.x'])).topics
  expect(report).toMatchObject({ ok: false, code: 'HUB_SOURCE_FORBIDDEN' })
  expect(report?.detail).toContain('the user may not subscribe to orders.x')
  expect(report?.fix).toContain('Allow the user to subscribe to orders.x.')
  expect(report?.fix).toContain('queue group openfaas_nats_worker_group alone is enough')
  // Which is true.
  await using source = await new SourceRig(connector, config).opened(['orders.x'])
  expect(source.ending).toBeUndefined()
})
