// TLS, client certificates, passwords and WebSockets against a real Mosquitto.

import { readFileSync } from 'node:fs'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { MqttRig, publisher, refusal } from './rig.ts'
import { noMosquitto, startMosquitto } from '../../test/servers/mosquitto.ts'
import type { MosquittoServer } from '../../test/servers/mosquitto.ts'
import { createCertificates, noCertificates } from '../../test/servers/tls.ts'
import type { Certificates } from '../../test/servers/tls.ts'

const missing = noMosquitto() ?? noCertificates()
const credentials = { username: 'hub', password: 'correct horse' }
let files: Certificates
let open: MosquittoServer
let strict: MosquittoServer

beforeAll(async () => {
  if (missing !== undefined) return
  files = createCertificates()
  open = await startMosquitto({ credentials, tls: { ...files, requireClient: false }, webSockets: true })
  strict = await startMosquitto({ tls: { ...files, requireClient: true } })
})
afterAll(async () => {
  await open?.[Symbol.asyncDispose]()
  await strict?.[Symbol.asyncDispose]()
  files?.[Symbol.dispose]()
})
beforeEach((context) => {
  if (missing !== undefined) context.skip(missing)
})

async function expectRoundTrip(config: Readonly<Record<string, unknown>>, plainUrl: string, login = {}): Promise<void> {
  await using rig = await MqttRig.open(config, ['tls/#'])
  await using client = await publisher(plainUrl, login)
  await client.send('tls/x', 'hello')
  await rig.arrived(1)
  expect(rig.bodies).toEqual(['hello'])
}

const clientPair = (): object => ({ certFile: files.clientCertFile, keyFile: files.clientKeyFile })

test('TLS with a CA of our own', async () => {
  const config = { url: open.tlsUrl, ...credentials, tls: { caFile: files.caFile } }
  await expectRoundTrip(config, open.url, credentials)
  for (const scheme of ['ssl', 'tls'])
    await expectRoundTrip({ ...config, url: String(open.tlsUrl).replace('mqtts', scheme) }, open.url, credentials)
})

test('TLS with a client certificate', async () => {
  await expectRoundTrip({ url: strict.tlsUrl, tls: { caFile: files.caFile, ...clientPair() } }, strict.url)
})

test('WebSockets', async () => {
  await expectRoundTrip({ url: open.wsUrl, ...credentials }, open.url, credentials)
})

test('insecureSkipVerify accepts an unknown CA, and serverName another name', async () => {
  const config = { url: open.tlsUrl, ...credentials }
  await expectRoundTrip({ ...config, tls: { insecureSkipVerify: true } }, open.url, credentials)
  const byAddress = { ...config, url: String(open.tlsUrl).replace('localhost', '127.0.0.1') }
  await expectRoundTrip({ ...byAddress, tls: { caFile: files.caFile, serverName: 'localhost' } }, open.url, credentials)
})

test('what is wrong with TLS ends in HUB_SOURCE_TLS, and never in a plain connection', async () => {
  const url = open.tlsUrl
  const cases: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
    'a CA of somebody else': { url, tls: { caFile: files.otherCaFile } },
    'no CA': { url },
    'another host name': { url, tls: { caFile: files.caFile, serverName: 'broker.example.com' } },
    'no client certificate': { url: strict.tlsUrl, tls: { caFile: files.caFile } },
    'an unreadable CA': { url, tls: { caFile: '/nonexistent/ca.pem' } },
    'a key that is none': { url, tls: { caFile: files.caFile, certFile: files.clientCertFile, keyFile: files.caFile } },
  }
  for (const [what, config] of Object.entries(cases)) {
    const error = await refusal({ ...credentials, ...config })
    expect([what, error.code, error.canRetry]).toEqual([what, 'HUB_SOURCE_TLS', false])
    expect(error.message).not.toContain(credentials.password)
  }
})

test('a plain port is HUB_SOURCE_TLS, worth another attempt: a TLS server that goes down looks like it', async () => {
  const error = await refusal({
    ...credentials,
    url: open.url.replace('mqtt:', 'mqtts:'),
    tls: { caFile: files.caFile },
  })
  expect([error.code, error.canRetry]).toEqual(['HUB_SOURCE_TLS', true])
  expect(error.message).not.toContain(credentials.password)
})

test('plain text to a TLS port is not MQTT', async () => {
  const error = await refusal({ ...credentials, url: String(open.tlsUrl).replace('mqtts:', 'mqtt:') })
  expect(['HUB_SOURCE_UNREACHABLE', 'HUB_SOURCE_PROTOCOL']).toContain(error.code)
  expect(error.message).not.toContain(credentials.password)
})

test('a wrong password is HUB_SOURCE_AUTH, by every way in', async () => {
  for (const protocolVersion of [4, 5])
    for (const url of [open.url, open.wsUrl]) {
      const error = await refusal({ url, username: 'hub', password: 'wrong-secret', protocolVersion })
      expect([error.code, error.canRetry]).toEqual(['HUB_SOURCE_AUTH', false])
      expect(error.message).not.toContain('wrong-secret')
    }
})

test('an HTTP server that is no MQTT WebSocket is unreachable', async () => {
  const error = await refusal({ url: `${open.wsUrl}/nothing-here`.replace(/:\d+\//, `:${open.port}/`) })
  expect([error.code, error.canRetry]).toEqual(['HUB_SOURCE_UNREACHABLE', true])
})

test('a TLS server that refuses the WebSocket is unreachable for now, not wrong about TLS', async () => {
  const server = createHttpsServer(
    { cert: readFileSync(files.certFile), key: readFileSync(files.keyFile) },
    (_, response) => {
      response.writeHead(503).end()
    },
  )
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  const url = `wss://localhost:${(server.address() as AddressInfo).port}`
  const error = await refusal({ url, tls: { caFile: files.caFile } })
  expect([error.code, error.canRetry]).toEqual(['HUB_SOURCE_UNREACHABLE', true])
  expect(error.message).toContain('503')
  await new Promise((resolve) => server.close(resolve))
})
