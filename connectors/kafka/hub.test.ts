// Kafka through the whole hub: what a person sees of it in the metrics.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Gateway, runHub } from '../../test/hub/rig.ts'
import type { RunningHub } from '../../test/hub/rig.ts'
import { noKafka } from '../../test/servers/kafka.ts'
import { KafkaRig } from './rig.ts'

const missing = await noKafka()
const EVENTS = 10

async function metric({ admin }: RunningHub, name: string, label: string): Promise<number | undefined> {
  const text = await (await admin('/metrics')).text()
  const line = text.split('\n').find((one) => one.startsWith(`connector_hub_${name}{`) && one.includes(label))
  return line === undefined ? undefined : Number(line.split(' ').at(-1))
}

describe.skipIf(missing !== undefined)('a hub on Kafka', () => {
  let kafka: KafkaRig
  beforeAll(async () => {
    kafka = await KafkaRig.start()
  })
  afterAll(() => kafka[Symbol.asyncDispose]())

  test('shows the lag of a topic, and that of each function by what it has settled itself', async () => {
    const topic = await kafka.topic()
    await kafka.send(topic, ...Array.from({ length: EVENTS }, (_, index) => ({ value: `${index}` })))
    await using gateway = await new Gateway().start()
    gateway.functions = { quick: { topic }, waits: { topic, 'connector.concurrency': '2' } }
    const env = { broker_hosts: kafka.server.bootstrap, group: 'lag-of-functions', HUB_KAFKA_COMMIT_INTERVAL: '5ms' }
    await using running = await runHub(gateway.url, env, { types: ['kafka'] })
    await expect.poll(() => gateway.invoked.filter(({ function: name }) => name === 'quick').length, { timeout: 20_000 }).toBe(EVENTS) // prettier-ignore
    await expect.poll(() => metric(running, 'function_lag_events', 'quick')).toBe(0)
    expect(await metric(running, 'function_lag_events', 'waits')).toBe(EVENTS)
    expect(await metric(running, 'lag_events', topic)).toBe(EVENTS)
    expect(await metric(running, 'lag_seconds', topic)).toBeGreaterThan(0)
    expect(await metric(running, 'kafka_partitions_assigned', topic)).toBe(1)
    for (let answered = 0; answered < EVENTS; answered++) {
      await expect.poll(() => gateway.waiting.length).toBeGreaterThan(answered)
      gateway.waiting[answered]?.end()
    }
    await expect.poll(() => metric(running, 'lag_events', topic)).toBe(0)
    expect(await metric(running, 'function_lag_seconds', 'waits')).toBe(0)
    expect(await metric(running, 'lag_seconds', topic)).toBe(0)
  })
})
