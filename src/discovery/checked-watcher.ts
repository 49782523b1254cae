// Two watchers as one: the first one's functions are wired, and what the second one sees otherwise becomes findings. For
// `discovery: kubernetes+gateway`; made by the composition root.

import { asHubError } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import { LastingDifferences, gatewayDifferences, shownDifferences } from './cross-check.ts'
import type { Finding } from './finding.ts'
import type { DiscoveryEvents, DiscoveryStatus, FunctionWatcher, Snapshot } from './function.ts'
import { LastGood } from './last-good.ts'
import { listingFinding } from './listed-function.ts'

export interface CheckedWatcherOptions {
  readonly watcher: FunctionWatcher
  /** Given events of its own, because what fails there keeps no wiring back. */
  readonly gateway: (events: DiscoveryEvents) => FunctionWatcher
  readonly functionNamespace: string
  readonly clock: Clock
  readonly events: DiscoveryEvents
  /** For which the two may differ before that is a finding: the gateway is asked now and then only. */
  readonly graceMs: number
}

export class CheckedWatcher implements FunctionWatcher {
  readonly #options: CheckedWatcherOptions
  readonly #gateway: FunctionWatcher
  readonly #lasting: LastingDifferences
  readonly #out: LastGood
  #ofCluster: Snapshot | undefined
  #ofGateway: Snapshot | undefined
  #gatewayProblem: string | undefined
  #onSnapshot: ((snapshot: Snapshot) => void) | undefined

  constructor(options: CheckedWatcherOptions) {
    this.#options = options
    const { clock, graceMs } = options
    // It never fails by itself, so it has nothing to tell.
    this.#out = new LastGood(clock, { discoveryFailed: () => {}, discoveryRecovered: () => {} })
    this.#lasting = new LastingDifferences(clock, graceMs, () => this.#compare())
    this.#gateway = options.gateway({
      discoveryFailed: (code, message) => this.#reached(`${code}: ${message}`),
      discoveryRecovered: () => this.#reached(undefined),
    })
  }

  start(onSnapshot: (snapshot: Snapshot) => void): void {
    this.#onSnapshot = onSnapshot
    this.#options.watcher.start((snapshot) => {
      this.#ofCluster = snapshot
      this.#tell()
    })
    this.#gateway.start((snapshot) => {
      this.#ofGateway = snapshot
      this.#compare()
    })
  }

  /** Of the first one alone: the gateway is not needed to wire. */
  status(): DiscoveryStatus {
    return this.#options.watcher.status()
  }

  async close(): Promise<void> {
    this.#lasting.close()
    await Promise.all([this.#options.watcher.close(), this.#gateway.close()])
    this.#lasting.close()
  }

  #reached(problem: string | undefined): void {
    if (this.#gatewayProblem === problem) return
    this.#gatewayProblem = problem
    this.#compare()
  }

  /** What is not the cluster's news never fails where it comes from. */
  #compare(): void {
    try {
      this.#tell()
    } catch (error) {
      const { code, message } = asHubError(error)
      this.#options.events.discoveryFailed(code, message, undefined)
    }
  }

  /** @throws what the listener throws, to the first watcher, which then delivers again */
  #tell(): void {
    if (this.#ofCluster === undefined || this.#onSnapshot === undefined) return
    const { functions, findings } = this.#ofCluster
    this.#out.replace(functions, [...findings, ...this.#differences()], this.#onSnapshot)
  }

  #differences(): readonly Finding[] {
    if (this.#gatewayProblem !== undefined)
      return [listingFinding(`the gateway cannot be listed, so the cluster is not compared with it: ${this.#gatewayProblem}`, 'Nothing for the wiring, which is that of the cluster.')] // prettier-ignore
    if (this.#ofCluster === undefined || this.#ofGateway === undefined) return []
    const current = gatewayDifferences(this.#ofCluster.functions, this.#ofGateway.functions, this.#options.functionNamespace) // prettier-ignore
    return shownDifferences(this.#lasting.of(current))
  }
}
