// `tail`: what becomes of events in a running hub, as they end. Reads its admin server.

import type { LedgerEntry } from '../../delivery/ledger.ts'
import { HubError, errorText, redactUrl } from '../../sdk/index.ts'
import { getEvents } from '../hub-address.ts'
import { LiveView } from '../live-view.ts'
import { EXIT } from '../output.ts'
import type { Output } from '../output.ts'
import { untilSignal } from '../signals.ts'
import { createParser } from '../sse.ts'

export interface TailOptions {
  readonly hub: string
  readonly connector?: string
  readonly function?: string
  readonly outcome?: string
  readonly json?: boolean
}

const OUTCOMES = ['acked', 'unmatched', 'filtered', 'deadLettered', 'returned', 'failed']

/** Until it is told to stop, or the hub ends. @throws HubError HUB_USAGE; HUB_SOURCE_UNREACHABLE when there is no such hub */
export async function tail(options: TailOptions, output: Output): Promise<number> {
  const { outcome } = options
  if (outcome !== undefined && !OUTCOMES.includes(outcome))
    throw new HubError('HUB_USAGE', `--outcome ${outcome} is none`, { hint: `Write one of ${OUTCOMES.join(', ')}.` })
  const stop = new AbortController()
  const stopped = untilSignal().then((signal) => {
    stop.abort()
    return signal === 'SIGINT' ? EXIT.interrupted : EXIT.ok
  })
  const view = new LiveView(output)
  const parser = createParser((event, data) => {
    if (event === 'left-out')
      output.warn(options.json === true ? `${JSON.stringify({ leftOut: Number(data) })}\n` : `… ${data} deliveries left out: this end is too slow\n`) // prettier-ignore
    else if (options.json === true) output.write(`${data}\n`)
    else view.delivery(JSON.parse(data) as LedgerEntry)
  })
  const { hub, connector, function: name } = options
  const body = await getEvents(hub, { connector, function: name, outcome }, 'text/event-stream', stop.signal)
  const text = new TextDecoder()
  try {
    for await (const chunk of body) parser(text.decode(chunk, { stream: true }))
  } catch (error) {
    if (!stop.signal.aborted) throw new HubError('HUB_SOURCE_LOST', `${redactUrl(options.hub)}: ${errorText(error)}`, { cause: error, hint: 'The hub has ended, or cannot be reached any more.' }) // prettier-ignore
  }
  return stop.signal.aborted ? await stopped : EXIT.ok
}
