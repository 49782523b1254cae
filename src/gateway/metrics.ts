// The gateway's Prometheus metrics under OpenFaaS's names, in a registry of their own.

import { Counter, Gauge, Histogram, Registry } from '@prometheus-io/client'

export class GatewayMetrics {
  readonly registry = new Registry()
  readonly #registers = [this.registry]
  readonly #seconds = new Histogram({
    name: 'gateway_functions_seconds',
    help: 'Function time taken.',
    labelNames: ['function_name', 'code'],
    registers: this.#registers,
  })
  readonly #invocations = new Counter({
    name: 'gateway_function_invocation_total',
    help: 'Function invocations by status.',
    labelNames: ['function_name', 'code'],
    registers: this.#registers,
  })
  readonly #started = new Counter({
    name: 'gateway_function_invocation_started',
    help: 'Function invocations started.',
    labelNames: ['function_name'],
    registers: this.#registers,
  })
  readonly #counts = new Map<string, number>()

  /** @param replicas by full name, asked at each scrape */
  constructor(replicas: () => Iterable<readonly [name: string, count: number]>) {
    const service = new Gauge({
      name: 'gateway_service_count',
      help: 'Replicas of each function.',
      labelNames: ['function_name'],
      registers: this.#registers,
      collect: (): void => {
        service.reset()
        for (const [name, count] of replicas()) service.set({ function_name: name }, count)
      },
    })
  }

  started(name: string): void {
    this.#started.inc({ function_name: name })
  }

  finished(name: string, code: number, seconds: number): void {
    this.#seconds.observe({ function_name: name, code }, seconds)
    this.#invocations.inc({ function_name: name, code })
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }

  invocations(name: string): number {
    return this.#counts.get(name) ?? 0
  }
}
