// Logging in to a real server: TLS, client certificates, virtual hosts, and what is wrong with each, by name.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { noRabbit, startRabbit } from '../../test/servers/rabbitmq.ts'
import type { RabbitServer } from '../../test/servers/rabbitmq.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { createCertificates, noCertificates } from '../../test/servers/tls.ts'
import type { Certificates } from '../../test/servers/tls.ts'
import { SourceRig } from '../../test/source-rig.ts'
import connector from './connector.ts'

const missing = (await noRabbit()) ?? noCertificates()
let server: RabbitServer
let files: Certificates

beforeAll(async () => {
  if (missing !== undefined) return
  files = createCertificates()
  server = await startRabbit({
    tls: { ...files, requireClient: true },
    plugins: ['rabbitmq_auth_mechanism_ssl'],
    config: [
      'auth_mechanisms.1 = PLAIN',
      'auth_mechanisms.2 = EXTERNAL',
      'ssl_cert_login_from = common_name',
      'loopback_users = none',
    ],
  })
  await server.manage('PUT', 'queues/%2f/orders', { durable: true })
}, 240_000)
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  files?.[Symbol.dispose]()
})
beforeEach((context) => context.skip(missing !== undefined, missing))

const pair = (): object => ({ certFile: files.clientCertFile, keyFile: files.clientKeyFile })
const secure = (tls: object, config: object = {}): object => ({ url: server.tlsUrl, tls, ...config })

async function expectLogin(config: object, topic = 'orders'): Promise<void> {
  await using source = await new SourceRig(connector, { ...config }).opened([topic])
  expect(source.ending).toBeUndefined()
}

async function expectRefusal(config: object, expected: string): Promise<string> {
  await using source = new SourceRig(connector, { ...config })
  const error = await source.refused()
  expect([error.code, error.canRetry]).toEqual([expected, expected === 'HUB_SOURCE_UNREACHABLE'])
  const said = `${error.message} ${error.hint}`
  expect(said).not.toMatch(/wrong-secret|hub-test/)
  return said
}

describe('TLS', () => {
  test('with a client certificate and a password', async () => {
    await expectLogin(secure({ caFile: files.caFile, ...pair() }))
  })

  test('with the client certificate alone: its name is the user', async () => {
    // The certificates of the tests are made for the name hub, which is a user of this server.
    const url = server.tlsUrl?.replace(/\/\/.*@/, '//')
    await expectLogin(secure({ caFile: files.caFile, ...pair() }, { url, auth: 'external' }))
  })

  test('what is wrong is HUB_SOURCE_TLS, and nothing is sent in plain text', async () => {
    for (const tls of [
      { caFile: files.otherCaFile, ...pair() },
      { caFile: files.caFile },
      { caFile: files.caFile, ...pair(), serverName: 'elsewhere.example' },
      { caFile: '/nonexistent/ca.pem', ...pair() },
    ])
      await expectRefusal(secure(tls), 'HUB_SOURCE_TLS')
    await expectRefusal({ url: server.url.replace('amqp:', 'amqps:') }, 'HUB_SOURCE_TLS')
    await expectLogin(secure({ ...pair(), insecureSkipVerify: true }))
  })
})

describe('who may log in', () => {
  test('user and password of their own fields win over those of the URL', async () => {
    const url = server.url.replace('hub:hub-test@', 'nobody:wrong-secret@')
    await expectLogin({ url, username: 'hub', password: 'hub-test' })
    await expectRefusal({ url }, 'HUB_SOURCE_AUTH')
    await expectRefusal({ url: server.url, password: 'wrong-secret' }, 'HUB_SOURCE_AUTH')
    await expectRefusal({ url: server.url.replace('hub:hub-test@', '') }, 'HUB_SOURCE_AUTH')
  })

  test('names with what URLs must escape', async () => {
    const [user, password] = ['us@r/é', 'wrong-secret?&%:']
    await server.manage('PUT', 'vhosts/a%2Fb', {})
    await server.manage('PUT', `users/${encodeURIComponent(user)}`, { password, tags: '' })
    await server.manage('PUT', `permissions/a%2Fb/${encodeURIComponent(user)}`, {
      configure: '',
      write: '',
      read: '.*',
    })
    await server.manage('PUT', 'queues/a%2Fb/inside', { durable: true })
    const own = new URL(server.url)
    own.username = encodeURIComponent(user)
    own.password = encodeURIComponent(password)
    await expectLogin({ url: `${own.href}/a%2Fb` }, 'inside')
    await expectLogin({ url: own.href, vhost: 'a/b' }, 'inside')
    const said = await expectRefusal({ url: own.href }, 'HUB_SOURCE_FORBIDDEN')
    expect(said).toContain("set_permissions -p '/'")
  })

  test('a virtual host that does not exist', async () => {
    const said = await expectRefusal({ url: server.url, vhost: 'nowhere' }, 'HUB_SOURCE_FORBIDDEN')
    expect(said).toContain("add_vhost 'nowhere'")
  })

  test('nobody there, a server that says nothing, and one that is no AMQP server', async () => {
    await expectRefusal({ url: 'amqp://127.0.0.1:1' }, 'HUB_SOURCE_UNREACHABLE')
    await using proxy = await startTcpProxy(server.port)
    proxy.silence(true)
    await expectRefusal({ url: `amqp://127.0.0.1:${proxy.port}`, connectTimeout: '300ms' }, 'HUB_SOURCE_UNREACHABLE')
    await expectRefusal({ url: `amqp://127.0.0.1:${server.tlsPort}`, connectTimeout: '2s' }, 'HUB_SOURCE_UNREACHABLE')
  })
})

test.for([
  [{ url: 'amqp://host?heartbeat=5' }, 'url has a query'],
  [{ url: 'amqp://user:50%off@host' }, 'url has a % in its user name, password or virtual host'],
  [{ url: 'amqp://host/100%' }, 'url has a % in its user name, password or virtual host'],
  [{ tls: { caFile: '/ca.pem' } }, 'tls is set, but url begins with amqp://'],
  [{ url: 'amqps://host', tls: { certFile: '/a.pem' } }, 'certFile and keyFile, which belong together'],
  [{ url: 'amqps://host', auth: 'external' }, 'auth external needs a client certificate'],
  [{ password: 'secret' }, 'password is set without username'],
  [{ username: 'somebody' }, 'username is set without password'],
  [{ queue: 'mine' }, 'queue is set without exchange'],
  [{ exchangeType: 'direct' }, 'exchangeType is set without exchange'],
  [{ queues: [{ name: 'q', type: 'quorum', durable: false }] }, 'queues.0 (q) is a quorum queue'],
  [{ orderingKey: 'colour' }, 'must be queue, routing-key'],
] as const)('%j is refused', ([config, expected]) => {
  expect(() => new SourceRig(connector, config)).toThrow(expected)
})
