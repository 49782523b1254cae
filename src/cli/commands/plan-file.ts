// A plan as a file: one JSON document with a line for each thing that may change, so that the difference of two files can
// be read. Written by `plan --json`, read again by `plan --against`.

import { readFileSync } from 'node:fs'

import { viewWiring } from '../../discovery/index.ts'
import type { Finding, InstanceView, TriggerView, Wiring, WiringView } from '../../discovery/index.ts'
import type { HubConfig } from '../../hub/config.ts'
import { HubError, errorText } from '../../sdk/index.ts'

/** Ends with a newline. */
export function planText(
  { instances }: HubConfig,
  wiring: Wiring,
  findings: readonly Finding[],
  nextFires: readonly unknown[],
): string {
  const connectors = instances.map(({ name, manifest, terms }) => ({ name, type: manifest.name, ...terms }))
  const wired = viewWiring(wiring).instances.map(instanceText)
  const members = [
    `"functions": ${wiring.functions}`,
    `"triggers": ${wiring.triggers}`,
    `"connectors": ${list(connectors.map(line), '  ')}`,
    `"instances": ${list(wired, '  ')}`,
    `"idle": ${list(wiring.idle.map(line), '  ')}`,
    `"findings": ${list(findings.map(line), '  ')}`,
    `"nextFires": ${list(nextFires.map(line), '  ')}`,
  ]
  return `{\n  ${members.join(',\n  ')}\n}\n`
}

function instanceText(instance: InstanceView): string {
  const { name, type, triggers } = instance
  const common = commonSettings(instance)
  const lines = triggers.map(({ function: to, pattern, settings }) => line({ function: to, pattern, settings: settings === common ? undefined : settings })) // prettier-ignore
  return `{ "name": ${line(name)}, "type": ${line(type)}, "settings": ${line(common ?? {})}, "triggers": ${list(lines, '    ')} }`
}

/** Those of most triggers: they stand once, and a trigger states its own only where they are others. */
function commonSettings({ triggers }: InstanceView): TriggerView['settings'] | undefined {
  const counts = new Map<TriggerView['settings'], number>()
  for (const { settings } of triggers) counts.set(settings, (counts.get(settings) ?? 0) + 1)
  let most: TriggerView['settings'] | undefined
  for (const [settings, count] of counts) if (most === undefined || count > (counts.get(most) ?? 0)) most = settings
  return most
}

function list(items: readonly string[], indent: string): string {
  return items.length === 0 ? '[]' : `[\n${items.map((item) => `${indent}  ${item}`).join(',\n')}\n${indent}]`
}

function line(value: unknown): string {
  return JSON.stringify(value)
}

/** @throws HubError HUB_CONFIG_UNREADABLE */
export function readPlan(path: string): WiringView {
  const fail = (what: string, cause?: unknown): HubError => new HubError('HUB_CONFIG_UNREADABLE', `${path}: ${what}`, { cause, hint: 'Name a file that connector-hub plan --json has written.' }) // prettier-ignore
  let document: unknown
  try {
    document = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw fail(errorText(error), error)
  }
  if (!isPlan(document)) throw fail('it is no plan')
  // A trigger that states no settings has those of its instance.
  const instances = document.instances.map(({ name, type, settings: common = {}, triggers }) => ({ name, type, triggers: triggers.map(({ function: to, pattern, settings = common }) => ({ function: to, pattern, settings })) })) // prettier-ignore
  return { instances }
}

interface PlanFile {
  readonly instances: readonly {
    readonly name: string
    readonly type: string
    readonly settings?: TriggerView['settings']
    readonly triggers: readonly (Omit<TriggerView, 'settings'> & { readonly settings?: TriggerView['settings'] })[]
  }[]
}

function isPlan(value: unknown): value is PlanFile {
  if (typeof value !== 'object' || value === null || !('instances' in value) || !Array.isArray(value.instances))
    return false
  return value.instances.every(
    (instance: Partial<PlanFile['instances'][number]> | null) =>
      typeof instance?.name === 'string' &&
      isSettings(instance.settings) &&
      Array.isArray(instance.triggers) &&
      instance.triggers.every((trigger: Partial<TriggerView> | null) => typeof trigger?.function === 'string' && typeof trigger.pattern === 'string' && isSettings(trigger.settings)), // prettier-ignore
  )
}

function isSettings(value: unknown): boolean {
  return value === undefined || (typeof value === 'object' && value !== null)
}
