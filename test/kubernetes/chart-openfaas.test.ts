// The values of the OpenFaaS connector charts, as their documentation has them, under a connector of ours: what the hub makes
// of each key.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { SECTIONS, chartKeys } from '../deploy/chart-keys.ts'
import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import { hubYamlText, one, parsed, podOf, refusal, rendered, secretsOf } from './chart-rig.ts'
import type { Rendered, Values } from './chart-rig.ts'

const missing = await noKubernetes()

/** Of every Pro chart. */
const PRO = {
  gatewayURL: 'http://gateway.openfaas:8080',
  basic_auth: true,
  asyncInvocation: false,
  contentType: 'text/plain',
  rebuildInterval: '30s',
  upstreamTimeout: '2m',
  printRequestBody: false,
  printResponse: true,
  printResponseBody: false,
  logs: { debug: false, format: 'console' },
  replicas: 1,
  resources: { requests: { memory: '64Mi', cpu: '100m' } },
  nodeSelector: {},
  tolerations: [],
  affinity: {},
} as const

/** What the hub makes of those. */
const PRO_SETTINGS = {
  gateway: { url: 'http://gateway.openfaas:8080', rebuildInterval: 30_000 },
  defaults: { mode: 'sync', timeout: 120_000, contentType: 'text/plain' },
  log: { level: 'info', format: 'console', printRequestBody: false, printResponse: true, printResponseBody: false },
} as const

const KEPT = { persistence: { enabled: true } } as const
const BASIC_AUTH = { '/var/secrets/basic-auth': 'basic-auth' } as const

describe.skipIf(missing !== undefined)('the values of an OpenFaaS chart', () => {
  let api: KubernetesApi
  beforeAll(() => void (api = sharedKubernetes()))
  afterAll(() => api[Symbol.dispose]())

  async function source(chart: Rendered, name: string): Promise<unknown> {
    return (await parsed(hubYamlText(chart, name))).instances.find((instance) => instance.name === name)?.source
  }

  test('kafka-connector', async () => {
    const chart = await one(api, 'kafka', {
      ...PRO,
      type: 'kafka',
      topics: 'faas-request,payments',
      brokerHosts: 'kf-kafka:9092,kf-kafka-2:9092',
      group: 'faas-group-1',
      initialOffset: 'newest',
      maxBytes: '1048576',
      sessionLogging: true,
      tls: true,
      saslAuth: true,
      brokerUsernameSecret: 'kafka-broker-username',
      brokerPasswordSecret: 'kafka-broker-password',
      caSecret: 'kafka-broker-ca',
      certSecret: 'kafka-broker-cert',
      keySecret: 'kafka-broker-key',
    })
    expect((await parsed(hubYamlText(chart, 'kafka'))).settings).toMatchObject(PRO_SETTINGS)
    expect(await source(chart, 'kafka')).toMatchObject({
      topics: ['faas-request', 'payments'],
      brokers: ['kf-kafka:9092', 'kf-kafka-2:9092'],
      group: 'faas-group-1',
      initialOffset: 'newest',
      maxBytes: 1_048_576,
      username: expect.anything(),
      password: expect.anything(),
      tls: {
        enabled: true,
        caFile: '/var/secrets/broker-ca/broker-ca',
        certFile: '/var/secrets/broker-cert/broker-cert',
        keyFile: '/var/secrets/broker-key/broker-key',
      },
    })
    expect(hubYamlText(chart, 'kafka')).toContain('passwordFile: /var/secrets/broker-password/broker-password')
    expect(secretsOf(podOf(chart, 'Deployment'))).toEqual({
      ...BASIC_AUTH,
      '/var/secrets/broker-username': 'kafka-broker-username',
      '/var/secrets/broker-password': 'kafka-broker-password',
      '/var/secrets/broker-ca': 'kafka-broker-ca',
      '/var/secrets/broker-cert': 'kafka-broker-cert',
      '/var/secrets/broker-key': 'kafka-broker-key',
    })
  })

  test('rabbitmq-connector', async () => {
    const chart = await one(api, 'rabbitmq', {
      ...PRO,
      ...KEPT,
      type: 'rabbitmq',
      asyncInvocation: true,
      rabbitmqURL: 'amqps://rabbitmq:5671',
      queues: [{ name: 'queue1', durable: true, nowait: false, autodelete: false, exclusive: false }],
      rabbitmqUsernameSecret: 'rabbitmq-username',
      rabbitmqPasswordSecret: 'rabbitmq-password',
      caSecret: 'rabbitmq-ca',
      certSecret: 'client-cert',
      keySecret: 'client-key',
    })
    expect((await parsed(hubYamlText(chart, 'rabbitmq'))).settings.defaults.mode).toBe('async')
    expect(await source(chart, 'rabbitmq')).toMatchObject({
      url: 'amqps://rabbitmq:5671',
      queues: [{ name: 'queue1', durable: true, nowait: false, autodelete: false, exclusive: false }],
      tls: {
        caFile: '/var/secrets/rabbitmq-ca/ca-cert',
        certFile: '/var/secrets/client-cert/client-cert',
        keyFile: '/var/secrets/client-key/client-key',
      },
    })
    expect(hubYamlText(chart, 'rabbitmq')).toContain('usernameFile: /var/secrets/rabbitmq-username/username')
    expect(hubYamlText(chart, 'rabbitmq')).toContain('passwordFile: /var/secrets/rabbitmq-password/password')
    expect(secretsOf(podOf(chart, 'StatefulSet'))).toEqual({
      ...BASIC_AUTH,
      '/var/secrets/rabbitmq-username': 'rabbitmq-username',
      '/var/secrets/rabbitmq-password': 'rabbitmq-password',
      '/var/secrets/rabbitmq-ca': 'rabbitmq-ca',
      '/var/secrets/client-cert': 'client-cert',
      '/var/secrets/client-key': 'client-key',
    })
  })

  test('sqs-connector', async () => {
    const chart = await one(api, 'sqs', {
      ...PRO,
      ...KEPT,
      type: 'sqs',
      queueURL: 'https://sqs.eu-west-1.amazonaws.com/123456789012/a,https://sqs.eu-west-1.amazonaws.com/123456789012/b',
      awsCredentialsSecret: 'aws-sqs-credentials',
      awsDefaultRegion: 'eu-west-1',
      visibilityTimeout: '45s',
      waitTime: '15s',
      maxMessages: 1,
    })
    expect(await source(chart, 'sqs')).toMatchObject({
      queues: [
        'https://sqs.eu-west-1.amazonaws.com/123456789012/a',
        'https://sqs.eu-west-1.amazonaws.com/123456789012/b',
      ],
      region: 'eu-west-1',
      visibilityTimeout: 45_000,
      waitTime: 15_000,
      maxMessages: 1,
    })
    const pod = podOf(chart, 'StatefulSet')
    expect(pod.containers[0].env).toEqual([
      { name: 'AWS_SHARED_CREDENTIALS_FILE', value: '/var/secrets/aws-credentials/aws-sqs-credentials' },
    ])
    expect(secretsOf(pod)).toEqual({ ...BASIC_AUTH, '/var/secrets/aws-credentials': 'aws-sqs-credentials' })
  })

  test('cron-connector', async () => {
    const chart = await one(api, 'cron', {
      ...KEPT,
      type: 'cron',
      gatewayURL: 'http://gateway.openfaas:8080',
      asyncInvocation: false,
      contentType: 'text/plain',
      rebuildInterval: '30s',
      basicAuth: true,
      logs: { debug: true, format: 'json' },
    })
    expect((await parsed(hubYamlText(chart, 'cron'))).settings).toMatchObject({
      gateway: { url: 'http://gateway.openfaas:8080', rebuildInterval: 30_000 },
      log: { level: 'debug', format: 'json' },
    })
    expect(secretsOf(podOf(chart, 'StatefulSet'))).toEqual(BASIC_AUTH)
  })

  test('nats-connector', async () => {
    const chart = await one(api, 'nats', {
      ...KEPT,
      type: 'nats',
      topics: 'nats-test,',
      broker_host: 'nats',
      gateway_url: 'http://gateway.openfaas:8080',
      upstream_timeout: '30s',
      topic_delimiter: '|',
      asynchronous_invocation: true,
      print_response: true,
      print_response_body: true,
      basic_auth: false,
      config: { layer: 'core' },
    })
    expect((await parsed(hubYamlText(chart, 'nats'))).settings).toMatchObject({
      gateway: { url: 'http://gateway.openfaas:8080' },
      defaults: { mode: 'async', timeout: 30_000 },
      topicDelimiter: '|',
      log: { printResponse: true, printResponseBody: true },
    })
    expect(await source(chart, 'nats')).toMatchObject({ topics: ['nats-test'], servers: ['nats'], layer: 'core' })
    expect(secretsOf(podOf(chart, 'StatefulSet'))).toEqual({})
  })

  test('mqtt-connector', async () => {
    const chart = await one(api, 'mqtt', {
      ...KEPT,
      type: 'mqtt',
      topic: 'sample-topic/',
      trimChannelKey: false,
      contentType: 'application/json',
      broker: 'tcp://emitter:8080',
      clientID: 'testgoid',
      authPassword: 'not-in-a-config-map',
      upstream_timeout: '30s',
      rebuild_interval: '15s',
      asyncInvoke: true,
      basic_auth: true,
      gateway_url: 'http://gateway.openfaas:8080',
    })
    expect((await parsed(hubYamlText(chart, 'mqtt'))).settings).toMatchObject({
      gateway: { rebuildInterval: 15_000 },
      defaults: { mode: 'async', timeout: 30_000, contentType: 'application/json' },
    })
    expect(await source(chart, 'mqtt')).toMatchObject({
      url: 'tcp://emitter:8080',
      topics: ['sample-topic/'],
      clientId: 'testgoid',
      trimChannelKey: false,
    })
    expect(hubYamlText(chart, 'mqtt')).toContain('passwordFile: /var/secrets/values/authPassword')
    expect(hubYamlText(chart, 'mqtt')).not.toContain('not-in-a-config-map')
    expect(chart.one('Secret')).toMatchObject({ stringData: { authPassword: 'not-in-a-config-map' } })
    expect(secretsOf(podOf(chart, 'StatefulSet'))).toEqual({ ...BASIC_AUTH, '/var/secrets/values': 'connector-hub-mqtt' }) // prettier-ignore
  })

  test('an empty name of a Secret, as their defaults have it, is none', async () => {
    const entry = { ...KEPT, type: 'rabbitmq', rabbitmqUsernameSecret: '', caSecret: '', basic_auth: false }
    expect(secretsOf(podOf(await one(api, 'rabbitmq', entry), 'StatefulSet'))).toEqual({})
  })

  test('a Secret whose key has another name than theirs', async () => {
    const entry = { type: 'kafka', tls: true, caSecret: { name: 'trust', key: 'ca.crt' } }
    expect(hubYamlText(await one(api, 'kafka', entry), 'kafka')).toContain('caFile: /var/secrets/broker-ca/ca.crt')
  })

  test.each<[string, Values, string]>([
    ['a spelling twice', { gatewayURL: 'http://a', gateway_url: 'http://b' }, 'connectors.kafka.gateway_url: sets gateway.url, which is set already. Keep one of the two.'],
    ['a key of theirs and ours', { topics: 'a', config: { topics: ['b'] } }, 'connectors.kafka.topics: sets topics, which is set already. Keep one of the two.'],
    ['a key that OpenFaaS would ignore', { caSecret: 'ca' }, 'connectors.kafka.caSecret: is not used without tls: true. Set that, or remove the key.'],
    ['credentials without their switch', { brokerUsernameSecret: 'u' }, 'connectors.kafka.brokerUsernameSecret: is not used without saslAuth: true. Set that, or remove the key.'],
    ['an image of theirs', { image: 'kafka-connector:0.7.16' }, "- at '/connectors/kafka': 'allOf' failed\n  - at '/connectors/kafka': additional properties 'image' not allowed"],
    ['a log that cannot be switched off', { sessionLogging: false }, "- at '/connectors/kafka': 'allOf' failed\n  - at '/connectors/kafka/sessionLogging': value must be true"],
  ])('%s is refused', async (_, entry, said) => {
    expect(await refusal(api, 'kafka', { type: 'kafka', ...entry })).toBe(said)
  }) // prettier-ignore

  test.each(SECTIONS)('%s: every spelling of every key reaches the hub', async (type) => {
    const rows = [...chartKeys('all'), ...chartKeys(type)]
    const spellings = rows.flatMap((row) => [row.key, ...row.also].map((key) => ({ ...row, key })))
    // All of them in one release, which is what costs time.
    const connectors = Object.fromEntries(spellings.map((row, index) => [`c${index}`, { ...base(type), ...sample(row.key, row.as, row.with) }])) // prettier-ignore
    const plain = await one(api, 'c', base(type))
    const chart = await rendered(api, { connectors })
    const silent = spellings.filter((row, index) => {
      const its = (at: Rendered, name: string): string => {
        const pods = at.one(workload(type), `connector-hub-${name}`).spec?.['template']
        return (hubYamlText(at, name) + JSON.stringify(pods))
          .replaceAll(/\bc\d*\b/g, 'c')
          .replaceAll(/[0-9a-f]{64}/g, '')
      }
      return its(chart, `c${index}`) === its(plain, 'c') && row.as !== 'basicAuth'
    })
    expect(silent.map(({ key }) => key)).toEqual([])
  })
})

/** The least that the chart takes. */
function base(type: string): Values {
  const hooks = { config: { hooks: [{ name: 'any', scheme: 'none' }] } }
  return { type, ...(type === 'kafka' ? {} : KEPT), ...(type === 'webhook' ? hooks : {}) }
}

function workload(type: string): string {
  return type === 'kafka' ? 'Deployment' : 'StatefulSet'
}

/** A value that is not the default of the field that the key sets. */
function sample(key: string, as: string, switchedBy: string | undefined): Values {
  const [outer = '', inner] = key.split('.')
  const value = VALUES[key] ?? { list: 'a,b', integer: '2', boolean: true, mode: true, level: true, secret: 's', credentials: 's', password: 's', basicAuth: true }[as] // prettier-ignore
  return { [outer]: inner === undefined ? value : { [inner]: value }, ...(switchedBy === undefined ? {} : { [switchedBy]: true }) } // prettier-ignore
}

const DURATION = '17s'
const VALUES: Readonly<Record<string, unknown>> = {
  gatewayURL: 'http://elsewhere:8080',
  gateway_url: 'http://elsewhere:8080',
  rebuildInterval: DURATION,
  rebuild_interval: DURATION,
  rebuildTimeout: DURATION,
  rebuild_timeout: DURATION,
  upstreamTimeout: DURATION,
  upstream_timeout: DURATION,
  visibilityTimeout: DURATION,
  visibility_timeout: DURATION,
  waitTime: DURATION,
  wait_time: DURATION,
  contentType: 'text/csv',
  content_type: 'text/csv',
  topicDelimiter: '|',
  topic_delimiter: '|',
  'logs.format': 'json',
  group: 'g',
  initialOffset: 'newest',
  initial_offset: 'newest',
  maxBytes: '2048',
  max_bytes: 2048,
  broker: 'tcp://b:1883',
  clientID: 'me',
  rabbitmqURL: 'amqp://r',
  rabbitmq_url: 'amqp://r',
  queues: [{ name: 'q' }],
  awsDefaultRegion: 'eu-west-1',
}
