// What the bundled gateway adds to a call: the same function called through it and by itself, in turns, in the same run.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { dump } from 'js-yaml'

import { CLI, Runner, Worker } from './child.ts'
import type { CallsOrder, CallsReport } from './gateway-callers.ts'
import type { TargetOrder, TargetReport } from './target.ts'

export interface GatewayCostOptions {
  /** Of each round. */
  readonly calls: number
  readonly rounds: number
  readonly concurrency: number
  readonly bodyBytes: number
  readonly progress: (text: string) => void
}

export interface Calls {
  readonly callsPerSecond: number
  readonly p50Micros: number
  readonly p99Micros: number
}

export interface GatewayCost {
  /** Of each round. */
  readonly calls: number
  /** The median round of each. */
  readonly direct: Calls
  readonly gateway: Calls
  /** Processor time of the gateway; undefined where the system does not tell. */
  readonly cpuMicrosPerCall: number | undefined
  /** Of the calls a second, through the gateway to direct ones. */
  readonly ratio: number
  /** Time a call takes longer when so many are under way that the machine is busy. */
  readonly addedMicrosPerCall: number
}

const READY = /gateway +(http:\/\/127\.0\.0\.1:\d+)/
const FUNCTION = 'bench'
const START_MS = 30_000

export async function measureGateway(options: GatewayCostOptions): Promise<GatewayCost> {
  const { calls, rounds, concurrency, bodyBytes, progress } = options
  await using target = new Worker<TargetOrder, TargetReport>('target.ts')
  const listening = await target.report()
  if (listening.kind !== 'listening') throw new Error('the target did not start')
  const functionUrl = `http://127.0.0.1:${listening.port}`
  await using started = await startGateway(functionUrl)
  await using callers = new Worker<CallsOrder, CallsReport>('gateway-callers.ts')
  const direct: Calls[] = []
  const gateway: Calls[] = []
  const cpu: number[] = []
  const ended = started.runner.ended()
  // It ends in the end.
  ended.catch(() => {})
  for (let round = 1; round <= rounds; round++) {
    // In turns, and each first in every other round: whatever else the machine does meets both.
    for (const who of round % 2 === 1 ? (['direct', 'gateway'] as const) : (['gateway', 'direct'] as const)) {
      progress(`calls: ${who === 'direct' ? 'direct' : 'through the gateway'}, round ${round} of ${rounds}`)
      const cpuBefore = started.runner.cpuMs()
      const path = who === 'direct' ? '/' : `/function/${FUNCTION}`
      callers.order({ url: who === 'direct' ? functionUrl : started.url, path, calls, concurrency, bodyBytes })
      const { elapsedMs, ...report } = await Promise.race([callers.report(), ended])
      const cpuAfter = started.runner.cpuMs()
      ;(who === 'direct' ? direct : gateway).push({ callsPerSecond: (calls / elapsedMs) * 1000, ...report })
      // The warm-up is in it, too.
      if (who === 'gateway' && cpuBefore !== undefined && cpuAfter !== undefined)
        cpu.push(((cpuAfter - cpuBefore) * 1000) / (calls + Math.ceil(calls / 10)))
    }
  }
  return costOf(calls, median(direct), median(gateway), cpu.sort((left, right) => left - right)[cpu.length >> 1])
}

function costOf(calls: number, direct: Calls, gateway: Calls, cpuMicrosPerCall: number | undefined): GatewayCost {
  return {
    calls,
    direct,
    gateway,
    cpuMicrosPerCall,
    ratio: gateway.callsPerSecond / direct.callsPerSecond,
    addedMicrosPerCall: 1e6 / gateway.callsPerSecond - 1e6 / direct.callsPerSecond,
  }
}

interface Started extends AsyncDisposable {
  readonly runner: Runner
  readonly url: string
}

/** The command as a user runs it, without a line for each call; the function is one that runs elsewhere. */
async function startGateway(functionUrl: string): Promise<Started> {
  const folder = mkdtempSync(join(tmpdir(), 'hub-bench-'))
  const stack = join(folder, 'stack.yaml')
  const deployed = { image: 'bench', skip_build: true, environment: { upstream_url: functionUrl } }
  writeFileSync(stack, dump({ version: '1.0', provider: { name: 'openfaas' }, functions: { [FUNCTION]: deployed } }))
  const where = ['--port', '0', '--state-dir', join(folder, 'state'), '--no-access-log']
  const runner = new Runner([CLI, 'gateway', '--stack', stack, ...where], { NO_COLOR: '1' })
  return {
    runner,
    url: await addressOf(runner),
    async [Symbol.asyncDispose]() {
      await runner[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** @throws Error when it does not say where it listens */
async function addressOf(runner: Runner): Promise<string> {
  const deadline = performance.now() + START_MS
  const ended = runner.ended()
  ended.catch(() => {})
  for (;;) {
    const url = READY.exec(runner.said)?.[1]
    if (url !== undefined && runner.said.includes(`/function/${FUNCTION}`)) return url
    if (performance.now() > deadline) throw new Error(`the gateway did not start:\n${runner.said}`)
    await Promise.race([new Promise((resolve) => void setTimeout(resolve, 20)), ended])
  }
}

function median(rounds: readonly Calls[]): Calls {
  return [...rounds].sort((left, right) => left.callsPerSecond - right.callsPerSecond)[rounds.length >> 1] as Calls
}
