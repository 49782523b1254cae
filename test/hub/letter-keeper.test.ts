// Dead letters that another connector's broker or a function keeps: what may be configured, every broker that can keep them,
// and a hub that does so.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { connectAsync } from 'mqtt'
import { afterAll, describe, expect, test } from 'vitest'

import { startKafkaBroker } from '../../connectors/kafka/broker.ts'
import startEmbedded from '../../connectors/mqtt/embedded.ts'
import { startNatsBroker } from '../../connectors/nats/broker.ts'
import { sharedRabbit, startRabbitBroker } from '../../connectors/rabbitmq/broker.ts'
import { sharedElasticMq, startSqsBroker } from '../../connectors/sqs/broker.ts'
import { checkHubConfig } from '../../src/hub/config.ts'
import { loadConnector } from '../../src/hub/registry.ts'
import { TopicLetters } from '../../src/hub/topic-letters.ts'
import type { DeadLetter, Emitter, EventMessage, OutgoingEvent } from '../../src/sdk/index.ts'
import { cli } from '../cli/cli.ts'
import { BrokerUnavailable } from '../conformance/contract.ts'
import type { StartBroker, TestBroker } from '../conformance/contract.ts'
import { toolsOf, withLetters } from '../tools-rig.ts'
import { Gateway, runHub, until } from './rig.ts'

const folder = mkdtempSync(join(tmpdir(), 'hub-letters-'))
const rabbit = sharedRabbit()
const elastic = sharedElasticMq()

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  for (const shared of [rabbit, elastic]) await (await shared().catch(() => undefined))?.[Symbol.asyncDispose]()
})

const STARTS: Readonly<Record<string, StartBroker>> = {
  kafka: startKafkaBroker,
  rabbitmq: () => startRabbitBroker(rabbit, { type: 'classic', letters: true }),
  sqs: () => startSqsBroker(elastic, { fifo: false, letters: true }),
  nats: () => startNatsBroker('jetstream'),
}

const KEEPERS = ['kafka', 'rabbitmq', 'sqs', 'nats']

async function brokerOf(name: string, skip: (reason: string) => never): Promise<TestBroker> {
  return await (STARTS[name] as StartBroker)().catch((error: unknown) => {
    if (error instanceof BrokerUnavailable) return skip(error.message)
    throw error
  })
}

function event(id: string, more: Partial<EventMessage>): EventMessage {
  return { id, source: 'mqtt', topic: 'alarms/Küche', body: Buffer.from(id), headers: { 'X-Mqtt-Qos': '1' }, attempt: 1, timestampMs: 1_767_312_000_000, ...more } // prettier-ignore
}

const LETTERS: readonly DeadLetter[] = [
  event('text', { contentType: 'text/plain', orderingKey: 'alarms/Küche' }),
  event('binary', { body: Buffer.from([0, 255, 1, 254]), headers: {} }),
  event('empty', { body: Buffer.alloc(0), path: '/v1?a=b' }),
  event('headers', { headers: { 'X-A': '1', 'X-B': '2', 'X-C': '3', 'X-D': '4' }, moreHeaders: ['X-A', '5'] }),
].map((message) => ({ message, function: 'siren.prod', reason: 'answered 500:\r\nÄrger ', status: 500, attempts: 3, failedAtMs: Date.UTC(2026, 0, 2) })) // prettier-ignore

const plain = ({ message, ...letter }: DeadLetter): unknown => ({ ...letter, reason: letter.reason.replaceAll(/\s+/g, ' ').trim(), message: { ...message, body: [...message.body] } }) // prettier-ignore

describe.each(KEEPERS.slice(0, 3))('%s', (name) => {
  test('keeps letters of another broker, and gives them back as they were', { timeout: 180_000 }, async (context) => {
    await using broker = await brokerOf(name, context.skip)
    const topic = await broker.topic('elsewhere')
    const tools = await toolsOf(await loadConnector(name), broker.config({ run: 'letters', replica: 0 }))
    await using sink = new TopicLetters({ connector: name, topic, emitter: (signal) => tools.emitter?.(signal) as Promise<Emitter> }) // prettier-ignore
    await Promise.all(LETTERS.map((letter) => sink.put(letter)))
    const read = await withLetters(tools, { places: [topic] }, (letters) => letters.map(({ letter }) => letter))
    const byId = (left: DeadLetter, right: DeadLetter): number => (left.message.id < right.message.id ? -1 : 1)
    expect(read.toSorted(byId).map(plain)).toEqual(LETTERS.toSorted(byId).map(plain))
  })
})

describe.each(KEEPERS)('a hub whose letters %s keeps', (name) => {
  test('acknowledges what its functions refuse once they are there', { timeout: 180_000 }, async (context) => {
    await using broker = await brokerOf(name, context.skip)
    const topic = await broker.topic('elsewhere')
    await using mqtt = await startEmbedded({ port: 0 })
    await using gateway = await new Gateway().start()
    let status = 400
    // Also what keeps letters can be read like any topic.
    gateway.functions = { siren: { 'topic.mqtt': 'alarms/#' }, ...(name === 'nats' ? { reader: { 'topic.keeper': topic } } : {}) } // prettier-ignore
    gateway.answer = (asked) => (asked === 'siren' ? { status, headers: {}, body: '' } : undefined)
    const connectors = { mqtt: { type: 'mqtt', ...mqtt.config }, keeper: { type: name, ...broker.config({ run: 'letters', replica: 0 }) } } // prettier-ignore
    const env = { HUB_DEAD_LETTERS_CONNECTOR: 'keeper', HUB_DEAD_LETTERS_TOPIC: topic }
    {
      await using running = await runHub(gateway.url, env, { overlay: connectors })
      await until(() => running.hub.status.every(({ state }) => state === 'active'), 'the hub reads')
      const client = await connectAsync(mqtt.address)
      await client.publishAsync('alarms/1', 'fire', { qos: 1 })
      await client.endAsync()
      await until(() => running.hub.ledgers.get('mqtt')?.counts.deadLettered === 1, 'it is a dead letter')
      expect(running.hub.deadLetters.count()).toBe(0)
      expect(running.log.join('\n')).toContain(`${topic} of keeper`)
      if (name === 'nats') await until(() => gateway.invoked.some(({ function: asked, body }) => asked === 'reader' && body === 'fire'), 'a function reads the letter') // prettier-ignore
    }
    if (name === 'nats') return
    status = 200
    gateway.invoked.length = 0
    const config = join(folder, `${name}.yaml`)
    writeFileSync(config, JSON.stringify({ gateway: { url: gateway.url }, stateDir: join(folder, name), connectors, deadLetters: { connector: 'keeper', topic } })) // prettier-ignore
    const box = (...args: readonly string[]) => cli(['dead-letters', ...args, '-c', config, '--broker', 'keeper', '--place', topic], { cwd: folder }) // prettier-ignore
    const told = await cli(['dead-letters', 'list', '-c', config], { cwd: folder })
    expect(told.stdout).toContain(`new ones go to keeper: --broker keeper --place ${topic}\n`)
    expect((await box('list')).stdout).toMatch(/siren\.openfaas-fn +mqtt alarms\/1 .*400/)
    expect(await box('redrive', '--all')).toMatchObject({ code: 0, stdout: expect.stringContaining('1 done, 0 failed') as string }) // prettier-ignore
    expect(gateway.invoked).toEqual([{ function: 'siren', body: 'fire' }])
  })
})

test('a hub whose function keeps the letters waits for it, and loses nothing', async () => {
  await using mqtt = await startEmbedded({ port: 0 })
  await using gateway = await new Gateway().start()
  gateway.functions = { siren: { topic: 'alarms/#' } }
  let keeps = 503
  gateway.answer = (name) => ({ status: name === 'keep' ? keeps : 400, headers: {}, body: '' })
  await using running = await runHub(gateway.url, { HUB_DEAD_LETTERS_FUNCTION: 'keep' }, { overlay: { mqtt: { type: 'mqtt', ...mqtt.config } } }) // prettier-ignore
  await until(() => running.hub.status.every(({ state }) => state === 'active'), 'the hub reads')
  const client = await connectAsync(mqtt.address)
  await client.publishAsync('alarms/1', 'fire', { qos: 1 })
  await client.endAsync()
  const ledger = running.hub.ledgers.get('mqtt')
  await until(() => running.log.some((line) => line.includes('keep, which takes the dead letters, answered 503')), 'the hub says why it waits') // prettier-ignore
  expect(ledger?.counts).toMatchObject({ deadLettered: 0 })
  expect(running.hub.open.deliveries).toHaveLength(1)
  keeps = 200
  await until(() => ledger?.counts.deadLettered === 1, 'it is a dead letter')
  expect(gateway.invoked.filter(({ function: name }) => name === 'siren')).toHaveLength(1)
  expect(gateway.invoked.at(-1)).toEqual({ function: 'keep', body: 'fire' })
})

test('a broker that has gone is connected to anew', async () => {
  const sent: OutgoingEvent[] = []
  let opened = 0
  const emitter = (): Promise<Emitter> => {
    opened += 1
    const isBroken = opened === 1
    return Promise.resolve({
      place: 'here',
      inFlightMax: 1,
      emit: (out) => (isBroken ? Promise.reject(new Error('reset')) : Promise.resolve(String(sent.push(out)))),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    })
  }
  await using sink = new TopicLetters({ connector: 'kafka', topic: 'letters', emitter })
  const [letter] = LETTERS as [DeadLetter]
  await expect(sink.put(letter)).rejects.toMatchObject({ code: 'HUB_DEAD_LETTER_FAILED', message: 'kafka, topic letters, which takes the dead letters: reset' }) // prettier-ignore
  await sink.put(letter)
  expect([opened, sent.length]).toEqual([2, 1])
})

test.each([
  [{ function: 'a', connector: 'kafka', topic: 't' }, 'deadLetters.function', 'excludes connector: name one of them'],
  [{ topic: 't' }, 'deadLetters.topic', 'is of no connector: add connector'],
  [{ connector: 'kafka' }, 'deadLetters.connector', 'needs a topic beside it'],
  [{ connector: 'mqtt', topic: 't' }, 'deadLetters.connector', 'cannot be mqtt: it does not confirm events as kept, with headers beside them; use Kafka, NATS JetStream, RabbitMQ or SQS'], // prettier-ignore
  [{ connector: 'core', topic: 't' }, 'deadLetters.connector', 'cannot be core: it does not confirm events as kept, with headers beside them; use Kafka, NATS JetStream, RabbitMQ or SQS'], // prettier-ignore
  [{ connector: 'elsewhere', topic: 't' }, 'deadLetters.connector', 'must be an instance under connectors, of Kafka, NATS JetStream, RabbitMQ or SQS'], // prettier-ignore
  [{ function: '../system' }, 'deadLetters.function', 'must be the name of a function, with its namespace: keep-letters.openfaas-fn'], // prettier-ignore
])('%j is refused', async (deadLetters, path, message) => {
  const file = join(folder, 'refused.yaml')
  writeFileSync(file, JSON.stringify({ deadLetters, connectors: { mqtt: { type: 'mqtt' }, core: { type: 'nats', layer: 'core' } } })) // prettier-ignore
  const { config, findings } = await checkHubConfig({ file, env: {} })
  expect(config).toBeUndefined()
  expect(findings.map((one) => [one.path.join('.'), one.message])).toEqual([[path, expect.stringContaining(message)]])
  expect(findings[0]).toMatchObject({ line: 1 })
})

test('the keeper need not run here, and may come from the environment alone', async () => {
  const { config, findings } = await checkHubConfig({ env: { HUB_DEAD_LETTERS_CONNECTOR: 'kafka', HUB_DEAD_LETTERS_TOPIC: 'letters', HUB_KAFKA_BROKERS: 'kafka:9092' }, types: ['cron'] }) // prettier-ignore
  expect(findings).toEqual([])
  expect(config?.instances.map(({ name }) => name)).toEqual(['cron'])
  expect(config?.letterKeeper).toMatchObject({ name: 'kafka', source: { brokers: ['kafka:9092'] } })
})
