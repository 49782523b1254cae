import { mkdtempDisposableSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { checkHubConfig, readHubConfig } from '../../src/hub/config.ts'
import { takesTurns } from '../../src/hub/turn-settings.ts'
import { leaseName } from '../../src/hub/turns.ts'
import { problemText } from '../../src/sdk/index.ts'

async function turnsOf(env: Readonly<Record<string, string>>, type: string): Promise<boolean> {
  const { settings, instances } = await readHubConfig({ env: { HUB_LEADER_ENABLED: 'true', ...env }, types: [type] })
  const [instance] = instances
  if (instance === undefined) throw new Error('no instance')
  return takesTurns(settings, instance)
}

describe('replicas take turns', () => {
  test.each([
    ['cron', {}, true],
    ['mqtt', {}, true],
    ['mqtt', { HUB_MQTT_SHARED_GROUP: 'hub', HUB_MQTT_CLIENT_ID: 'hub-1' }, false],
    ['nats', {}, false],
    ['nats', { HUB_NATS_LAYER: 'core', HUB_NATS_QUEUE_GROUP: 'none' }, true],
    ['sqs', { HUB_SQS_QUEUES: 'https://sqs.eu-west-1.amazonaws.com/1/orders' }, false],
    ['rabbitmq', {}, false],
    ['rabbitmq', { HUB_RABBITMQ_LEADER: 'on' }, true],
    ['cron', { HUB_CRON_LEADER: 'off' }, false],
    ['cron', { HUB_LEADER_ENABLED: 'false' }, false],
  ] as const)('where each would get every event, or where it is said: %s %j', async (type, env, expected) => {
    expect(await turnsOf(env, type)).toBe(expected)
  })

  test('but not where whoever calls chooses one of them', async () => {
    const hooks = [{ name: 'deploys', scheme: 'github', secret: 'not told' }]
    const { settings, instances } = await readHubConfig({
      env: { HUB_LEADER_ENABLED: 'true' },
      overlay: { hooks: { type: 'webhook', hooks } },
    })
    expect(instances.map((instance) => takesTurns(settings, instance))).toEqual([false])
  })

  test('each instance with a Lease of its own, named after the release', async () => {
    const { settings } = await readHubConfig({ env: { HUB_LEADER_LEASE: 'eu-hub' }, types: [] })
    expect(leaseName(settings, 'cron')).toBe('eu-hub-cron')
  })

  test('in the namespace and by the name that the pod is told', async () => {
    const { settings } = await readHubConfig({
      env: { POD_NAMESPACE: 'openfaas', POD_NAME: 'hub-cron-5d4f' },
      types: [],
    })
    expect(settings.leader).toMatchObject({ enabled: false, namespace: 'openfaas', identity: 'hub-cron-5d4f', duration: 15_000, renewDeadline: 10_000, retryPeriod: 2000 }) // prettier-ignore
  })

  test.each([
    [{ HUB_LEADER_RENEW_DEADLINE: '15s' }, 'leader.renewDeadline'],
    [{ HUB_LEADER_DURATION: '5s' }, 'leader.renewDeadline'],
    [{ HUB_LEADER_RETRY_PERIOD: '6s' }, 'leader.retryPeriod'],
    [{ HUB_LEADER_LEASE: 'Hub' }, 'leader.lease'],
  ])('only with times that leave room for each other: %j', async (env, at) => {
    const { findings } = await checkHubConfig({ env, types: [] })
    expect(findings.map(({ path }) => path.join('.'))).toEqual([at])
  })

  test.each([
    [
      { leader: { duration: '30s', retryPeriod: '1s' }, connectors: { cron: { type: 'cron' } } },
      [
        'leader.duration has no effect: set leader.enabled to true, or remove it',
        'leader.retryPeriod has no effect: set leader.enabled to true, or remove it',
      ],
    ],
    [
      { leader: { enabled: true, duration: '30s' }, connectors: { orders: { type: 'kafka' } } },
      ['leader.duration has no effect: no connector has replicas that take turns; remove it, or set leader to on under one of connectors'], // prettier-ignore
    ],
    [
      { connectors: { orders: { type: 'rabbitmq', leader: 'on' } } },
      ['connectors.orders.leader is on, and has no effect without leader.enabled: set that to true, or remove it'],
    ],
    [
      { leader: { enabled: true }, connectors: { events: { type: 'nats', layer: 'core', leader: 'on' } } },
      ['connectors.events.leader must not be on where the broker shares the events and keeps none: a replica that hangs would lose its share. Have them not shared (queueGroup: none, or no sharedGroup), or leave leader out'], // prettier-ignore
    ],
    [
      { leader: { enabled: true }, connectors: { events: { type: 'nats', layer: 'core', queueGroup: 'none', leader: 'on' } } }, // prettier-ignore
      [],
    ],
    [{ leader: { enabled: true, duration: '30s' }, connectors: { orders: { type: 'kafka', leader: 'on' } } }, []],
    [{ leader: { enabled: true, duration: '30s' } }, []],
    [{ leader: { enabled: true }, connectors: { orders: { type: 'kafka' } } }, []],
    [{ connectors: { cron: { type: 'cron', leader: 'off' } } }, []],
  ])('and what has no effect, or would lose events, is refused: %j', async (values, expected) => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'hub-turns-'))
    const file = join(folder.path, 'hub.yaml')
    writeFileSync(file, JSON.stringify(values))
    const { findings } = await checkHubConfig({ file, env: {} })
    expect(findings.map(problemText)).toEqual(expected)
  })

  test('what the environment says of turns may be meant for another process', async () => {
    const { findings } = await checkHubConfig({ env: { HUB_LEADER_DURATION: '30s' }, types: ['kafka'] })
    expect(findings).toEqual([])
  })
})
