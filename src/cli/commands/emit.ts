// `emit`: publishes test events to the real broker of a connector, so that nobody needs the clients of all of them.

import { instanceNamed } from '../../hub/options.ts'
import { openTools } from '../../hub/tools.ts'
import { HubError, sleep, systemClock } from '../../sdk/index.ts'
import type { Emitter, OutgoingEvent } from '../../sdk/index.ts'
import { bodyOf, headersOf } from '../event-input.ts'
import { ratePerSecond, wholeNumber } from '../numbers.ts'
import { EXIT, counted, printable } from '../output.ts'
import type { Output } from '../output.ts'
import { personLog } from '../person-log.ts'
import { Progress } from '../progress.ts'
import { interruption } from '../signals.ts'
import { configOf } from './sources.ts'

export interface EmitOptions {
  readonly config?: string
  readonly data?: string
  readonly key?: string
  readonly header?: readonly string[]
  readonly contentType?: string
  readonly count: string
  readonly rate?: string
  readonly json?: boolean
}

/** @returns EXIT.interrupted after Ctrl-C. @throws HubError HUB_USAGE, HUB_EMIT_FAILED, and of the broker */
export async function emit(
  name: string,
  topic: string,
  options: EmitOptions,
  output: Output,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const { key, contentType } = options
  const count = wholeNumber('--count', options.count)
  const perSecond = options.rate === undefined ? undefined : ratePerSecond(options.rate)
  const event: OutgoingEvent = {
    topic,
    body: await bodyOf(options.data),
    headers: headersOf(options.header),
    ...(key === undefined ? {} : { key }),
    ...(contentType === undefined ? {} : { contentType }),
  }
  const config = await configOf(options, env, () => [name])
  const instance = instanceNamed(config, name)
  const tools = await openTools(config, instance, personLog(output))
  if (tools.emitter === undefined)
    throw new HubError('HUB_USAGE', `nothing can be published to ${name}: its events have no broker`, { hint: 'See connector-hub cron next for the fires of schedules.' }) // prettier-ignore
  const interrupted = interruption()
  await using emitter = await tools.emitter(interrupted.signal)
  const sent = await publish(emitter, event, { count, perSecond, signal: interrupted.signal, output, json: options.json === true, connector: name }) // prettier-ignore
  return sent < count ? (interrupted.code ?? EXIT.problems) : EXIT.ok
}

interface PublishOptions {
  readonly count: number
  readonly perSecond: number | undefined
  readonly signal: AbortSignal
  readonly output: Output
  readonly json: boolean
  readonly connector: string
}

/** @returns how many the broker has confirmed. @throws HubError of the first that it has not, once all on their way are known */
async function publish(emitter: Emitter, event: OutgoingEvent, options: PublishOptions): Promise<number> {
  const { count, perSecond, signal, output, json, connector } = options
  const startedAt = performance.now()
  const onTheWay = new Set<Promise<void>>()
  let confirmed = 0
  let place: { readonly first: string; readonly last: string } | undefined
  const failures: unknown[] = []
  using progress = new Progress(output, count, 'events')
  const send = async (): Promise<void> => {
    try {
      const at = await emitter.emit(event)
      confirmed += 1
      place = { first: place?.first ?? at, last: at }
      if (json) output.write(`${JSON.stringify({ connector, topic: event.topic, at })}\n`)
      progress.at(confirmed)
    } catch (error) {
      failures.push(error)
    }
  }
  for (let index = 0; index < count && !signal.aborted && failures.length === 0; index += 1) {
    const waitMs = perSecond === undefined ? 0 : (index * 1000) / perSecond - (performance.now() - startedAt)
    if (waitMs > 0) await sleep(systemClock, waitMs, signal).catch(() => undefined)
    if (signal.aborted) break
    const sending = send().finally(() => onTheWay.delete(sending))
    onTheWay.add(sending)
    if (onTheWay.size >= emitter.inFlightMax) await Promise.race(onTheWay)
  }
  await Promise.all(onTheWay)
  progress[Symbol.dispose]()
  const where =
    place === undefined ? '' : `: ${place.first === place.last ? place.first : `${place.first} … ${place.last}`}`
  if (json)
    output.write(
      `${JSON.stringify({ connector, topic: event.topic, place: emitter.place, sent: confirmed, of: count })}\n`,
    )
  else output.write(`${printable(`${counted(confirmed, 'event')} taken by ${emitter.place}${where}`)}\n`)
  if (failures.length > 0) throw failures[0]
  return confirmed
}
