// `emit`, `dry-run`, `doctor` and `dead-letters --broker` as processes against the real broker of each connector: what one
// publishes the other sees, twice, and then a hub gets it; what a function refused is sent again to it alone.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, describe, expect, test } from 'vitest'

import { startKafkaBroker } from '../../connectors/kafka/broker.ts'
import { startMinioBroker } from '../../connectors/minio/broker.ts'
import { startMosquittoBroker } from '../../connectors/mqtt/broker.ts'
import { startNatsBroker } from '../../connectors/nats/broker.ts'
import { sharedRabbit, startRabbitBroker } from '../../connectors/rabbitmq/broker.ts'
import { sharedElasticMq, startSqsBroker } from '../../connectors/sqs/broker.ts'
import { BrokerUnavailable } from '../conformance/contract.ts'
import type { StartBroker, TestBroker } from '../conformance/contract.ts'
import { Gateway, runHub, until } from '../hub/rig.ts'
import { CliProcess, cli } from './cli.ts'
import type { Ended } from './cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'hub-brokers-'))
const rabbit = sharedRabbit()
const elastic = sharedElasticMq()

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  for (const shared of [rabbit, elastic]) await (await shared().catch(() => undefined))?.[Symbol.asyncDispose]()
})

interface Case {
  readonly start: StartBroker
  /** What waits is seen; else only what comes while somebody looks. */
  readonly waits: boolean
  /** Of events that can carry them. */
  readonly headers?: readonly string[]
  readonly key?: string
  /** Where its dead letters are, when the command has to be told. */
  readonly letters?: (topic: string) => readonly string[]
}

const CASES: Readonly<Record<string, Case>> = {
  kafka: { start: startKafkaBroker, waits: true, headers: ['--header', 'tenant=a'], key: 'k', letters: () => [] },
  nats: { start: () => startNatsBroker('jetstream'), waits: true, headers: ['--header', 'tenant=a'] },
  'nats core': { start: () => startNatsBroker('core'), waits: false, headers: ['--header', 'tenant=a'] },
  mqtt: { start: () => startMosquittoBroker(1, true), waits: false, headers: ['--header', 'tenant=a'] },
  rabbitmq: { start: () => startRabbitBroker(rabbit, { type: 'classic', letters: true }), waits: true, headers: ['--header', 'tenant=a'], letters: (topic) => ['--place', `letters.${topic}`] }, // prettier-ignore
  sqs: { start: () => startSqsBroker(elastic, { fifo: true, letters: true }), waits: true, headers: ['--header', 'tenant=a'], key: 'k', letters: () => [] }, // prettier-ignore
  // The name begins as the first of the broker's targets wants it.
  minio: { start: () => startMinioBroker('settled'), waits: false, key: 't0.object' },
}

/** The broker of one case, with a configuration and a function for one topic of it. */
class Stage implements AsyncDisposable {
  readonly broker: TestBroker
  readonly topic: string
  readonly gateway: Gateway
  readonly #config: string
  readonly #overlay: Readonly<Record<string, Readonly<Record<string, unknown>>>>

  private constructor(name: string, broker: TestBroker, topic: string, gateway: Gateway) {
    this.broker = broker
    this.topic = topic
    this.gateway = gateway
    const type = name.split(' ')[0] as string
    const source = { ...broker.config({ run: `cli-${type}`, replica: 0 }), type }
    this.#overlay = { source }
    this.#config = join(folder, `${name}.yaml`)
    const stateDir = join(folder, name)
    writeFileSync(this.#config, JSON.stringify({ gateway: { url: gateway.url }, stateDir, connectors: { source } }))
  }

  static async open(name: string, start: StartBroker): Promise<Stage> {
    const broker = await start()
    const topic = await broker.topic('cli')
    const gateway = await new Gateway().start()
    gateway.functions = { reader: { topic, 'com.openfaas.retry.attempts': '0' } }
    return new Stage(name, broker, topic, gateway)
  }

  run(...args: readonly string[]): Promise<Ended> {
    return cli([...args, '-c', this.#config], { cwd: folder })
  }

  follow(...args: readonly string[]): CliProcess {
    return new CliProcess([...args, '-c', this.#config], { cwd: folder })
  }

  hub(): ReturnType<typeof runHub> {
    return runHub(this.gateway.url, {}, { overlay: this.#overlay })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway[Symbol.asyncDispose]()
    await this.broker[Symbol.asyncDispose]()
  }
}

/** Events of a dry run as JSON: all of its lines but the first and the last. */
function eventsOf({
  stdout,
}: Ended): readonly { readonly body: string; readonly topic: string; readonly functions: readonly unknown[] }[] {
  const lines = stdout.trim().split('\n').map((line) => JSON.parse(line) as never) // prettier-ignore
  return lines.slice(1, -1)
}

describe.each(Object.entries(CASES))('%s', (name, { start, waits, headers = [], key }) => {
  test('what is published is seen, again and again, and then a hub has it', { timeout: 180_000 }, async (context) => {
    const stage = await Stage.open(name, start).catch((error: unknown) => {
      if (error instanceof BrokerUnavailable) return context.skip(error.message)
      throw error
    })
    await using open = stage
    const { topic, gateway } = open
    const checked = await open.run('doctor')
    expect([checked.code, checked.stdout]).toEqual([0, expect.stringContaining('ok       source')])

    // MinIO's events are about objects, so their bodies are its own.
    const isBody = (body: string): boolean =>
      name === 'minio' ? body.includes('s3:ObjectCreated:Put') : body === 'hello'
    const keys = key === undefined ? [] : ['--key', key]
    const publish = (): Promise<Ended> => open.run('emit', 'source', topic, '--data', 'hello', '--count', '3', ...headers, ...keys) // prettier-ignore
    const look = async (): Promise<Ended> => {
      if (waits) return await open.run('dry-run', 'source', '--count', '3', '--json')
      await using looking = open.follow('dry-run', 'source', '--count', '3', '--json')
      await looking.says(/"means"/)
      await publish()
      return await looking.ended()
    }
    const published = await publish()
    expect([published.code, published.stderr]).toEqual([0, ''])
    expect(published.stdout).toMatch(/^3 events taken by \S/)
    for (let times = 0; times < 2; times += 1) {
      const seen = await look()
      expect([seen.code, eventsOf(seen).length]).toEqual([0, 3])
      for (const event of eventsOf(seen))
        expect(event).toMatchObject({ connector: 'source', functions: [{ function: 'reader.openfaas-fn', verdict: 'invoked', request: { method: 'POST', headers: { 'X-Topic': event.topic } } }] }) // prettier-ignore
      expect(eventsOf(seen).every(({ body }) => isBody(Buffer.from(body, 'base64').toString()))).toBe(true)
    }
    expect(gateway.invoked).toEqual([])
    await using running = await open.hub()
    await until(() => running.hub.status.every(({ state }) => state === 'active'), 'the hub reads')
    if (!waits) await publish()
    await until(() => gateway.invoked.length >= 3, 'the hub has them')
    expect(gateway.invoked.every(({ body }) => isBody(body))).toBe(true)
  })
})

const WITH_LETTERS = Object.entries(CASES).filter(([, { letters }]) => letters !== undefined)

describe.each(WITH_LETTERS)('%s', (name, { start, headers = [], key, letters }) => {
  test('what a function refused is listed, sent again to it, and gone', { timeout: 180_000 }, async (context) => {
    const stage = await Stage.open(`${name} letters`, start).catch((error: unknown) => {
      if (error instanceof BrokerUnavailable) return context.skip(error.message)
      throw error
    })
    await using open = stage
    const { topic, gateway } = open
    const keys = key === undefined ? [] : ['--key', key]
    let status = 400
    gateway.answer = () => ({ status, headers: {}, body: '' })
    for (const body of ['one', 'two', 'three']) expect((await open.run('emit', 'source', topic, '--data', body, ...headers, ...keys)).code).toBe(0) // prettier-ignore
    {
      await using running = await open.hub()
      await until(() => running.hub.ledgers.get('source')?.counts.deadLettered === 3, 'all are dead letters')
    }
    const place = letters?.(topic) ?? []
    const box = (...args: readonly string[]): Promise<Ended> => open.run('dead-letters', ...args, '--broker', 'source', ...place) // prettier-ignore
    const list = async (): Promise<readonly { id: string; topic: string; function: string }[]> => {
      const { stdout } = await box('list', '--json')
      return (JSON.parse(stdout) as { letters: { id: string; topic: string; function: string }[] }).letters
    }
    const listed = await box('list')
    expect(listed.stdout).toMatch(/reader\.openfaas-fn +source \S+ +.*400/)
    expect(listed.stdout).toContain('\n3 dead letters\n')
    const all = await list()
    expect(all.map((letter) => [letter.topic, letter.function])).toEqual(Array.from({ length: 3 }, () => [topic, 'reader.openfaas-fn'])) // prettier-ignore
    const idOf = new Map<string, string>()
    // In which order a place has them is its own affair.
    for (const { id } of all) idOf.set(String((await box('show', id)).stdout.trim().split('\n').at(-1)), id)
    expect(new Set(idOf.keys())).toEqual(new Set(['one', 'two', 'three']))
    expect((await box('redrive', '--all', '--dry-run')).stdout).toBe('3 dead letters would be sent again\n')
    expect(await list()).toHaveLength(3)

    gateway.invoked.length = 0
    status = 503
    expect((await box('redrive', String(idOf.get('one')))).code).toBe(1)
    expect(await list()).toHaveLength(3)
    status = 200
    const sent = await box('redrive', String(idOf.get('two')), '--json')
    expect([sent.code, sent.stdout.trim().split('\n').at(-1)]).toEqual([0, '{"done":1,"failed":0}'])
    expect(gateway.invoked.map(({ function: to, body }) => [to, body])).toEqual([['reader', 'one'], ['reader', 'two']]) // prettier-ignore
    expect((await list()).map(({ id }) => id)).toHaveLength(2)
    const purged = await box('purge', '--all')
    expect([purged.code, purged.stdout]).toEqual([0, expect.stringContaining('2 dead letters deleted')])
    expect(await list()).toEqual([])
  })
})
