// The pages for operators: they name what there is, and their links lead somewhere.

import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { builtInTypes } from '../../src/hub/registry.ts'
import { DEPLOY, SECTIONS, chartKeys } from './chart-keys.ts'

const MOVING = readFileSync(join(DEPLOY, 'moving-from-openfaas.md'), 'utf8')

/** Of the OpenFaaS contract, by chart: values, and after them names of the environment and flags. */
const OF_OPENFAAS: Readonly<Record<string, string>> = {
  'Every chart': 'gatewayURL asyncInvocation contentType rebuildInterval upstreamTimeout printResponse printResponseBody printRequestBody logs.debug logs.format basic_auth basicAuth replicas resources iam.* gateway_url asynchronous_invocation content_type rebuild_interval rebuild_timeout upstream_timeout print_response print_response_body print_request_body print_sync secret_mount_path debug log_encoding system_issuer topic_delimiter',
  'cron-connector': 'gatewayURL asyncInvocation contentType rebuildInterval basicAuth',
  'nats-connector': 'broker_host topics gateway_url upstream_timeout topic_delimiter asynchronous_invocation print_response print_response_body basic_auth',
  'mqtt-connector': 'topic trimChannelKey contentType broker clientID authPassword upstream_timeout rebuild_interval asyncInvoke basic_auth gateway_url -gateway -gw-username -gw-password -broker -topic -user -password -id -qos -clean -trim-channel-key -async-invoke print_response',
  'kafka-connector': 'topics brokerHosts group initialOffset maxBytes upstreamTimeout rebuildInterval asyncInvocation contentType sessionLogging tls saslAuth brokerUsernameSecret brokerPasswordSecret caSecret certSecret keySecret gatewayURL basic_auth broker_hosts broker_host initial_offset max_bytes log_sessions -tls -username-file -password-file -ca-file -cert-file -key-file asyncConcurrency asyncCallbackURL natsURL',
  'rabbitmq-connector': 'rabbitmqURL queues topics name durable nowait autodelete exclusive upstreamTimeout rebuildInterval asyncInvocation contentType gatewayURL basic_auth rabbitmqUsernameSecret rabbitmqPasswordSecret caSecret certSecret keySecret rabbitmq_url -username-file -password-file -ca-file -cert-file -key-file OPEN_FAAS_GW_URL REQ_TIMEOUT TOPIC_MAP_REFRESH_TIME INSECURE_SKIP_VERIFY MAX_CLIENT_PER_HOST TLS_* RMQ_HOST RMQ_PORT RMQ_VHOST RMQ_USER RMQ_PASS PATH_TO_TOPOLOGY',
  'sqs-connector': 'queueURL awsCredentialsSecret awsDefaultRegion visibilityTimeout waitTime maxMessages upstreamTimeout rebuildInterval asyncInvocation contentType gatewayURL basic_auth --queue-url AWS_SHARED_CREDENTIALS_FILE AWS_DEFAULT_REGION --visibility-timeout --wait-time --max-messages',
  'sns-connector': 'callbackURL topicARN awsRegion connectionSecret publication filters wal projectID subscriptions gcpCredentialsSecret',
} // prettier-ignore

function section(title: string): string {
  const text = MOVING.replaceAll(/^```[^]*?^```$/gm, '')
  return text.split(/^## /m).find((part) => part.startsWith(title)) ?? ''
}

describe('moving-from-openfaas.md', () => {
  test.each(Object.entries(OF_OPENFAAS))('%s: every key is there, line by line', (title, keys) => {
    const words = new Set([...section(title).matchAll(/`([^`]+)`/g)].map(([, word]) => word))
    expect(keys.split(' ').filter((key) => !words.has(key))).toEqual([])
  })

  test('every key that the chart translates is there', () => {
    const titles: Readonly<Record<string, string>> = { all: 'Every chart' }
    const silent = ['all', ...SECTIONS].flatMap((type) => {
      const text = section(titles[type] ?? `${type}-connector`)
      return chartKeys(type).flatMap(({ key }) => (text.includes(`\`${key}\``) ? [] : [`${type}: ${key}`]))
    })
    expect(silent).toEqual([])
  })

  test('the table has a section for every connector, and no other', () => {
    expect(new Set(SECTIONS)).toEqual(new Set(builtInTypes()))
  })
})

test('every alert has a line in README.md, and a chapter where that leads', () => {
  const rules = readFileSync(join(DEPLOY, 'prometheus/alerts.yaml'), 'utf8')
  const alerts = [...rules.matchAll(/^ *- alert: (\w+)$/gm)].map(([, alert = '']) => alert)
  const lines = readFileSync(join(DEPLOY, 'README.md'), 'utf8').matchAll(
    /^\| \[(\w+)\]\(prometheus\/README\.md#(\w+)\) \|/gm,
  )
  expect([...lines].map(([, alert, chapter]) => [alert, chapter])).toEqual(alerts.map((alert) => [alert, alert.toLowerCase()])) // prettier-ignore
})

test.each(['README.md', 'moving-from-openfaas.md', 'prometheus/README.md'])(
  'the links of %s lead somewhere',
  (page) => {
    const path = join(DEPLOY, page)
    const text = readFileSync(path, 'utf8')
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) =>
      /^[a-z]+:/.test(link) ? [] : [link],
    )
    const broken = links.filter((link) => {
      const [file = '', anchor] = link.split('#')
      const target = file === '' ? path : join(dirname(path), file)
      if (!existsSync(target)) return true
      if (anchor === undefined) return false
      const headings = [...readFileSync(target, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, title = '']) => title.toLowerCase().replaceAll(/[^\w\- ]/g, '').replaceAll(' ', '-')) // prettier-ignore
      return !headings.includes(anchor)
    })
    expect(broken).toEqual([])
  },
)

test.each(['README.md', 'moving-from-openfaas.md', 'prometheus/README.md'])(
  'no | ends a cell of %s where it is meant as itself',
  (page) => {
    const text = readFileSync(join(DEPLOY, page), 'utf8').replaceAll(/^```[^]*?^```$/gm, '')
    const tables = [...text.matchAll(/(?:^\|.*\n)+/gm)].map(([table]) => table.trimEnd().split('\n'))
    const cells = (row: string): number => row.replaceAll('\\|', '').split('|').length
    expect(tables.flatMap((rows) => rows.filter((row) => cells(row) !== cells(rows[0] ?? '')))).toEqual([])
  },
)
