// Events per second through the hub beside the bare loop: same backlog, same functions, same concurrency, in turns.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { dump } from 'js-yaml'

import type { BenchBroker } from './brokers.ts'
import { CLI, Runner, Worker } from './child.ts'
import type { TargetOrder, TargetReport } from './target.ts'

export interface ThroughputOptions {
  readonly events: number
  readonly rounds: number
  readonly concurrency: number
  readonly bodyBytes: number
  readonly progress: (text: string) => void
}

export interface Run {
  readonly eventsPerSecond: number
  /** Processor time of the consumer; undefined where the system does not tell. */
  readonly cpuMicrosPerEvent: number | undefined
}

export interface Throughput {
  readonly title: string
  /** Of each run. */
  readonly events: number
  /** The median run of each. */
  readonly hub: Run
  readonly bare: Run
  /** Hub to bare loop, of the medians. */
  readonly ratio: number
}

const KEYS = 256
/** What the hub has by default: invocations at a time and events held beside them. */
const WINDOW = 1128

export async function measureThroughput(broker: BenchBroker, asked: ThroughputOptions): Promise<Throughput> {
  const options = { ...asked, events: Math.min(asked.events, broker.eventsMax ?? Infinity) }
  await using target = new Worker<TargetOrder, TargetReport>('target.ts')
  const listening = await target.report()
  if (listening.kind !== 'listening') throw new Error('the target did not start')
  const gatewayUrl = `http://127.0.0.1:${listening.port}`
  const hub: Run[] = []
  const bare: Run[] = []
  for (let round = 1; round <= options.rounds; round++) {
    // In turns, and each first in every other round: whatever else the machine does meets both.
    const order = round % 2 === 1 ? (['hub', 'bare'] as const) : (['bare', 'hub'] as const)
    for (const who of order) {
      const name = `bench-${who}-${round}`
      options.progress(`${broker.title}: ${who === 'hub' ? 'hub' : 'bare loop'}, round ${round} of ${options.rounds}`)
      const run = await measure(target, broker, name, options, () =>
        who === 'hub' ? startHub(broker, name, gatewayUrl, options) : startBare(broker, name, gatewayUrl, options),
      )
      ;(who === 'hub' ? hub : bare).push(run)
    }
  }
  const result = { hub: median(hub), bare: median(bare) }
  return {
    title: broker.title,
    events: options.events,
    ...result,
    ratio: result.hub.eventsPerSecond / result.bare.eventsPerSecond,
  }
}

interface Started extends AsyncDisposable {
  readonly runner: Runner
}

async function measure(
  target: Worker<TargetOrder, TargetReport>,
  broker: BenchBroker,
  name: string,
  { events, bodyBytes }: ThroughputOptions,
  start: () => Started,
): Promise<Run> {
  await broker.fill(name, { events, bodyBytes, keys: KEYS })
  target.order({ expect: events, functions: 1, topic: broker.topic })
  await target.report()
  await using started = start()
  const { runner } = started
  await Promise.race([target.report(), runner.ended()])
  const cpuBefore = runner.cpuMs()
  const all = await Promise.race([target.report(), runner.ended()])
  const cpuAfter = runner.cpuMs()
  if (all.kind !== 'all') throw new Error(`the target reported ${all.kind}`)
  return {
    eventsPerSecond: (events / all.elapsedMs) * 1000,
    cpuMicrosPerEvent:
      cpuBefore === undefined || cpuAfter === undefined ? undefined : ((cpuAfter - cpuBefore) * 1000) / events,
  }
}

function startBare(broker: BenchBroker, name: string, gatewayUrl: string, { concurrency }: ThroughputOptions): Started {
  const file = join(import.meta.dirname, broker.bare)
  const runner = new Runner([file, gatewayUrl, String(broker.port), name, String(concurrency), String(WINDOW)])
  return { runner, [Symbol.asyncDispose]: () => runner[Symbol.asyncDispose]() }
}

/** The command as a user runs it. */
function startHub(broker: BenchBroker, name: string, gatewayUrl: string, { concurrency }: ThroughputOptions): Started {
  const folder = mkdtempSync(join(tmpdir(), 'hub-bench-'))
  const file = join(folder, 'hub.yaml')
  const config = {
    gateway: { url: gatewayUrl },
    stateDir: folder,
    admin: { port: 0 },
    defaults: { concurrency },
    connectors: { bench: broker.connector(name) },
  }
  writeFileSync(file, dump(config))
  const runner = new Runner([CLI, 'run', '-c', file])
  return {
    runner,
    async [Symbol.asyncDispose]() {
      await runner[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function median(runs: readonly Run[]): Run {
  return [...runs].sort((left, right) => left.eventsPerSecond - right.eventsPerSecond)[runs.length >> 1] as Run
}
