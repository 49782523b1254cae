// What events would do, told without doing it: the verdict of each function and the request that it would get. Called by
// `dry-run`.

import { explainEvent } from '../discovery/index.ts'
import type { Explanation, Wiring } from '../discovery/index.ts'
import type { HubConfig, InstanceConfig } from '../hub/config.ts'
import { requestHeadOptions } from '../hub/options.ts'
import { RequestHead } from '../invoke/request-head.ts'
import { formatSize, redactUrl } from '../sdk/index.ts'
import type { EventMessage } from '../sdk/index.ts'
import { bodyPreview, verdictText } from './event-text.ts'
import { instantText } from './instant-text.ts'
import { counted, paint, printable, sentence } from './output.ts'
import type { Output } from './output.ts'

const CALLBACK = 'X-Callback-Url'

/** Of a whole dry run. */
export interface Totals {
  events: number
  invocations: number
  filtered: number
  /** Events whose topic no function has. */
  unmatched: number
  readonly functions: Set<string>
}

/** A function that has the topic of the event. */
export interface Effect {
  readonly explanation: Explanation
  /** Undefined when it would not be invoked. */
  readonly request:
    | { readonly url: string; readonly headers: readonly (readonly [name: string, value: string])[] }
    | undefined
}

/** How a dry run is told. */
export interface Report {
  /** @param caution what looking changes all the same */
  begin(connector: string, means: string, caution: string | undefined): void
  event(connector: string, message: EventMessage, effects: readonly Effect[]): void
  end(totals: Totals): void
}

export class Preview {
  readonly totals: Totals = { events: 0, invocations: 0, filtered: 0, unmatched: 0, functions: new Set() }
  readonly #config: HubConfig
  readonly #wiring: Wiring
  readonly #report: Report
  readonly #heads = new Map<string, RequestHead>()

  constructor(config: HubConfig, wiring: Wiring, report: Report) {
    this.#config = config
    this.#wiring = wiring
    this.#report = report
  }

  show(instance: InstanceConfig, message: EventMessage): void {
    const { topicSyntax } = instance.terms.capabilities
    const effects = explainEvent(this.#wiring, instance.name, topicSyntax, message).flatMap((explanation): Effect[] => {
      if (explanation.verdict !== 'invoked' && explanation.verdict !== 'filtered') return []
      return [{ explanation, request: this.#request(instance, message, explanation) }]
    })
    const { totals } = this
    totals.events += 1
    if (effects.length === 0) totals.unmatched += 1
    for (const {
      explanation: { function: name, verdict },
    } of effects)
      if (verdict === 'filtered') totals.filtered += 1
      else {
        totals.invocations += 1
        totals.functions.add(name)
      }
    this.#report.event(instance.name, message, effects)
  }

  #request(instance: InstanceConfig, message: EventMessage, explanation: Explanation): Effect['request'] {
    if (explanation.verdict !== 'invoked') return undefined
    const { gateway } = this.#config.settings
    let head = this.#heads.get(instance.name)
    if (head === undefined)
      this.#heads.set(instance.name, (head = new RequestHead(requestHeadOptions(this.#config.settings, instance))))
    const { mode, callbackUrl } = explanation.trigger.settings
    const request = { function: explanation.function, mode, message, callbackUrl: callbackUrl === undefined ? undefined : redactUrl(callbackUrl) } // prettier-ignore
    const flat = head.headers(request)
    const headers = flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1] ?? ''] as const] : []))
    return { url: redactUrl(new URL(head.path(request), gateway.url).href), headers }
  }
}

/** For people: cautions go to standard error. */
export function textReport(output: Output): Report {
  const { color } = output
  return {
    begin(connector, means, caution) {
      output.write(`${paint(color, 'bold', printable(connector))}  ${printable(sentence(means))}\n`)
      if (caution !== undefined) output.warn(`${paint(output.warnColor, 'yellow', 'caution')}  ${printable(`${connector}: ${sentence(caution)}`)}\n`) // prettier-ignore
    },
    event(connector, message, effects) {
      output.write(`\n${paint(color, 'bold', printable(message.id))}  ${printable(factsOf(connector, message))}\n`)
      output.write(`    ${printable(bodyPreview(message.body))}\n`)
      const sent = effects.find(({ request }) => request !== undefined)?.request?.headers ?? []
      for (const [name, value] of sent)
        if (name !== CALLBACK) output.write(`${paint(color, 'gray', printable(`    ${name}: ${value}`))}\n`)
      if (effects.length === 0) output.write('  no function has its topic\n')
      for (const { explanation, request } of effects) {
        output.write(`  ${printable(explanation.function)}  ${verdictText(explanation, color)}\n`)
        if (request !== undefined) output.write(`    ${printable(`POST ${request.url}`)}\n`)
        const callback = request?.headers.find(([name]) => name === CALLBACK)?.[1]
        if (callback !== undefined) output.write(`    ${printable(`${CALLBACK}: ${callback}`)}\n`)
      }
    },
    end({ events, invocations, filtered, unmatched, functions }) {
      output.write(`\n${counted(events, 'event')}: ${counted(invocations, 'invocation')} of ${counted(functions.size, 'function')}, ${filtered} filtered, ${unmatched} without a function. Nothing was invoked.\n`) // prettier-ignore
    },
  }
}

/** For machines: an object for each connector, each event and the end, one a line. */
export function jsonReport(output: Output): Report {
  const line = (value: unknown): void => output.write(`${JSON.stringify(value)}\n`)
  return {
    begin: (connector, means, caution) => line({ connector, means, caution: caution ?? null }),
    event(connector, message, effects) {
      const { id, topic, orderingKey, contentType, attempt, timestampMs, headers, body } = message
      const functions = effects.map(({ explanation, request }) => ({
        function: explanation.function,
        verdict: explanation.verdict,
        ...('patterns' in explanation ? { patterns: explanation.patterns } : {}),
        ...('terms' in explanation ? { terms: explanation.terms } : {}),
        ...('trigger' in explanation ? { mode: explanation.trigger.settings.mode } : {}),
        ...(request === undefined ? {} : { request: { method: 'POST', url: request.url, headers: Object.fromEntries(request.headers) } }), // prettier-ignore
      }))
      const producedAt = instantText(timestampMs)
      line({ connector, id, topic, orderingKey, contentType, attempt, producedAt, headers, body: Buffer.from(body).toString('base64'), functions }) // prettier-ignore
    },
    end: ({ functions, ...counts }) => line({ ...counts, functions: functions.size }),
  }
}

function factsOf(connector: string, { topic, orderingKey, body, attempt, timestampMs }: EventMessage): string {
  const facts = [
    connector,
    `topic ${topic}`,
    ...(orderingKey === undefined ? [] : [`key ${orderingKey}`]),
    formatSize(body.byteLength),
    ...(attempt > 1 ? [`attempt ${attempt}`] : []),
    `produced ${instantText(timestampMs)}`,
  ]
  return facts.join(', ')
}
