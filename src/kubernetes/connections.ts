// Connections to one API server: made anew when certificates change, bounded, and watches apart from requests, so that no
// number of watches holds up the renewal of a Lease. Called by api.ts.

import { Pool, ProxyAgent } from 'undici'
import type { Dispatcher } from 'undici'

import type { Access, AccessTls } from './access.ts'

const REQUESTS_MAX = 4
/** Each holds its connection: Functions and Deployments of 64 namespaces that are listed one by one. */
const WATCHES_MAX = 128
const CONNECT_TIMEOUT_MS = 10_000
/** Shorter than the 90 s after which API servers close what is idle, so that it is never they who close under a request. */
const KEEP_ALIVE_MS = 60_000

interface Pools {
  readonly tls: AccessTls
  readonly requests: Dispatcher
  readonly watches: Dispatcher
}

export class Connections {
  readonly #access: Access
  readonly #origin: string
  #current: Pools | undefined
  /** Watches that were begun with certificates of before. */
  readonly #ending = new Set<Dispatcher>()

  constructor(access: Access) {
    this.#access = access
    this.#origin = new URL(access.server).origin
  }

  /** @throws HubError HUB_CONFIG_UNREADABLE for certificates that cannot be read */
  async get(kind: 'requests' | 'watches'): Promise<Dispatcher> {
    const tls = await this.#access.tls()
    if (this.#current?.tls !== tls) {
      this.#retire()
      this.#current = { tls, requests: this.#pool(tls, REQUESTS_MAX), watches: this.#pool(tls, WATCHES_MAX) }
    }
    return this.#current[kind]
  }

  /** What runs is cut off. Idempotent. */
  async close(): Promise<void> {
    this.#retire()
    await Promise.all([...this.#ending].map((pool) => pool.destroy()))
  }

  #retire(): void {
    if (this.#current === undefined) return
    for (const pool of [this.#current.requests, this.#current.watches]) {
      this.#ending.add(pool)
      // Rejects only for a pool that is destroyed, which is what is wanted then.
      void pool.close().then(
        () => this.#ending.delete(pool),
        () => this.#ending.delete(pool),
      )
    }
    this.#current = undefined
  }

  #pool(tls: AccessTls, connections: number): Dispatcher {
    const connect = { ...tls, allowH2: false, timeout: CONNECT_TIMEOUT_MS }
    // The time of requests and the silence of watches are measured by api.ts.
    const common = { connections, pipelining: 1, keepAliveTimeout: KEEP_ALIVE_MS, headersTimeout: 0, bodyTimeout: 0 }
    const { proxy } = this.#access
    if (proxy === undefined) return new Pool(this.#origin, { ...common, connect })
    return new ProxyAgent({ uri: proxy, ...common, requestTls: connect, proxyTls: { timeout: CONNECT_TIMEOUT_MS } })
  }
}
