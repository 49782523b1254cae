// Core NATS without a queue group on replicas that take turns, since each of them would get every message. Real nats-server,
// real API server, hubs as processes.

import { connect } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { noNats, startNats } from '../servers/nats.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import { TurnsRig, everyFault } from './turns-rig.ts'

const missing = (await noKubernetes()) ?? (await noNats())

describe.skipIf(missing !== undefined)(`core NATS on replicas${missing === undefined ? '' : ` (${missing})`}`, () => {
  let api: KubernetesApi
  beforeAll(() => (api = sharedKubernetes()))
  afterAll(() => api[Symbol.dispose]())

  test(
    'is read by one at a time, nothing comes twice, and what is published in a turn arrives',
    { timeout: 300_000 },
    async () => {
      await using server = await startNats({ jetStream: false })
      await using clients = new AsyncDisposableStack()
      const client = clients.adopt(await connect({ servers: server.url }), (one) => one.close())
      const publish = async (number: number): Promise<void> => {
        client.publish('orders.eu', String(number))
        await client.flush()
      }
      const env = { HUB_NATS_SERVERS: server.url, HUB_NATS_LAYER: 'core', HUB_NATS_QUEUE_GROUP: 'none' }
      await using rig = await TurnsRig.open(api, { connector: 'nats', env, topic: 'orders.*', publish })
      const { killed, frozen, stopped } = await everyFault(rig)
      const story = await rig.end()
      expect(story.holders).toEqual([killed, frozen, stopped, frozen])
      expect(story.invokers).toEqual([killed, frozen, stopped, frozen])
      expect(story.repeated).toEqual(new Map())
    },
  )
})
