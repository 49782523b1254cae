// MQTT with one session on replicas that take turns, since two would take it from each other. Real Mosquitto, real API server,
// hubs as processes.

import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { noMosquitto, startMosquitto } from '../servers/mosquitto.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import { TurnsRig, everyFault } from './turns-rig.ts'

const missing = (await noKubernetes()) ?? noMosquitto()

describe.skipIf(missing !== undefined)(`MQTT on replicas${missing === undefined ? '' : ` (${missing})`}`, () => {
  let api: KubernetesApi
  beforeAll(() => (api = sharedKubernetes()))
  afterAll(() => api[Symbol.dispose]())

  test(
    'is read by one at a time, and nothing is lost when that is killed, frozen or stopped',
    { timeout: 300_000 },
    async () => {
      await using broker = await startMosquitto({})
      await using clients = new AsyncDisposableStack()
      const client = clients.adopt(await connectAsync(broker.url, { protocolVersion: 5 }), (one) => one.endAsync())
      const publish = async (number: number): Promise<void> => void (await client.publishAsync(`orders/${number % 32}`, String(number), { qos: 1 })) // prettier-ignore
      const env = { HUB_MQTT_URL: broker.url, HUB_MQTT_QOS: '1' }
      await using rig = await TurnsRig.open(api, { connector: 'mqtt', env, topic: 'orders/#', publish })
      const { killed, frozen, stopped, beforeStop } = await everyFault(rig)
      const story = await rig.end(({ missing: lost }) => lost.length === 0)
      expect(story.holders).toEqual([killed, frozen, stopped, frozen])
      expect(story.invokers).toEqual([killed, frozen, stopped, frozen])
      expect(story.missing).toEqual([])
      // What is stopped in its turn hands over what it has settled.
      expect([...story.repeated.keys()].filter((number) => number > beforeStop)).toEqual([])
    },
  )
})
