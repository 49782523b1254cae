// The NATS server of the tests is a real one: it keeps its streams, checks its clients and leaves nothing behind.

import { beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { createOperator } from './nats-jwt.ts'
import { createUserNkey } from './nats-nkey.ts'
import { connectNats } from './nats-wire.ts'
import { noNats, startNats } from './nats.ts'
import { tracesOf } from './server-traces.ts'
import { createCertificates } from './tls.ts'

const SET_UP_MS = 900_000
let missing: string | undefined

describe('nats', () => {
  beforeAll(async () => {
    missing = await noNats()
  }, SET_UP_MS)
  beforeEach((context) => context.skip(missing !== undefined, missing))

  test('a stream and its messages outlive SIGKILL, SIGTERM and a restart', async () => {
    await using server = await startNats()
    await request(server.address, '$JS.API.STREAM.CREATE.orders', { name: 'orders', subjects: ['orders.>'] })
    expect(await request(server.address, 'orders.1', { id: 1 })).toMatchObject({ stream: 'orders', seq: 1 })
    await server.kill()
    await expect(connectNats(server.address)).rejects.toThrow('ECONNREFUSED')
    await server.start()
    expect(await request(server.address, 'orders.2', { id: 2 })).toMatchObject({ stream: 'orders', seq: 2 })
    await server.stop()
    await server.start()
    await server.restart()
    expect(await request(server.address, '$JS.API.STREAM.INFO.orders', {})).toMatchObject({ state: { messages: 2 } })
  })

  test('says its version and where it came from', async () => {
    await using server = await startNats()
    using client = await connectNats(server.address)
    expect(client.info['version']).toBe(server.version)
    expect(server.origin).not.toBe('')
  })

  test('leaves neither a process nor a file behind', async () => {
    await using server = await startNats()
    expect(tracesOf(server)).toHaveLength(2)
    await server[Symbol.asyncDispose]()
    expect(tracesOf(server)).toEqual([])
  })

  test('can do without JetStream', async () => {
    await using server = await startNats({ jetStream: false })
    await expect(request(server.address, '$JS.API.INFO', {})).rejects.toThrow('503')
  })

  const nkey = createUserNkey()
  test.for([
    ['user and password', { user: 'hub', password: 'a "b" $c' }, { user: 'hub', password: 'wrong' }],
    ['token', { token: 's3cr3t-t0ken' }, { token: 'wrong' }],
    ['nkey', { nkey }, { nkey: { ...nkey, sign: () => createUserNkey().sign('other') } }],
  ] as const)('lets in by %s and nobody else', async ([, credentials, wrong]) => {
    await using server = await startNats({ credentials })
    await expect(connectNats({ port: server.port, credentials: wrong })).rejects.toThrow('Authorization Violation')
    await expect(connectNats({ port: server.port })).rejects.toThrow('Authorization Violation')
  })

  test('lets in the users of its operator and nobody else', async () => {
    const operator = createOperator()
    const user = operator.user()
    await using server = await startNats({ credentials: user, config: operator.config })
    expect(await request(server.address, '$JS.API.INFO', {})).toMatchObject({ streams: 0 })
    const stranger = createOperator().user()
    await expect(connectNats({ port: server.port, credentials: stranger })).rejects.toThrow('Authorization Violation')
    const forged = { jwt: user.jwt, nkey: createUserNkey() }
    await expect(connectNats({ port: server.port, credentials: forged })).rejects.toThrow('Authorization Violation')
  })

  test('a lame duck lets nobody in any more', async () => {
    await using server = await startNats()
    using client = await connectNats(server.address)
    server.lameDuck()
    await expect.poll(() => connectNats(server.address).then((open) => open[Symbol.dispose](), String), { timeout: 10_000 }).toContain('ECONNREFUSED') // prettier-ignore
    // Whoever is in, stays for the grace period, and is told that nobody listens there.
    await expect(client.request('nobody', {})).rejects.toThrow('503')
  })

  test('speaks TLS, and lets in by client certificate', async () => {
    using files = createCertificates()
    await using server = await startNats({ tls: { ...files, requireClient: true } })
    expect(server.url).toBe(`tls://localhost:${server.port}`)
    expect(await request(server.address, '$JS.API.INFO', {})).toMatchObject({ streams: 0 })
    await expect(connectNats({ port: server.port, tls: { caFile: files.otherCaFile } })).rejects.toThrow(
      /self-signed|unable to verify/,
    )
    await expect(connectNats({ port: server.port, tls: { caFile: files.caFile } })).rejects.toThrow(
      /certificate required|ended|ECONNRESET/,
    )
  })

  test('a server that is not ours is used and never stopped', async ({ onTestFinished }) => {
    await using own = await startNats()
    process.env['HUB_TEST_NATS_URL'] = own.url
    onTestFinished(() => void delete process.env['HUB_TEST_NATS_URL'])
    await using server = await startNats({ any: true })
    expect(server.port).toBe(own.port)
    await expect(server.stop()).rejects.toThrow('HUB_TEST_NATS_URL')
    await expect(startNats()).rejects.toThrow('HUB_TEST_NATS_URL')
  })

  test('a server that does not start says why', async () => {
    await expect(startNats({ config: ['no_such_setting: {'] })).rejects.toThrow('Parse error on line')
  })
})

async function request(address: Parameters<typeof connectNats>[0], subject: string, body: unknown): Promise<unknown> {
  using client = await connectNats(address)
  return await client.request(subject, body)
}
