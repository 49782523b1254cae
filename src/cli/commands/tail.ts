// `tail`: what becomes of events in a running hub, as they end. Reads its admin server.

import type { DeliveryEnd, LedgerEntry } from '../../delivery/ledger.ts'
import { HubError, asHubError, backoffMs, errorText, redactUrl, sleep, systemClock } from '../../sdk/index.ts'
import { DeliverySample, leftOutText } from '../delivery-sample.ts'
import { deliveryLines } from '../delivery-lines.ts'
import { getEvents } from '../hub-address.ts'
import { EXIT, paint, printable } from '../output.ts'
import type { Output } from '../output.ts'
import { interruption } from '../signals.ts'
import { createParser } from '../sse.ts'

export interface TailOptions {
  readonly hub: string
  readonly connector?: string
  readonly function?: string
  readonly outcome?: string
  readonly json?: boolean
}

const OUTCOMES = ['acked', 'unmatched', 'filtered', 'deadLettered', 'returned', 'failed']
const RECONNECT = { minWaitMs: 200, maxWaitMs: 5000, jitter: 'equal' } as const

/** Until it is told to stop, or nobody reads it; a hub that goes away is waited for. @throws HubError HUB_USAGE; HUB_SOURCE_UNREACHABLE when there is no such hub at the start */
export async function tail(options: TailOptions, output: Output): Promise<number> {
  const { outcome, hub } = options
  if (outcome !== undefined && !OUTCOMES.includes(outcome))
    throw new HubError('HUB_USAGE', `--outcome ${outcome} is none`, { hint: `Write one of ${OUTCOMES.join(', ')}.` })
  const interrupted = interruption()
  const { signal } = interrupted
  using feed = new Feed(output, options.json === true)
  const open = (): ReturnType<typeof getEvents> => getEvents(hub, { connector: options.connector, function: options.function, outcome }, 'text/event-stream', signal) // prettier-ignore
  let body = await open().catch((error: unknown) => {
    if (signal.aborted) return undefined
    throw error
  })
  while (body !== undefined) {
    const end = await follow(body, feed, signal)
    if (end === 'unread') return EXIT.ok
    body = signal.aborted ? undefined : await again(open, hub, end, feed, signal)
  }
  return interrupted.code ?? EXIT.ok
}

/** @returns why it is over: what the connection says, or that nobody reads what is written */
async function follow(body: AsyncIterable<Buffer>, feed: Feed, signal: AbortSignal): Promise<string> {
  const text = new TextDecoder()
  const parser = createParser((event, data) => feed.take(event, data))
  try {
    for await (const chunk of body) {
      parser(text.decode(chunk, { stream: true }))
      // The hub counts what is not read in time; kept here it would only be memory.
      if (!(await feed.isRead())) return 'unread'
    }
    return 'it ended the stream'
  } catch (error) {
    return signal.aborted ? '' : errorText(error)
  }
}

/** The stream of the hub that comes back, with a new chance for every wait; undefined when told to stop meanwhile. */
async function again(
  open: () => ReturnType<typeof getEvents>,
  hub: string,
  why: string,
  feed: Feed,
  signal: AbortSignal,
): Promise<Awaited<ReturnType<typeof getEvents>> | undefined> {
  feed.say(`The hub at ${redactUrl(hub)} has gone (${why}); waiting for it to come back`)
  for (let attempt = 1; ; attempt += 1) {
    try {
      await sleep(systemClock, backoffMs(attempt, RECONNECT), signal)
      const body = await open()
      feed.say('It is back; what ended meanwhile is not shown')
      return body
    } catch (error) {
      if (signal.aborted) return undefined
      // What it refuses now, such as a connector that it no longer has, it will go on to refuse.
      if (asHubError(error).code === 'HUB_USAGE') throw error
    }
  }
}

/** Where what comes from the hub goes. */
class Feed implements Disposable {
  readonly #output: Output
  readonly #json: boolean
  readonly #sample: DeliverySample

  constructor(output: Output, json: boolean) {
    this.#output = output
    this.#json = json
    this.#sample = new DeliverySample((line, isCount) =>
      output.write(`${isCount ? paint(output.color, 'gray', line) : line}\n`),
    )
  }

  take(event: string, data: string): void {
    if (event === 'left-out') this.#leftOut(JSON.parse(data) as Partial<Record<DeliveryEnd, number>>)
    else if (this.#json) this.#output.write(`${data}\n`)
    else this.#show(JSON.parse(data) as LedgerEntry)
  }

  /** Waits until what was written is taken. */
  async isRead(): Promise<boolean> {
    return (await this.#output.drained?.()) ?? true
  }

  say(text: string): void {
    this.#output.warn(`${printable(text)}\n`)
  }

  [Symbol.dispose](): void {
    this.#sample[Symbol.dispose]()
  }

  #show(entry: LedgerEntry): void {
    this.#sample.add(deliveryLines(entry, entry.receivedAtMs + entry.durationMs, this.#output.color))
  }

  #leftOut(counts: Partial<Record<DeliveryEnd, number>>): void {
    if (this.#json) this.#output.warn(`${JSON.stringify({ leftOut: counts })}\n`)
    else this.#output.warn(`${paint(this.#output.warnColor, 'yellow', `… left out by the hub, because this end is too slow: ${leftOutText(counts)}`)}\n`) // prettier-ignore
  }
}
