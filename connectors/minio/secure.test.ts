// MinIO over TLS with a private authority, and configurations that are refused before anything is connected.

import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { describe, expect, test } from 'vitest'

import { noMinio, startMinio } from '../../test/servers/minio.ts'
import { createCertificates, noCertificates } from '../../test/servers/tls.ts'
import { SourceRig } from '../../test/source-rig.ts'
import connector from './connector.ts'

const TEST_MS = 120_000
const missing = (await noMinio()) ?? noCertificates()

test('events come over TLS, and only from who has a certificate of the right authority and name', { timeout: TEST_MS }, async (context) => {
  context.skip(missing !== undefined, missing)
  using certificates = createCertificates()
  const { caFile, otherCaFile } = certificates
  await using minio = await startMinio({ tls: certificates })
  const { url, accessKey, secretKey } = minio
  const config = { receive: 'listen', url, accessKey, secretKey, tls: { caFile } }
  const requestHandler = { httpsAgent: new Agent({ ca: readFileSync(caFile) }) }
  const s3 = new S3Client({ endpoint: url, region: 'us-east-1', forcePathStyle: true, credentials: { accessKeyId: accessKey, secretAccessKey: secretKey }, requestHandler })
  await s3.send(new CreateBucketCommand({ Bucket: 'photos' }))
  await using rig = await new SourceRig(connector, config).opened(['photos'])
  rig.ackAll = true
  await s3.send(new PutObjectCommand({ Bucket: 'photos', Key: 'a', Body: 'a' }))
  await rig.arrived(1)
  const wrong = [
    { ...config, tls: {} },
    { ...config, tls: { caFile: otherCaFile } },
    { ...config, url: url.replace('localhost', '127.0.0.1') },
    { ...config, tls: { caFile: '/not/there.pem' } },
  ]
  for (const one of wrong) {
    await using refused = new SourceRig(connector, one)
    expect(await refused.refused()).toMatchObject({ code: 'HUB_SOURCE_TLS', canRetry: false })
  }
  s3.destroy()
}) // prettier-ignore

describe('a configuration is refused', () => {
  const keys = { accessKey: 'a', secretKey: 'b' }
  test.each([
    ['half of the credentials', { accessKey: 'a' }, 'accessKey and secretKey, which belong together'],
    ['listening without credentials', { receive: 'listen' }, 'accessKey is required'],
    ['configureBucket without credentials', { configureBucket: true }, 'accessKey is required'],
    ['configureBucket and listening', { ...keys, receive: 'listen', configureBucket: true }, 'webhook mode'],
    ['a token of three words', { token: 'one two three' }, 'one word'],
    ['half of a client certificate', { tls: { certFile: 'a' } }, 'certFile and keyFile'],
    ['half of a server certificate', { listen: { certFile: 'a' } }, 'certFile and keyFile'],
    ['an empty list of topics', { topics: [] }, 'topics is empty'],
    ['a topic that is none', { topics: ['Photos'] }, 'lower-case'],
    ['an event that MinIO does not have', { topics: ['photos:s3:ObjectCreated:Putt'] }, 'did you mean'],
  ])('with %s', (_, config, problem) => {
    expect(() => new SourceRig(connector, config)).toThrow(problem)
  })
})
