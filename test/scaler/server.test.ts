// KEDA's questions over a real port: what is answered, what is refused and how to mend it, streams, TLS and the end.

import { copyFileSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'

import { credentials } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { HubError } from '../../src/sdk/index.ts'
import { until } from '../hub/rig.ts'
import { createCertificates, noCertificates } from '../servers/tls.ts'
import type { Certificates } from '../servers/tls.ts'
import { Keda, refusalOf } from './keda.ts'
import type { Metadata } from './keda.ts'
import { ScalerRig, known, unknown, unread } from './rig.ts'

const RABBIT = { connector: 'rabbit' } as const
const lost = new HubError('HUB_SOURCE_LOST', 'amqp://broker: the connection was closed', { canRetry: true, hint: 'Look at the broker.' }) // prettier-ignore
let rig: ScalerRig
let keda: Keda

beforeEach(async () => {
  rig = await new ScalerRig().start()
  keda = new Keda(rig.address)
})
afterEach(async () => {
  keda[Symbol.dispose]()
  await rig[Symbol.asyncDispose]()
})

describe('what is answered', () => {
  test('the target of a replica, in both forms that KEDA reads', async () => {
    expect(await keda.metricSpecs(RABBIT)).toEqual([{ metricName: 'connector-hub-lag-rabbit', targetSize: 100, targetSizeFloat: 100 }]) // prettier-ignore
    expect(await keda.metricSpecs({ ...RABBIT, targetLag: '2.5' })).toMatchObject([{ targetSize: 3, targetSizeFloat: 2.5 }]) // prettier-ignore
  })

  test('events that are not settled, over all topics', async () => {
    await rig.says([known(40, 2), known(8, 0, 'bills')])
    expect(await keda.metrics(RABBIT, 'connector-hub-lag-rabbit')).toEqual([{ metricName: 'connector-hub-lag-rabbit', metricValue: 50, metricValueFloat: 50 }]) // prettier-ignore
    await rig.says([])
    expect(await keda.lag(RABBIT)).toBe(0)
  })

  test.each([
    ['nothing waits', [known(0)], '0', false],
    ['nothing is wanted', [], '0', false],
    ['one event', [known(1)], '0', true],
    ['one that a replica has', [known(0, 1)], '0', true],
    ['as many as the threshold', [known(10)], '10', false],
    ['one more', [known(11)], '10', true],
    ['a place that only a hub makes', [known(0), unread], '10', true],
    ['more than the threshold beside what is not known', [unknown, known(11)], '10', true],
  ])('active: %s', async (_, lags, activationLag, isActive) => {
    await rig.says(lags)
    expect(await keda.isActive({ ...RABBIT, activationLag })).toBe(isActive)
  })

  test('settings may come from the environment of the container, and blanks do not count', async () => {
    await rig.says([known(7)])
    expect(await keda.metricSpecs({ connectorFromEnv: 'rabbit', targetLag: ' 7 ' })).toMatchObject([{ targetSizeFloat: 7 }]) // prettier-ignore
  })

  test('what is counted is shown with the metrics', async () => {
    await rig.says([known(3)])
    await keda.isActive(RABBIT)
    await refusalOf(keda.isActive({ connector: 'nats' }))
    const text = await rig.metrics.registry.metrics()
    expect(text).toContain('connector_hub_scaler_calls_total{method="IsActive",status="OK"} 1')
    expect(text).toContain('connector_hub_scaler_calls_total{method="IsActive",status="NOT_FOUND"} 1')
    expect(text).toContain('connector_hub_scaler_lag_events{connector="rabbit"} 3')
    expect(text).toContain('connector_hub_scaler_lag_known{connector="rabbit"} 1')
    await rig.says(lost)
    const later = await rig.metrics.registry.metrics()
    expect(later).toContain('connector_hub_scaler_lag_known{connector="rabbit"} 0')
    expect(later).not.toContain('connector_hub_scaler_lag_events{')
  })
})

describe('what is not known', () => {
  const expectUnknown = async (details: string): Promise<void> => {
    for (const call of [keda.isActive(RABBIT), keda.metrics(RABBIT, 'connector-hub-lag-rabbit')])
      expect(await refusalOf(call)).toEqual({ status: 'UNAVAILABLE', details: expect.stringContaining(details) as string }) // prettier-ignore
    // The target does not depend on it.
    expect(await keda.metricSpecs(RABBIT)).toHaveLength(1)
  }

  test('before the broker was asked', async () => {
    await expectUnknown('HUB_SOURCE_UNREACHABLE: the broker of rabbit was not asked yet')
  })

  test('before the functions are known', async () => {
    rig.broker.wanted = undefined
    rig.watch.look()
    await rig.clock.advance(0)
    await expectUnknown('HUB_DISCOVERY_FAILED: the functions are not known yet')
    expect(rig.broker.asked).toBe(0)
  })

  test('while the broker is away, with what to do', async () => {
    await rig.says([known(3)])
    await rig.says(lost)
    await expectUnknown('HUB_SOURCE_LOST: amqp://broker: the connection was closed. Look at the broker.')
    await rig.says([known(0)])
    expect(await keda.isActive(RABBIT)).toBe(false)
  })

  test('of one topic: there is not said to be nothing, and the others are scaled', async () => {
    await rig.says([unknown, known(0)])
    expect(await refusalOf(keda.isActive(RABBIT))).toEqual({ status: 'UNAVAILABLE', details: 'HUB_TOPIC_MISSING: queue gone does not exist. Create it.' }) // prettier-ignore
    expect(await keda.lag(RABBIT)).toBe(0)
    await rig.says([unknown])
    await expectUnknown('HUB_TOPIC_MISSING')
  })
})

describe('what is refused', () => {
  test.each<[string, Metadata, string]>([
    ['no connector', {}, 'metadata.connector is required: the name of an instance under connectors in hub.yaml'],
    ['a blank connector', { connector: ' ' }, 'metadata.connector is required'],
    ['a target of nothing', { ...RABBIT, targetLag: '0' }, 'metadata.targetLag must be above 0'],
    ['a target below nothing', { ...RABBIT, targetLag: '-5' }, 'metadata.targetLag is "-5" and must be a number of events'], // prettier-ignore
    ['a target in words', { ...RABBIT, targetLag: 'many' }, 'metadata.targetLag is "many"'],
    ['a target beyond counting', { ...RABBIT, targetLag: '9'.repeat(400) }, 'metadata.targetLag is'],
    ['a threshold in words', { ...RABBIT, activationLag: '1e3' }, 'metadata.activationLag is "1e3"'],
    ['a key with a slip', { ...RABBIT, targetLags: '5' }, 'metadata.targetLags is not known; did you mean targetLag?'],
    ['a key in other letters', { Connector: 'rabbit' }, 'metadata.Connector is not known; did you mean connector?'],
  ])('INVALID_ARGUMENT: %s', async (_, metadata, details) => {
    const refusal = { status: 'INVALID_ARGUMENT', details: expect.stringContaining(details) as string }
    expect(await refusalOf(keda.metricSpecs(metadata))).toEqual(refusal)
    expect(await refusalOf(keda.isActive(metadata))).toEqual(refusal)
    expect(await keda.stream(metadata).ended).toEqual(refusal)
  })

  test('not the keys that are KEDA’s own', async () => {
    const keys = { scalerAddress: 'x:1', enableTLS: 'true', unsafeSsl: 'false', caCert: 'pem', tlsClientCert: 'pem', tlsClientKey: 'pem', tlsCertFile: '/x' } // prettier-ignore
    expect(await keda.metricSpecs({ ...RABBIT, ...keys })).toHaveLength(1)
  })

  test('NOT_FOUND: another connector, with those that there are', async () => {
    const refusal = { status: 'NOT_FOUND', details: 'there is no connector "nats" here. Set metadata.connector to one of: rabbit, cron' } // prettier-ignore
    expect(await refusalOf(keda.isActive({ connector: 'nats' }))).toEqual(refusal)
    expect(await keda.stream({ connector: 'nats' }).ended).toEqual(refusal)
  })

  test('FAILED_PRECONDITION: a broker that does not tell', async () => {
    expect(await refusalOf(keda.metricSpecs({ connector: 'cron' }))).toEqual({ status: 'FAILED_PRECONDITION', details: 'the broker of cron does not tell how much waits there. Scale it by another trigger of KEDA, such as cpu or prometheus' }) // prettier-ignore
  })

  test('INVALID_ARGUMENT: another metric', async () => {
    await rig.says([known(1)])
    expect(await refusalOf(keda.metrics(RABBIT, 'cpu'))).toMatchObject({ status: 'INVALID_ARGUMENT', details: expect.stringContaining('connector-hub-lag-rabbit') as string }) // prettier-ignore
  })

  test('UNIMPLEMENTED: the stream of specs, which KEDA then does without', async () => {
    expect(await keda.stream(RABBIT, 'StreamMetricSpec').ended).toMatchObject({ status: 'UNIMPLEMENTED' })
  })

  test('RESOURCE_EXHAUSTED: more than the metadata of a ScaledObject can be; the server goes on', async () => {
    expect(await refusalOf(keda.isActive({ ...RABBIT, note: 'x'.repeat(100_000) }))).toMatchObject({ status: 'RESOURCE_EXHAUSTED' }) // prettier-ignore
    expect(await keda.metricSpecs(RABBIT)).toHaveLength(1)
  })
})

describe('a stream', () => {
  test('says at once whether there is work, then every change, and nothing while it is not known', async () => {
    await rig.says([known(0)])
    const stream = keda.stream(RABBIT)
    await until(() => stream.said.length === 1, 'the first word')
    for (const answer of [[known(0)], [known(5)], [known(9)], lost, [unknown, known(0)], [known(5)], [known(0)]]) await rig.says(answer) // prettier-ignore
    await until(() => stream.said.length >= 3, 'the changes')
    expect(stream.said).toEqual([false, true, false])
    stream.cancel()
    expect((await stream.ended).status).toBe('CANCELLED')
    await until(async () => (await rig.metrics.registry.metrics()).includes('connector_hub_scaler_streams 0'), 'it is forgotten') // prettier-ignore
  })

  test('that begins while nothing is known says its first word later', async () => {
    const stream = keda.stream({ ...RABBIT, activationLag: '3' })
    await until(async () => (await rig.metrics.registry.metrics()).includes('connector_hub_scaler_streams 1'), 'it is open') // prettier-ignore
    await rig.says([known(3)])
    await rig.says([known(4)])
    await until(() => stream.said.length === 2, 'both words')
    expect(stream.said).toEqual([false, true])
  })

  test('ends with OK when the server closes, so that KEDA comes again without an error', async () => {
    await rig.says([known(1)])
    const streams = [keda.stream(RABBIT), keda.stream(RABBIT)]
    await until(() => streams.every(({ said }) => said.length === 1), 'both are open')
    await Promise.all([rig.server?.close(), rig.server?.close()])
    expect(await Promise.all(streams.map(({ ended }) => ended))).toEqual([{ status: 'OK', details: expect.any(String) as string }, { status: 'OK', details: expect.any(String) as string }]) // prettier-ignore
    expect(await refusalOf(keda.isActive(RABBIT))).toMatchObject({ status: 'UNAVAILABLE' })
  })
})

test('a port that is taken is an error with its fix', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const { port } = taken.address() as AddressInfo
  await expect(new ScalerRig().start({ port })).rejects.toMatchObject({ code: 'HUB_GATEWAY_LISTEN', hint: 'Set scaler.port to a free port, or 0 for any.' }) // prettier-ignore
  await new Promise((resolve) => taken.close(resolve))
})

const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
)
test.skipIf(!hasIpv6)('an address of IPv6 is one that a client can use', async () => {
  await using other = await new ScalerRig().start({ host: '::1' })
  expect(other.address).toMatch(/^\[::1\]:\d+$/)
  using client = new Keda(other.address)
  expect(await client.metricSpecs(RABBIT)).toHaveLength(1)
})

const noTls = noCertificates()
describe.skipIf(noTls !== undefined)('with TLS', () => {
  let files: Certificates
  let folder: string
  beforeEach(() => {
    files = createCertificates()
    folder = join(files.caFile, '..')
  })
  afterEach(() => files[Symbol.dispose]())

  const pem = (path: string): Buffer => readFileSync(path)
  const connected = (other: ScalerRig, ca: string, client?: readonly [cert: string, key: string]): Keda => {
    const { address } = other
    const [cert, key] = client ?? []
    const channel = credentials.createSsl(pem(ca), key === undefined ? null : pem(key), cert === undefined ? null : pem(cert)) // prettier-ignore
    return new Keda(`localhost:${address.split(':').at(-1)}`, channel)
  }

  test('clients that trust the CA are answered, others and plain text are not', async () => {
    const { certFile, keyFile, caFile, otherCaFile } = files
    await using secure = await new ScalerRig().start({ tls: { certFile, keyFile, clientCaFile: undefined } })
    using trusting = connected(secure, caFile)
    expect(await trusting.metricSpecs(RABBIT)).toHaveLength(1)
    using strange = connected(secure, otherCaFile)
    expect(await refusalOf(strange.metricSpecs(RABBIT))).toMatchObject({ status: 'UNAVAILABLE' })
    using plain = new Keda(secure.address)
    expect(await refusalOf(plain.metricSpecs(RABBIT))).toMatchObject({ status: 'UNAVAILABLE' })
  })

  test('clients need a certificate where a CA for them is set', async () => {
    const { certFile, keyFile, caFile, clientCertFile, clientKeyFile } = files
    await using secure = await new ScalerRig().start({ tls: { certFile, keyFile, clientCaFile: caFile } })
    using trusted = connected(secure, caFile, [clientCertFile, clientKeyFile])
    expect(await trusted.metricSpecs(RABBIT)).toHaveLength(1)
    using nameless = connected(secure, caFile)
    expect(await refusalOf(nameless.metricSpecs(RABBIT))).toMatchObject({ status: 'UNAVAILABLE' })
  })

  test('a renewed certificate is used, and one that does not fit its key is not', async () => {
    const [certFile, keyFile] = [join(folder, 'live.pem'), join(folder, 'live.key')]
    const put = (from: Certificates): void => {
      copyFileSync(from.certFile, certFile)
      copyFileSync(from.keyFile, keyFile)
    }
    put(files)
    await using secure = await new ScalerRig().start({ tls: { certFile, keyFile, clientCaFile: undefined } })
    const answers = async (caFile: string): Promise<boolean> => {
      using client = connected(secure, caFile)
      return (await refusalOf(client.metricSpecs(RABBIT))) === undefined
    }
    expect(await answers(files.caFile)).toBe(true)
    using renewed = createCertificates()
    // Half of it is written.
    copyFileSync(renewed.certFile, certFile)
    await secure.clock.advance(30_000)
    expect([await answers(files.caFile), await answers(renewed.caFile)]).toEqual([true, false])
    expect(secure.log.lines.join('\n')).toContain('the certificate that was read before stays in use')
    put(renewed)
    await secure.clock.advance(30_000)
    expect([await answers(files.caFile), await answers(renewed.caFile)]).toEqual([false, true])
  })

  test('files that cannot be used are an error, before anything listens', async () => {
    const { certFile, clientKeyFile } = files
    for (const keyFile of [clientKeyFile, join(folder, 'not-there.key')])
      await expect(new ScalerRig().start({ tls: { certFile, keyFile, clientCaFile: undefined } })).rejects.toMatchObject({ code: 'HUB_CONFIG_INVALID', message: expect.stringContaining('scaler.tls') as string }) // prettier-ignore
  })
})
