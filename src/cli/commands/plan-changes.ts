// The difference between two plans, as a reviewer reads it: one line a trigger, `+`, `-` or `~`. For `plan --against`.

import type { InstanceDiff, TriggerView } from '../../discovery/index.ts'
import { counted, paint, printable } from '../output.ts'

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
