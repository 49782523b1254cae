// `explain`: why an event does or does not trigger each function. Reads the wiring as `plan` does; invokes nothing.

import { buildWiring, explainEvent } from '../../discovery/index.ts'
import type { HubConfig, InstanceConfig } from '../../hub/config.ts'
import { wiringOptions } from '../../hub/options.ts'
import { selfContainedTypes } from '../../hub/registry.ts'
import type { OpenDelivery } from '../../delivery/flight.ts'
import type { LedgerEntry } from '../../delivery/ledger.ts'
import { HubError, formatDuration, nearest } from '../../sdk/index.ts'
import type { EventMessage } from '../../sdk/index.ts'
import { bodyOf, headersOf, readEvent } from '../event-input.ts'
import { verdictText } from '../event-text.ts'
import { ageText, connectorHoldUps, functionHoldUps, openCallText } from '../hold-ups.ts'
import { getEvents, getOpenWork } from '../hub-address.ts'
import { EXIT, counted, paint, printable } from '../output.ts'
import type { Output } from '../output.ts'
import { configOf, functionsOf } from './sources.ts'
import type { SourceOptions } from './sources.ts'

export interface ExplainOptions extends SourceOptions {
  readonly connector?: string
  readonly topic?: string
  /** A file with an event as `dry-run --json` and `dead-letters show --json` write it, or `-`. */
  readonly from?: string
  /** Id of an event that a running hub had, instead of one that is described. */
  readonly event?: string
  readonly hub?: string
  readonly header?: readonly string[]
  readonly key?: string
  readonly data?: string
  readonly json?: boolean
}

const DEFAULT_HUB = 'http://127.0.0.1:8081'

/** @returns EXIT.problems when no function would be invoked. @throws HubError when something cannot be read */
export async function explain(options: ExplainOptions, output: Output, env: NodeJS.ProcessEnv): Promise<number> {
  if (options.event !== undefined) return await explainPast(options.event, options, output)
  const given = await eventOf(options)
  const config = await configOf(options, env, async () => [
    ...(await selfContainedTypes()),
    ...(given.connector === undefined ? [] : [given.connector]),
  ])
  const instance = instanceOf(config, given.connector)
  const { snapshot } = await functionsOf(options, config, env)
  const message: EventMessage = {
    id: 'explain',
    source: instance.name,
    attempt: 1,
    timestampMs: Date.now(),
    ...given.event,
  }
  const wiring = buildWiring(snapshot, wiringOptions(config))
  const explanations = explainEvent(wiring, instance.name, instance.terms.capabilities.topicSyntax, message)
  const open = options.hub === undefined ? undefined : await getOpenWork(options.hub)
  const paused = open === undefined ? [] : connectorHoldUps(open, instance.name)
  const now = (name: string): readonly string[] => open === undefined ? [] : functionHoldUps(open, instance.name, name, message.orderingKey, Date.now()) // prettier-ignore
  const invoked = explanations.filter(({ verdict }) => verdict === 'invoked').length
  if (options.json === true) {
    const functions = explanations.map((one) => {
      if (one.verdict !== 'invoked') return one
      const { function: name, verdict, patterns, trigger } = one
      return {
        function: name,
        verdict,
        patterns,
        mode: trigger.settings.mode,
        ...(open === undefined ? {} : { holdUps: now(name) }),
      }
    })
    output.write(`${JSON.stringify({ connector: instance.name, topic: message.topic, invoked, ...(open === undefined ? {} : { holdUps: paused }), functions }, null, 2)}\n`) // prettier-ignore
  } else {
    output.write(`${paint(output.color, 'bold', printable(`${message.topic} on ${instance.name}`))}\n`)
    const width = Math.max(0, ...explanations.map(({ function: name }) => name.length))
    for (const one of explanations) {
      output.write(`  ${printable(one.function.padEnd(width))}  ${verdictText(one, output.color)}\n`)
      if (one.verdict === 'invoked') for (const why of now(one.function)) output.write(`  ${' '.repeat(width)}  ${paint(output.color, 'yellow', printable(why))}\n`) // prettier-ignore
    }
    output.write(`\n${counted(invoked, 'function')} of ${explanations.length} would be invoked\n`)
    for (const why of paused) output.write(`${paint(output.color, 'yellow', printable(why))}\n`)
  }
  return invoked > 0 ? EXIT.ok : EXIT.problems
}

interface GivenEvent {
  readonly connector: string | undefined
  readonly event: Pick<EventMessage, 'topic' | 'body' | 'headers' | 'orderingKey' | 'contentType'>
}

/** What options say counts before what the file says. @throws HubError HUB_USAGE */
async function eventOf({ connector, topic, from, header, key, data }: ExplainOptions): Promise<GivenEvent> {
  const file = from === undefined ? undefined : await readEvent(from)
  const known = topic ?? file?.topic
  if (known === undefined) throw new HubError('HUB_USAGE', 'which event is not said', { hint: 'Describe one with --topic, read one with --from, or name one of a running hub with --event.' }) // prettier-ignore
  const orderingKey = key ?? file?.orderingKey
  return {
    connector: connector ?? file?.connector,
    event: {
      topic: known,
      body: data === undefined && file !== undefined ? file.body : await bodyOf(data),
      headers: { ...file?.headers, ...headersOf(header) },
      ...(orderingKey === undefined ? {} : { orderingKey }),
      ...(file?.contentType === undefined ? {} : { contentType: file.contentType }),
    },
  }
}

/** What became of an event, as the hub remembers it, or what it waits for. @returns EXIT.problems when it does not know it */
async function explainPast(id: string, { hub = DEFAULT_HUB, json }: ExplainOptions, output: Output): Promise<number> {
  const body = await getEvents(hub, { id }, 'application/json')
  const { deliveries } = (await body.json()) as { readonly deliveries: readonly LedgerEntry[] }
  const open = (await getOpenWork(hub)).deliveries.filter((delivery) => delivery.id === id)
  if (json === true) output.write(`${JSON.stringify({ event: id, deliveries, open }, null, 2)}\n`)
  else if (deliveries.length + open.length === 0)
    output.write(
      `${printable(id)} is not in flight, and not among the latest deliveries of this hub (limits.ledgerEntries)\n`,
    )
  else {
    for (const entry of deliveries) output.write(pastText(entry, output.color))
    for (const delivery of open) output.write(openText(delivery, Date.now(), output.color))
  }
  return deliveries.length + open.length > 0 ? EXIT.ok : EXIT.problems
}

function openText(delivery: OpenDelivery, nowMs: number, color: boolean): string {
  const { id, topic, source, calls } = delivery
  const title = `${id}: ${topic} on ${source}, in flight for ${ageText(delivery, nowMs)}`
  const lines = calls.map((call) => `  ${printable(call.function)}  ${paint(color, call.state === 'done' ? 'green' : 'yellow', printable(openCallText(call, nowMs)))}\n`) // prettier-ignore
  return `${paint(color, 'bold', printable(title))}\n${lines.join('')}`
}

function pastText({ id, source, topic, receivedAtMs, durationMs, end, calls }: LedgerEntry, color: boolean): string {
  const title = `${id}: ${topic} on ${source}, received ${new Date(receivedAtMs).toISOString()}, ${end} after ${formatDuration(Math.round(durationMs))}` // prettier-ignore
  const none = calls.length === 0 ? '  no function has its topic\n' : ''
  const lines = calls.map(({ function: name, result, invocations, status, reason }) => {
    const tried =
      invocations === 0
        ? 'not invoked'
        : `${counted(invocations, 'invocation')}, last status ${status === 0 ? 'none' : status}`
    return `  ${printable(name)}  ${paint(color, result === 'acked' ? 'green' : 'red', result)}  ${printable(`${tried}${reason === '' ? '' : `: ${reason}`}`)}\n`
  })
  return `${paint(color, 'bold', printable(title))}\n${none}${lines.join('')}`
}

/** The named one, or the only one that has topics. @throws HubError HUB_USAGE */
function instanceOf({ instances }: HubConfig, name: string | undefined): InstanceConfig {
  const withTopics = instances.filter(({ manifest }) => manifest.trigger === 'topic')
  const names = withTopics.map((instance) => instance.name)
  const given = `There ${names.length === 1 ? 'is' : 'are'}: ${names.join(', ')}.`
  if (name === undefined) {
    const [only] = withTopics
    if (only !== undefined && withTopics.length === 1) return only
    throw new HubError('HUB_USAGE', 'which connector the event comes from is not said', { hint: `Add --connector. ${names.length === 0 ? 'None is configured that has topics: name a file with -c.' : given}` }) // prettier-ignore
  }
  const found = withTopics.find((instance) => instance.name === name)
  if (found !== undefined) return found
  if (instances.some((instance) => instance.name === name))
    throw new HubError('HUB_USAGE', `${name} is triggered by schedules and has no topics`, { hint: 'See connector-hub cron next for its fires.' }) // prettier-ignore
  const near = nearest(name, names)
  throw new HubError('HUB_USAGE', `no connector is called ${name}`, { hint: `${near === undefined ? '' : `Did you mean ${near}? `}${given}` }) // prettier-ignore
}
