// `explain`: why an event does or does not trigger each function. Reads the wiring as `plan` does; invokes nothing.

import { buildWiring, explainEvent } from '../../discovery/index.ts'
import { readHubConfig } from '../../hub/config.ts'
import type { HubConfig, InstanceConfig } from '../../hub/config.ts'
import { wiringOptions } from '../../hub/hub.ts'
import { selfContainedTypes } from '../../hub/registry.ts'
import type { LedgerEntry } from '../../delivery/ledger.ts'
import { HubError, formatDuration, nearest } from '../../sdk/index.ts'
import type { EventMessage } from '../../sdk/index.ts'
import { bodyOf, headersOf } from '../event-input.ts'
import { verdictText } from '../event-text.ts'
import { getEvents } from '../hub-address.ts'
import { EXIT, counted, paint, printable } from '../output.ts'
import type { Output } from '../output.ts'
import { functionsOf } from './sources.ts'
import type { SourceOptions } from './sources.ts'

export interface ExplainOptions extends SourceOptions {
  readonly connector?: string
  readonly topic?: string
  /** Id of an event that a running hub had, instead of one that is described. */
  readonly event?: string
  readonly hub: string
  readonly header?: readonly string[]
  readonly key?: string
  readonly data?: string
  readonly json?: boolean
}

/** @returns EXIT.problems when no function would be invoked. @throws HubError when something cannot be read */
export async function explain(options: ExplainOptions, output: Output, env: NodeJS.ProcessEnv): Promise<number> {
  if (options.event !== undefined) return await explainPast(options.event, options, output)
  const { config: file, connector, gateway, topic } = options
  if (topic === undefined) throw new HubError('HUB_USAGE', 'which event is not said', { hint: 'Describe one with --topic, or name one of a running hub with --event.' }) // prettier-ignore
  const config = await readHubConfig({
    env,
    ...(gateway === undefined ? {} : { gatewayUrl: gateway }),
    ...(file === undefined ? { types: [...(await selfContainedTypes()), ...(connector === undefined ? [] : [connector])] } : { file }), // prettier-ignore
  })
  const instance = instanceOf(config, connector)
  const { snapshot } = await functionsOf(options, config, env)
  const message: EventMessage = {
    id: 'explain',
    source: instance.name,
    topic,
    body: await bodyOf(options.data),
    headers: headersOf(options.header),
    attempt: 1,
    timestampMs: Date.now(),
    ...(options.key === undefined ? {} : { orderingKey: options.key }),
  }
  const wiring = buildWiring(snapshot, wiringOptions(config))
  const explanations = explainEvent(wiring, instance.name, instance.terms.capabilities.topicSyntax, message)
  const invoked = explanations.filter(({ verdict }) => verdict === 'invoked').length
  if (options.json === true) {
    const functions = explanations.map((one) => one.verdict === 'invoked' ? { function: one.function, verdict: one.verdict, patterns: one.patterns, mode: one.trigger.settings.mode } : one) // prettier-ignore
    output.write(`${JSON.stringify({ connector: instance.name, topic, invoked, functions }, null, 2)}\n`)
  } else {
    output.write(`${paint(output.color, 'bold', printable(`${topic} on ${instance.name}`))}\n`)
    const width = Math.max(0, ...explanations.map(({ function: name }) => name.length))
    for (const one of explanations)
      output.write(`  ${printable(one.function.padEnd(width))}  ${verdictText(one, output.color)}\n`)
    output.write(`\n${counted(invoked, 'function')} of ${explanations.length} would be invoked\n`)
  }
  return invoked > 0 ? EXIT.ok : EXIT.problems
}

/** What became of an event, as the hub remembers it. @returns EXIT.problems when it does not */
async function explainPast(id: string, { hub, json }: ExplainOptions, output: Output): Promise<number> {
  const body = await getEvents(hub, { id }, 'application/json')
  const { deliveries } = (await body.json()) as { readonly deliveries: readonly LedgerEntry[] }
  if (json === true) output.write(`${JSON.stringify({ event: id, deliveries }, null, 2)}\n`)
  else if (deliveries.length === 0)
    output.write(`${printable(id)} is not among the latest deliveries of this hub (limits.ledgerEntries)\n`)
  else for (const entry of deliveries) output.write(pastText(entry, output.color))
  return deliveries.length > 0 ? EXIT.ok : EXIT.problems
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
