// The difference between two plans, as a reviewer reads it: one line a trigger, `+`, `-` or `~`. For `plan --against`.

import { readFileSync } from 'node:fs'

import type { InstanceDiff, TriggerView, WiringView } from '../../discovery/index.ts'
import { HubError, errorText } from '../../sdk/index.ts'
import { counted, paint, printable } from '../output.ts'

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
  return document
}

/** Ends with a newline. */
export function changesText(changes: readonly InstanceDiff[], color: boolean): string {
  if (changes.length === 0) return 'No difference.\n'
  const lines: string[] = []
  const sum = { added: 0, removed: 0, changed: 0 }
  for (const { name, added, removed, changed } of changes) {
    lines.push(paint(color, 'bold', printable(name)))
    for (const trigger of added) lines.push(paint(color, 'green', printable(`+ ${titleOf(trigger)}`)))
    for (const trigger of removed) lines.push(paint(color, 'red', printable(`- ${titleOf(trigger)}`)))
    for (const { before, after } of changed) lines.push(paint(color, 'yellow', printable(`~ ${titleOf(after)}: ${settingsDiff(before, after)}`))) // prettier-ignore
    lines.push('')
    sum.added += added.length
    sum.removed += removed.length
    sum.changed += changed.length
  }
  return `${lines.join('\n')}\n${counted(sum.added, 'trigger')} added, ${sum.removed} removed, ${sum.changed} changed\n`
}

function titleOf({ pattern, function: name }: TriggerView): string {
  return `${pattern} -> ${name}`
}

function settingsDiff({ settings: before }: TriggerView, { settings: after }: TriggerView): string {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])]
  const different = keys.filter((key) => before[key] !== after[key])
  return different.map((key) => `${key} ${before[key] ?? 'none'} -> ${after[key] ?? 'none'}`).join(', ')
}

function isPlan(value: unknown): value is WiringView {
  if (typeof value !== 'object' || value === null || !('instances' in value) || !Array.isArray(value.instances))
    return false
  return value.instances.every(
    (instance: Partial<WiringView['instances'][number]> | null) =>
      typeof instance?.name === 'string' &&
      Array.isArray(instance.triggers) &&
      instance.triggers.every((trigger: Partial<TriggerView> | null) => typeof trigger?.function === 'string' && typeof trigger.pattern === 'string' && typeof trigger.settings === 'object'), // prettier-ignore
  )
}
