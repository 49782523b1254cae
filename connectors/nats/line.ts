// The way to the servers: one connection at a time, a notice before its server shuts down, and what is learned from how it
// ends. Used by both sources.

import type { NatsConnection } from '@nats-io/transport-node'

import { errorText, within } from '../../src/sdk/index.ts'
import type { HubError, SourceContext, SourceCounter } from '../../src/sdk/index.ts'
import { dial } from './dial.ts'
import type { NatsConfig } from './dial.ts'
import { addressesOf, lostProblem } from './problems.ts'

export interface LineHandlers {
  /** The server takes no new connections and will end this one (lame duck mode): time to go elsewhere. At most once. */
  leaving(error: HubError): void
  /** The connection is gone, and not by `end`. At most once, perhaps after `leaving`. */
  lost(error: HubError): void
}

export class Line {
  readonly addresses: string
  readonly #config: NatsConfig
  readonly #context: SourceContext
  readonly #name: string
  readonly #thrownOut: SourceCounter
  readonly #ended = new WeakSet<NatsConnection>()
  /** The server that ended the latest connection without a word. */
  #lastServer: string | undefined

  /** @param name what the servers list the connection as */
  constructor(config: NatsConfig, context: SourceContext, name: string) {
    this.#config = config
    this.#context = context
    this.#name = name
    this.addresses = addressesOf(config.servers)
    this.#thrownOut = context.counter(
      'nats_thrown_out_total',
      'Connections that broke although their server went on running, as it does to clients that read too slowly.',
    )
  }

  /** @throws HubError HUB_SOURCE_*; the signal's reason when aborted */
  async open(signal: AbortSignal, handlers: LineHandlers): Promise<NatsConnection> {
    const nats = await dial(this.#config, this.#name, signal)
    this.#judge(nats)
    void this.#watch(nats, handlers)
    return nats
  }

  /** Takes what is on its way, flushes what was said last, and closes; bounded, should the server not answer. Idempotent. */
  async end(nats: NatsConnection): Promise<void> {
    this.#ended.add(nats)
    await within(this.#context.clock, this.#config.connectTimeout, nats.drain()).catch(() => undefined)
    await nats.close()
  }

  /** Never rejects. */
  async #watch(nats: NatsConnection, handlers: LineHandlers): Promise<void> {
    const { log } = this.#context
    const [address, serverId] = [nats.getServer(), nats.info?.server_id]
    let isLeaving = false
    let isSilent = false
    void nats.closed().then((error) => {
      if (this.#ended.has(nats)) return
      if (!isLeaving && !isSilent && error === undefined) this.#lastServer = serverId
      const why = isSilent ? 'the server does not answer' : 'the connection was closed'
      handlers.lost(lostProblem(this.addresses, error === undefined ? why : errorText(error), error))
    })
    for await (const status of nats.status()) {
      if (status.type === 'staleConnection') isSilent = true
      // What is refused to subscribe to is reported by who subscribed.
      if (status.type === 'error') log.warn('nats.error', `${address}: ${errorText(status.error)}`)
      if (status.type !== 'ldm' || isLeaving || this.#ended.has(nats)) continue
      isLeaving = true
      const text = `${address} is about to shut down (lame duck mode)`
      log.warn('nats.lame-duck', `${text}; connecting to another server`)
      handlers.leaving(lostProblem(this.addresses, text))
    }
  }

  /** A server that dies has another identity when it comes back; one that is the same had its reasons. */
  #judge(nats: NatsConnection): void {
    const last = this.#lastServer
    this.#lastServer = undefined
    if (last === undefined || last !== nats.info?.server_id) return
    this.#thrownOut.add(1)
    this.#context.log.warn(
      'nats.slow-consumer',
      `${nats.getServer()} ended the last connection without a word and went on running: it takes this connector for a slow consumer (look for "Slow Consumer" in its log), or the network between broke`,
    )
  }
}
