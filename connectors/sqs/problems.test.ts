// What SQS refuses and what is in the way to it, each by name and with what mends it. ElasticMQ takes any credentials, so the
// answers of AWS come from a server of ours in front of it.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'

import { SQSClient } from '@aws-sdk/client-sqs'
import { afterEach, describe, expect, test, vi } from 'vitest'

import { HubError, parseConfig } from '../../src/sdk/index.ts'
import { createCertificates, noCertificates } from '../../test/servers/tls.ts'
import { SourceRig } from '../../test/source-rig.ts'
import { CREDENTIALS } from './broker.ts'
import connector from './connector.ts'
import { awsError, startFront } from './front.ts'
import type { Front } from './front.ts'
import { manifest } from './manifest.ts'
import { sqsProblem } from './problems.ts'
import { findQueue } from './queues.ts'
import { Place, placeForEachTest } from './rig.ts'

let place: Place
await placeForEachTest((opened) => (place = opened))
afterEach(() => vi.unstubAllEnvs())

async function refusal(front: Front, config: Readonly<Record<string, unknown>> = {}): Promise<HubError> {
  return await place.source({ endpoint: front.url, ...config }).refused()
}

describe('connecting', { timeout: 60_000 }, () => {
  test.each([
    ['InvalidClientTokenId', 'HUB_SOURCE_AUTH', false],
    ['UnrecognizedClientException', 'HUB_SOURCE_AUTH', false],
    ['SignatureDoesNotMatch', 'HUB_SOURCE_AUTH', false],
    ['InvalidSignatureException', 'HUB_SOURCE_AUTH', false],
    ['ExpiredToken', 'HUB_SOURCE_AUTH', false],
    ['ExpiredTokenException', 'HUB_SOURCE_AUTH', false],
    ['RequestExpired', 'HUB_SOURCE_AUTH', true],
    ['RequestThrottled', 'HUB_SOURCE_THROTTLED', true],
    ['ThrottlingException', 'HUB_SOURCE_THROTTLED', true],
    ['InternalError', 'HUB_SOURCE_LOST', true],
  ] as const)('%s is %s', async (code, expected, canRetry) => {
    await using front = await startFront(place.server.port)
    const status = code === 'InternalError' ? 500 : 400
    const said = `The Canonical String for this request should have been\n'POST\n/\nx-amz-security-token:the-session-token`
    front.answer = () => awsError(code, said, status)
    const error = await refusal(front, { sessionToken: 'the-session-token' })
    expect([error.code, error.canRetry]).toEqual([expected, canRetry])
    expect(error.message).toContain(code)
    expect(error.message).not.toContain('the-session-token')
    expect(front.calls).toHaveLength(1)
  })

  test('needs no right to list queues', async () => {
    const queue = await place.queue()
    await place.send(queue, 'event')
    await using front = await startFront(place.server.port)
    front.answer = ({ operation }) => (operation === 'ListQueues' ? awsError('AccessDenied', 'not authorized', 403) : undefined) // prettier-ignore
    const source = await place.source({ endpoint: front.url }).opened([queue])
    expect(await source.arrived(1)).toHaveLength(1)
  })

  test('to something that is no SQS server says so', async () => {
    const server = createServer((_, response) => void response.end('<html>hello</html>'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const error = await place.source({ endpoint }).refused()
    server.closeAllConnections()
    server.close()
    expect(error.code).toBe('HUB_SOURCE_PROTOCOL')
  })

  test('to nobody is unreachable', async () => {
    const error = await place.source({ endpoint: 'http://127.0.0.1:1' }).refused()
    expect([error.code, error.canRetry]).toEqual(['HUB_SOURCE_UNREACHABLE', true])
  })

  test('takes credentials and region from the environment and from a shared file, read anew by each connection', async () => {
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_PROFILE']) vi.stubEnv(name, '')
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true')
    const folder = mkdtempSync(join(tmpdir(), 'hub-aws-'))
    const file = join(folder, 'credentials')
    const write = (keyId: string): void =>
      writeFileSync(file, `[default]\naws_access_key_id = ${keyId}\naws_secret_access_key = secret\n`)
    vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', file)
    vi.stubEnv('AWS_CONFIG_FILE', join(folder, 'none'))
    const seen: string[] = []
    const server = createServer((request, response) => {
      seen.push(
        /Credential=([^/]+)\/\d+\/([^/]+)\//
          .exec(request.headers.authorization ?? '')
          ?.slice(1)
          .join(' ') ?? '',
      )
      response.end('{}')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const config = parseConfig(manifest.fields, { endpoint }, { env: { AWS_DEFAULT_REGION: 'eu-central-1' } })
    expect(config.region).toBe('eu-central-1')
    await using source = new SourceRig(connector, { endpoint, region: config.region })
    try {
      write('first')
      await source.source.connect(new AbortController().signal)
      write('second')
      await source.source.connect(new AbortController().signal)
      vi.stubEnv('AWS_ACCESS_KEY_ID', 'environment')
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret')
      await source.source.connect(new AbortController().signal)
      expect(seen).toEqual(['first eu-central-1', 'second eu-central-1', 'environment eu-central-1'])
      vi.stubEnv('AWS_ACCESS_KEY_ID', '')
      rmSync(file)
      const error = await source.refused()
      expect([error.code, error.canRetry]).toEqual(['HUB_SOURCE_AUTH', false])
      expect(error.hint).toContain('AWS_SHARED_CREDENTIALS_FILE')
    } finally {
      server.closeAllConnections()
      server.close()
      rmSync(folder, { recursive: true })
    }
  })

  test('half of a key pair, a token without one, and TLS for plain text are refused with the configuration', () => {
    for (const config of [
      { accessKeyId: 'AKIA' },
      { sessionToken: 'token' },
      { endpoint: 'http://127.0.0.1:1', tls: { caFile: '/ca.pem' } },
      { queues: ['orders'] },
    ])
      expect(() => new SourceRig(connector, config)).toThrow(expect.objectContaining({ code: 'HUB_CONFIG_INVALID' }) as Error) // prettier-ignore
  })
})

describe('while it runs', { timeout: 60_000 }, () => {
  test('an expired token ends the connection by name, and is not asked again and again', async () => {
    const queue = await place.queue()
    await using front = await startFront(place.server.port)
    const source = await place.source({ endpoint: front.url }).opened([queue])
    front.answer = () => awsError('ExpiredToken', 'The security token included in the request is expired', 403)
    const error = await source.lost()
    expect([error.code, error.canRetry]).toEqual(['HUB_SOURCE_AUTH', false])
    expect(error.hint).toContain('temporary credentials')
    const asked = front.calls.length
    await source[Symbol.asyncDispose]()
    expect(front.calls.length).toBe(asked)
  })

  test('a connection that is lost while a queue is being looked for leaves no poll behind', async () => {
    const [queue, other] = [await place.queue(), await place.queue()]
    await using front = await startFront(place.server.port)
    const source = await place.source({ endpoint: front.url }).opened([queue])
    let isLost = false
    front.answer = ({ operation }) => {
      if (operation === 'ReceiveMessage') return awsError('ExpiredToken')
      return operation === 'GetQueueAttributes' ? source.lost().then(() => void (isLost = true)) : undefined
    }
    await expect(source.subscribe([queue, other])).rejects.toMatchObject({ code: 'HUB_SOURCE_LOST', canRetry: true })
    expect(isLost).toBe(true)
    const polled = front.calls.filter(({ operation, input }) => operation === 'ReceiveMessage' && String(input['QueueUrl']).endsWith(other)) // prettier-ignore
    expect(polled).toEqual([])
  })

  test('throttled receives are sent more and more seldom, counted, and work again when they may', async () => {
    const queue = await place.queue()
    await place.send(queue, 'event')
    await using front = await startFront(place.server.port)
    let refused = 0
    front.answer = ({ operation }) => (operation === 'ReceiveMessage' && (refused += 1) <= 3 ? awsError('RequestThrottled') : undefined) // prettier-ignore
    const source = await place.source({ endpoint: front.url }).opened([queue])
    await source.arrived(1)
    expect(source.counts['sqs_throttled_total']).toBe(3)
    expect(source.log.lines.filter((line) => line.includes('sqs.throttled'))).toHaveLength(1)
    expect(source.ending).toBeUndefined()
  })

  test('one answer that fails is no loss', async () => {
    const queue = await place.queue()
    await using front = await startFront(place.server.port)
    let failed = 0
    front.answer = ({ operation }) => (operation === 'ReceiveMessage' && (failed += 1) === 1 ? awsError('ServiceUnavailable', 'The test says so.', 503) : undefined) // prettier-ignore
    const source = await place.source({ endpoint: front.url }).opened([queue])
    await place.send(queue, 'event')
    await source.arrived(1)
    expect(failed).toBeGreaterThan(1)
  })
})

describe('a queue of another region', () => {
  test('than the one that requests are signed for is refused before anything is sent', async () => {
    const client = new SQSClient({ region: 'eu-west-1', credentials: { ...CREDENTIALS } })
    const config = parseConfig(manifest.fields, { region: 'eu-west-1' })
    const options = { client, config, at: 'SQS in eu-west-1', log: { warn: () => undefined } }
    const url = 'https://sqs.us-east-1.amazonaws.com/123456789012/orders'
    const error = await findQueue(url, options, new AbortController().signal).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN', hint: expect.stringContaining('region: us-east-1') as string }) // prettier-ignore
  })

  test('a missing region is a mistake of the configuration', () => {
    expect(sqsProblem(new Error('Region is missing'), 'SQS').code).toBe('HUB_CONFIG_INVALID')
  })
})

describe.skipIf(noCertificates() !== undefined)('TLS', { timeout: 60_000 }, () => {
  test('is checked against the CA of the configuration, and nothing else gets through', async () => {
    using files = createCertificates()
    const { certFile, keyFile, caFile, otherCaFile } = files
    const server = createTlsServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (client) => {
      const target = connect(place.server.port, '127.0.0.1')
      client.pipe(target).pipe(client)
      for (const socket of [client, target]) socket.on('error', () => socket.destroy())
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const endpoint = `https://localhost:${(server.address() as AddressInfo).port}`
    const queue = await place.queue()
    await place.send(queue, 'event')
    const source = await place.source({ endpoint, tls: { caFile } }).opened([queue])
    await source.arrived(1)
    for (const tls of [{}, { caFile: otherCaFile }]) {
      const error = await place.source({ endpoint, tls }).refused()
      expect([error.code, error.canRetry]).toEqual(['HUB_SOURCE_TLS', false])
    }
    const wrongName = await place.source({ endpoint: endpoint.replace('localhost', '127.0.0.1'), tls: { caFile } }).refused() // prettier-ignore
    expect(wrongName.code).toBe('HUB_SOURCE_TLS')
    await source[Symbol.asyncDispose]()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })
})
