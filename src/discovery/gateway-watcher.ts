// Polls a gateway for functions and keeps the last good listing through every fault. Parses nothing itself; made by the
// composition root.

import { HubError, backoffMs, sleep } from '../sdk/index.ts'
import type { BackoffSettings } from '../sdk/index.ts'
import type { DiscoveryEvents, DiscoveryStatus, FunctionWatcher, Snapshot } from './function.ts'
import { GatewayListing, type GatewayListingOptions, type Listing } from './gateway-listing.ts'
import { LastGood } from './last-good.ts'

export interface GatewayWatcherOptions extends GatewayListingOptions {
  /** Between two listings, from the end of one to the start of the next. */
  readonly intervalMs: number
  readonly events: DiscoveryEvents
}

const RETRY_MIN_MS = 1000

/**
 * A failed listing is tried again with back-off, never later than a whole interval. A namespace that held functions and
 * suddenly holds none, or is gone, counts only when the next listing, one interval later, says the same: gateways answer
 * 200 with an empty list while their provider is still starting. Until then the last good listing stays in force as a whole.
 * So does what an earlier process left at the brokers, such as bindings and sessions: an empty first listing is confirmed, too.
 */
export class GatewayWatcher implements FunctionWatcher {
  readonly #options: GatewayWatcherOptions
  readonly #listing: GatewayListing
  readonly #lastGood: LastGood
  readonly #closing = new AbortController()
  readonly #backoff: BackoffSettings
  #good: Listing | undefined
  #emptied: ReadonlySet<string> = new Set()
  #loop: Promise<void> | undefined

  /** @throws HubError HUB_CONFIG_INVALID for a gateway URL that cannot be used */
  constructor(options: GatewayWatcherOptions) {
    this.#options = options
    this.#listing = new GatewayListing(options)
    this.#lastGood = new LastGood(options.clock, options.events)
    this.#backoff = {
      minWaitMs: Math.min(RETRY_MIN_MS, options.intervalMs),
      maxWaitMs: options.intervalMs,
      jitter: 'equal',
    }
  }

  /** @throws Error when started twice */
  start(onSnapshot: (snapshot: Snapshot) => void): void {
    if (this.#loop !== undefined) throw new Error('a watcher is started once')
    this.#loop = this.#run(onSnapshot)
  }

  status(): DiscoveryStatus {
    return this.#lastGood.status()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#loop
    await this.#listing.close()
  }

  /** Ends only when closed; never rejects. */
  async #run(onSnapshot: (snapshot: Snapshot) => void): Promise<void> {
    const { clock, intervalMs } = this.#options
    const { signal } = this.#closing
    let failures = 0
    while (!signal.aborted) {
      let waitMs = intervalMs
      try {
        this.#take(await this.#listing.list(signal, this.#good), onSnapshot)
        failures = 0
      } catch (error) {
        if (signal.aborted) return
        failures += 1
        this.#lastGood.fail(error)
        if (!(error instanceof Unconfirmed)) {
          waitMs = backoffMs(failures, this.#backoff)
          // A gateway that fails in between is one that is starting, and its empty listing confirms nothing.
          this.#emptied = new Set()
        }
      }
      // Rejects only when closed, which ends the loop.
      await sleep(clock, waitMs, signal).catch(() => {})
    }
  }

  #take(listing: Listing, onSnapshot: (snapshot: Snapshot) => void): void {
    const count = (namespace: string): number => listing.namespaces.get(namespace)?.functions.length ?? 0
    const held = (this.#good === undefined ? [] : [...this.#good.namespaces.values()]).filter(hasFunctions)
    const emptied = new Set(held.map(({ namespace }) => namespace).filter((namespace) => count(namespace) === 0))
    // What is left out by our own settings is said, and is there.
    const isBare = listing.findings.length === 0 && ![...listing.namespaces.values()].some(hasFunctions)
    if (this.#good === undefined && isBare) emptied.add('')
    const news = [...emptied].filter((name) => !this.#emptied.has(name))
    this.#emptied = emptied
    if (news.length > 0) throw new Unconfirmed(news, this.#good === undefined)
    this.#lastGood.accept(listing.functions, listing.findings, onSnapshot)
    this.#good = listing
    this.#emptied = new Set()
  }
}

function hasFunctions({ functions }: { readonly functions: readonly unknown[] }): boolean {
  return functions.length > 0
}

/** A listing that the next one has to confirm. */
class Unconfirmed extends HubError {
  constructor(namespaces: readonly string[], isFirst: boolean) {
    const where = namespaces.includes('') ? '' : ` in ${namespaces.slice(0, 5).join(', ')}`
    super('HUB_DISCOVERY_FAILED', `the gateway ${isFirst ? '' : 'suddenly '}lists no functions${where}`, {
      canRetry: true,
      hint: `Do nothing if ${isFirst ? 'there are none yet' : 'they were removed'}: the next listing confirms it. Otherwise look at the provider of the gateway.`,
    })
  }
}
