// RabbitMQ on replicas that take turns because leader is on: for the order of a queue over replicas, or for a stream, of which
// each of them would get everything. Real RabbitMQ, real API server, hubs as processes.

import amqp from 'amqplib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { noRabbit, startRabbit } from '../servers/rabbitmq.ts'
import type { RabbitServer } from '../servers/rabbitmq.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import { TurnsRig, everyFault } from './turns-rig.ts'
import type { Parts, Story } from './turns-rig.ts'

const missing = (await noKubernetes()) ?? (await noRabbit())

describe.skipIf(missing !== undefined)(`RabbitMQ on replicas${missing === undefined ? '' : ` (${missing})`}`, () => {
  let api: KubernetesApi
  let server: RabbitServer
  beforeAll(async () => {
    api = sharedKubernetes()
    server = await startRabbit()
  }, 240_000)
  afterAll(async () => {
    api[Symbol.dispose]()
    await server[Symbol.asyncDispose]()
  })

  /** Every fault while messages are published to a queue of this type, and then until nothing is missing. */
  async function played(type: string, more: Readonly<Record<string, string>>, paceMs?: number): Promise<Story & Parts> {
    await using vhost = await server.vhost()
    await using clients = new AsyncDisposableStack()
    const model = clients.adopt(await amqp.connect(vhost.url), (client) => client.close())
    const channel = await model.createConfirmChannel()
    await channel.assertQueue('orders', { durable: true, arguments: { 'x-queue-type': type } })
    const publish = async (number: number): Promise<void> => {
      channel.sendToQueue('orders', Buffer.from(String(number)), { persistent: true })
      await channel.waitForConfirms()
    }
    const env = { HUB_RABBITMQ_URL: vhost.url, HUB_RABBITMQ_LEADER: 'on', ...more }
    await using rig = await TurnsRig.open(api, { connector: 'rabbitmq', env, topic: 'orders', publish, paceMs })
    const parts = await everyFault(rig)
    return { ...(await rig.end(({ missing: lost }) => lost.length === 0)), ...parts }
  }

  test.for(['classic', 'quorum', 'stream'])(
    'a %s queue is read by one at a time, and nothing is lost when that is killed, frozen or stopped',
    { timeout: 300_000 },
    async (type) => {
      const { killed, frozen, stopped, beforeStop, ...story } = await played(type, {})
      expect(story.holders).toEqual([killed, frozen, stopped, frozen])
      expect(story.invokers).toEqual([killed, frozen, stopped, frozen])
      expect(story.missing).toEqual([])
      // What is stopped in its turn hands over what it has settled.
      expect([...story.repeated.keys()].filter((number) => number > beforeStop)).toEqual([])
    },
  )

  test('a quorum queue with orderingKey keeps its order from one turn to the next', { timeout: 300_000 }, async () => {
    // A function takes 75 ms on average, one message at a time, and a frozen holder is waited for.
    const { killed, frozen, stopped, ...story } = await played(
      'quorum',
      { HUB_RABBITMQ_ORDERING_KEY: 'queue', HUB_RABBITMQ_HEARTBEAT: '5s' },
      250,
    )
    expect(story.holders).toEqual([killed, frozen, stopped, frozen])
    expect(story.invokers).toEqual([killed, frozen, stopped, frozen])
    expect(story.firsts).toEqual(Array.from({ length: story.published }, (_, index) => index + 1))
  })
})
