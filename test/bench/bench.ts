// `npm run bench`: measures the hub and prints a table; with --write the table also goes into the README.

import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'

import {
  startKafkaBench,
  startKafkaJsBench,
  startLoopback,
  startMqtt,
  startNatsJetStream,
  startRabbitMq,
  startSqs,
  startWebhook,
} from './brokers.ts'
import { measureGateway } from './gateway-cost.ts'
import type { GatewayCost } from './gateway-cost.ts'
import { measureMemory } from './memory.ts'
import type { Memory } from './memory.ts'
import { startMinioBench } from './minio-broker.ts'
import { benchMarkdown, writeReadme } from './report.ts'
import { measureRouting } from './routing.ts'
import { measureThroughput } from './throughput.ts'
import type { Throughput } from './throughput.ts'

const HELP = `Usage: npm run bench -- [options]

Measures events per second through the hub beside a bare loop, calls through the
gateway beside direct ones, memory and the cost of routing. Takes about four minutes; let nothing else run meanwhile.

  --events N       events of each throughput run, and calls of each gateway round
                   (default 30000)
  --rounds N       runs of each contestant; the median counts (default 5)
  --only NAME      throughput, gateway, memory or routing
  --connector NAME loopback, mqtt, nats, rabbitmq, sqs, kafka, kafkajs (the Kafka connector
                   beside a loop on kafkajs), webhook or minio: throughput of this one only
  --json           the result as JSON
  --write          put the table into README.md
  -h, --help       this text
`
/** Real servers, by the name of their connector. */
const SERVERS = {
  mqtt: startMqtt,
  nats: startNatsJetStream,
  rabbitmq: startRabbitMq,
  kafka: startKafkaBench,
  kafkajs: startKafkaJsBench,
  sqs: startSqs,
  webhook: startWebhook,
  minio: startMinioBench,
} as const
const SIZES = [10, 10_000]
const BODY_BYTES = 256
const CONCURRENCY = 32

export interface BenchResult {
  readonly date: string
  readonly machine: string
  readonly bodyBytes: number
  readonly concurrency: number
  readonly events: number
  readonly rounds: number
  readonly throughput: readonly Throughput[]
  /** Undefined: not measured. */
  readonly gateway: GatewayCost | undefined
  readonly memory: readonly Memory[]
  readonly routing: readonly ReturnType<typeof measureRouting>[]
}

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '30000' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string' },
    connector: { type: 'string' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

function wholeNumber(name: 'events' | 'rounds'): number {
  const value = Number(values[name])
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} must be a whole number from 1`)
  return value
}

function oneOf(name: 'only' | 'connector', known: readonly string[]): string | undefined {
  const value = values[name]
  if (value !== undefined && !known.includes(value)) throw new Error(`--${name} must be one of ${known.join(', ')}`)
  return value
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`)
}

async function main(): Promise<void> {
  const events = wholeNumber('events')
  const rounds = wholeNumber('rounds')
  const only = oneOf('only', ['throughput', 'gateway', 'memory', 'routing'])
  const connector = oneOf('connector', ['loopback', ...Object.keys(SERVERS)])
  const throughput: Throughput[] = []
  const memory: Memory[] = []
  await using loopback = await startLoopback()
  const options = { events, rounds, concurrency: CONCURRENCY, bodyBytes: BODY_BYTES, progress }
  if (only === undefined || only === 'throughput') {
    if (connector === undefined || connector === 'loopback') throughput.push(await measureThroughput(loopback, options))
    for (const [name, start] of Object.entries(SERVERS)) {
      if (connector !== undefined && connector !== name) continue
      const started = await start()
      if (typeof started === 'string') {
        progress(`${name} is left out: ${started}`)
        continue
      }
      await using broker = started
      throughput.push(await measureThroughput(broker, options))
    }
  }
  const gateway =
    only === 'gateway' || (only === undefined && connector === undefined)
      ? await measureGateway({ ...options, calls: events })
      : undefined
  if (only === undefined || only === 'memory')
    for (const functions of SIZES) {
      progress(`memory with ${functions} functions`)
      memory.push(await measureMemory(loopback, functions))
    }
  if (only === undefined || only === 'routing') progress('routing')
  const routing = only === undefined || only === 'routing' ? SIZES.map(measureRouting) : []
  const result: BenchResult = {
    date: new Date().toISOString().slice(0, 10),
    machine: machine(),
    bodyBytes: BODY_BYTES,
    concurrency: CONCURRENCY,
    events,
    rounds,
    throughput,
    gateway,
    memory,
    routing,
  }
  console.log(values.json ? JSON.stringify(result, null, 2) : benchMarkdown(result))
  if (values.write) {
    if (only !== undefined || connector !== undefined || throughput.length <= Object.keys(SERVERS).length)
      throw new Error('--write needs a complete run')
    writeReadme(result)
    progress('README.md has the table')
  }
}

function machine(): string {
  const [first, ...others] = cpus()
  const model = first?.model.replace(/\s+/g, ' ').trim() ?? ''
  const named = model === '' || model === 'unknown' ? '' : ` (${model})`
  return `${others.length + 1} cores${named}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform}, Node ${process.versions.node}`
}

if (values.help) process.stdout.write(HELP)
else
  await main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  })
