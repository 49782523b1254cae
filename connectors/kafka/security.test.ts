// TLS and every way to log in, against real listeners that demand them.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { noKafka } from '../../test/servers/kafka.ts'
import { createCertificates, noCertificates } from '../../test/servers/tls.ts'
import type { Certificates } from '../../test/servers/tls.ts'
import { KafkaRig } from './rig.ts'

const missing = (await noKafka()) ?? noCertificates()

async function expectDelivery(kafka: KafkaRig, config: Readonly<Record<string, unknown>>): Promise<void> {
  const topic = await kafka.topic()
  await kafka.send(topic, { value: 'through' })
  const source = await kafka.source(topic, config).opened([topic])
  await source.arrived(1)
  expect(source.bodies).toEqual(['through'])
  await source.arrivals[0]?.settle({ kind: 'ack' })
}

describe.skipIf(missing !== undefined)('a broker with TLS', () => {
  let certificates: Certificates
  let kafka: KafkaRig
  beforeAll(async () => {
    certificates = createCertificates()
    const { caFile, certFile, keyFile } = certificates
    kafka = await KafkaRig.start({ tls: { caFile, certFile, keyFile, requireClient: true } })
  })
  afterAll(async () => {
    await kafka[Symbol.asyncDispose]()
    certificates[Symbol.dispose]()
  })

  const client = (): Readonly<Record<string, string>> => ({ caFile: certificates.caFile, certFile: certificates.clientCertFile, keyFile: certificates.clientKeyFile }) // prettier-ignore

  test('and client certificates is read', () => expectDelivery(kafka, { tls: client() }))

  test('is read although its certificate is for another name, when told so', () =>
    expectDelivery(kafka, { brokers: [`127.0.0.1:${kafka.server.port}`], tls: { ...client(), serverName: 'localhost' } })) // prettier-ignore

  test.each([
    ['without our certificate', () => ({ caFile: certificates.caFile })],
    ['signed by an authority that we do not know', () => ({ ...client(), caFile: certificates.otherCaFile })],
    ['for another name', () => ({ ...client(), serverName: 'elsewhere.example' })],
    ['with a CA file that is not there', () => ({ ...client(), caFile: '/nowhere/ca.pem' })],
  ])('%s is a named error', async (_, tls) => {
    const error = await kafka.source('refused', { tls: tls() }).refused()
    expect([error.code, error.message]).toEqual(['HUB_SOURCE_TLS', expect.stringMatching(/localhost|caFile/)])
  })

  test('met in plain text is a named error', async () => {
    expect((await kafka.source('plain').refused()).code).toBe('HUB_SOURCE_TLS')
  })
})

const PASSWORD = 'right'

describe.skipIf(missing !== undefined)('a broker with SASL', () => {
  let kafka: KafkaRig
  let folder: string
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'hub-token-'))
    const passwords = (['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const).map((mechanism) => ({ mechanism, username: 'hub', password: PASSWORD })) // prettier-ignore
    kafka = await KafkaRig.start({ sasl: [...passwords, { mechanism: 'OAUTHBEARER' }] })
  })
  afterAll(async () => {
    await kafka[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  // PLAIN is what the conformance suite logs in with.
  test.each(['scram-sha-256', 'scram-sha-512'] as const)(
    'is read with %s and the right password only',
    async (saslMechanism) => {
      const login = { username: 'hub', password: PASSWORD, saslMechanism }
      await expectDelivery(kafka, login)
      const wrong = await kafka.source('wrong', { ...login, password: 'wrong-secret' }).refused()
      expect([wrong.code, wrong.canRetry]).toEqual(['HUB_SOURCE_AUTH', false])
      expect(wrong.message).not.toContain('wrong-secret')
    },
  )

  test('is not read by a mechanism that it does not offer, nor without any', async () => {
    const plain = await kafka.source('other', { username: 'hub', password: PASSWORD }).refused()
    expect(plain).toMatchObject({ code: 'HUB_SOURCE_AUTH', hint: expect.stringContaining('saslMechanism') })
    const anonymous = await kafka.source('anonymous', { requestTimeout: '2s' }).refused()
    expect(anonymous.code).toMatch(/^HUB_SOURCE_(AUTH|UNREACHABLE)$/)
  })

  describe('and OAUTHBEARER', () => {
    /** An unsecured JWS, as brokers take it without a validator of their own (KIP-255). */
    const token = (lifetimeSeconds: number): string => {
      const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
      const now = Math.floor(Date.now() / 1000)
      return `${part({ alg: 'none' })}.${part({ sub: 'hub', iat: now - 10, exp: now + lifetimeSeconds })}.`
    }

    test('is read with a token from a file, which is read again for each login', async () => {
      const tokenFile = join(folder, 'token')
      writeFileSync(tokenFile, `${token(-5)}\n`)
      const config = { saslMechanism: 'oauthbearer', oauth: { tokenFile } }
      expect((await kafka.source('expired', config).refused()).code).toBe('HUB_SOURCE_AUTH')
      writeFileSync(tokenFile, token(600))
      await expectDelivery(kafka, config)
      expect(await kafka.source('none', { saslMechanism: 'oauthbearer', oauth: { tokenFile: join(folder, 'none') } }).refused()).toMatchObject({ code: 'HUB_SOURCE_AUTH', message: expect.stringContaining('oauth.tokenFile') }) // prettier-ignore
    })

    test('is read with a token from an endpoint, and its refusal is a named error', async () => {
      const asked: string[] = []
      const server = createServer((request, response) => {
        let body = ''
        request.on('data', (chunk) => (body += String(chunk)))
        request.on('end', () => {
          asked.push(`${request.headers.authorization} ${body}`)
          const isKnown = request.headers.authorization === `Basic ${Buffer.from('hub:s%26cret').toString('base64')}`
          response.writeHead(isKnown ? 200 : 401, { 'content-type': 'application/json' })
          response.end(isKnown ? JSON.stringify({ access_token: token(600), token_type: 'bearer' }) : '{"error":"invalid_client"}') // prettier-ignore
        })
      })
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const oauth = { tokenEndpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`, clientId: 'hub', clientSecret: 's&cret', scope: 'kafka' } // prettier-ignore
      try {
        await expectDelivery(kafka, { saslMechanism: 'oauthbearer', oauth })
        expect(asked[0]).toContain('grant_type=client_credentials&scope=kafka')
        const refused = await kafka.source('refused', { saslMechanism: 'oauthbearer', oauth: { ...oauth, clientSecret: 'wrong-secret' } }).refused() // prettier-ignore
        expect([refused.code, refused.message]).toEqual(['HUB_SOURCE_AUTH', expect.stringContaining('answered 401')])
        expect(refused.message).not.toContain('wrong-secret')
      } finally {
        server.closeAllConnections()
        server.close()
      }
      const away = await kafka.source('away', { saslMechanism: 'oauthbearer', oauth }).refused()
      expect([away.code, away.canRetry]).toEqual(['HUB_SOURCE_AUTH', true])
    })
  })
})
