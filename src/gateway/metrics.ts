// The gateway's Prometheus metrics under OpenFaaS's names (OpenFaaS contract, metrics), in a registry of their own. Labels are
// names of deployed functions and patterns of routes, never what a caller makes up.

import { Counter, Gauge, Histogram, Registry } from '@prometheus-io/client'

import type { DeployedFunction } from './deployed-function.ts'
import type { FunctionsListener } from './functions.ts'

/** As a scrape finds it. */
export type ScrapedFunction = Pick<DeployedFunction, 'fullName' | 'inFlight' | 'scale'> & {
  readonly replicas: Pick<DeployedFunction['replicas'], 'replicas' | 'availableReplicas'>
}

type Labels = Readonly<Record<string, string | number>>

/** Of one function, while it is deployed: plain numbers, which a scrape reads. */
interface FunctionCounts {
  started: number
  finished: number
  readonly byCode: Map<number, CodeCounts>
}

interface CodeCounts {
  count: number
  readonly labels: { readonly function_name: string; readonly code: number }
  readonly seconds: { observe(seconds: number): void }
}

/** A start takes from milliseconds to the 100 seconds that are waited for it. */
const COLD_START_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 100]

export class GatewayMetrics implements FunctionsListener {
  readonly registry = new Registry()
  readonly #functions: () => Iterable<ScrapedFunction>
  readonly #counts = new Map<string, FunctionCounts>()
  readonly #seconds = this.#histogram('gateway_functions_seconds', 'Function time taken.', ['function_name', 'code'])
  readonly #coldStart = this.#histogram(
    'gateway_function_cold_start_seconds',
    'From the call that found a function at zero replicas to its first replica that takes calls.',
    ['function_name'],
    COLD_START_BUCKETS,
  )
  readonly #requests: Counter<string>
  readonly #requestSeconds: Histogram<string>

  /** @param functions asked at each scrape */
  constructor(functions: () => Iterable<ScrapedFunction>) {
    this.#functions = functions
    this.#counters()
    this.#gauges()
    const labels = ['method', 'path', 'status']
    this.#requests = new Counter(this.#named('http_requests_total', 'Requests to the routes of /system.', labels))
    this.#requestSeconds = this.#histogram('http_request_duration_seconds', 'Their duration.', labels)
  }

  deployed(name: string): void {
    if (!this.#counts.has(name)) this.#counts.set(name, { started: 0, finished: 0, byCode: new Map() })
  }

  /** Its series go with it; calls that are still running are counted nowhere. */
  removed(name: string): void {
    for (const { labels } of this.#counts.get(name)?.byCode.values() ?? []) this.#seconds.remove(labels)
    this.#counts.delete(name)
    this.#coldStart.remove({ function_name: name })
  }

  coldStart(name: string, seconds: number): void {
    if (this.#counts.has(name)) this.#coldStart.observe({ function_name: name }, seconds)
  }

  /** @param name full */
  started(name: string): void {
    const counts = this.#counts.get(name)
    if (counts !== undefined) counts.started += 1
  }

  /** @param name full */
  finished(name: string, code: number, seconds: number): void {
    const counts = this.#counts.get(name)
    if (counts === undefined) return
    let byCode = counts.byCode.get(code)
    if (byCode === undefined) {
      const labels = { function_name: name, code }
      byCode = { count: 0, labels, seconds: this.#seconds.labels(labels) }
      counts.byCode.set(code, byCode)
    }
    counts.finished += 1
    byCode.count += 1
    byCode.seconds.observe(seconds)
  }

  /** Finished, since the gateway was started. @param name full */
  invocations(name: string): number {
    return this.#counts.get(name)?.finished ?? 0
  }

  /** A request to a route of `/system`. @param path the route's pattern, not what was asked for: `/system/function/{name}` */
  request(method: string, path: string, status: number, seconds: number): void {
    this.#requests.inc({ method, path, status })
    this.#requestSeconds.observe({ method, path, status }, seconds)
  }

  #counters(): void {
    const started = (): Iterable<readonly [Labels, number]> => this.#ofEach(({ started: count }) => count)
    this.#read(Counter, 'gateway_function_invocation_started', 'Function invocations started.', started)
    this.#read(Counter, 'gateway_invocation_function_started', 'Function invocations started.', started)
    this.#read(
      Counter,
      'gateway_function_invocation_total',
      'Function invocations by status.',
      () =>
        Array.from(this.#counts.values(), ({ byCode }) =>
          Array.from(byCode.values(), ({ labels, count }) => [labels, count] as const),
        ).flat(),
      ['function_name', 'code'],
    )
  }

  #gauges(): void {
    this.#gauge('gateway_service_count', 'Replicas that are wanted.', ({ replicas }) => replicas.replicas)
    this.#gauge(
      'gateway_service_ready_count',
      'Replicas that take calls.',
      ({ replicas }) => replicas.availableReplicas,
    )
    this.#gauge('gateway_service_min', 'Replicas there are at least.', ({ scale }) => scale.min)
    this.#gauge('gateway_invocation_function_inflight', 'Function invocations running.', ({ inFlight }) => inFlight)
    this.#read(
      Gauge,
      'gateway_service_target_load',
      'Load of one replica for which the function is scaled, where it is.',
      () => this.#targetLoads(),
      ['function_name', 'scaling_type'],
    )
  }

  *#targetLoads(): Iterable<readonly [Labels, number]> {
    for (const { fullName, scale } of this.#functions())
      if (scale.load !== undefined)
        yield [{ function_name: fullName, scaling_type: scale.load.type }, scale.load.target]
  }

  *#ofEach(read: (counts: FunctionCounts) => number): Iterable<readonly [Labels, number]> {
    for (const [name, counts] of this.#counts) yield [{ function_name: name }, read(counts)]
  }

  #gauge(name: string, help: string, read: (scraped: ScrapedFunction) => number): void {
    this.#read(Gauge, name, help, () =>
      Array.from(this.#functions(), (scraped) => [{ function_name: scraped.fullName }, read(scraped)] as const),
    )
  }

  /** Its samples are read at each scrape. */
  #read(
    Kind: typeof Gauge | typeof Counter,
    name: string,
    help: string,
    samples: () => Iterable<readonly [Labels, number]>,
    labelNames: readonly string[] = ['function_name'],
  ): void {
    const metric = new Kind({
      ...this.#named(name, help, labelNames),
      collect: () => {
        metric.reset()
        for (const [labels, value] of samples()) metric.inc(labels, value)
      },
    })
  }

  #histogram(
    name: string,
    help: string,
    labelNames: readonly string[],
    buckets?: readonly number[],
  ): Histogram<string> {
    return new Histogram({
      ...this.#named(name, help, labelNames),
      ...(buckets === undefined ? {} : { buckets: [...buckets] }),
    })
  }

  #named(
    name: string,
    help: string,
    labelNames: readonly string[],
  ): { name: string; help: string; labelNames: string[]; registers: Registry[] } {
    return { name, help, labelNames: [...labelNames], registers: [this.registry] }
  }
}
