// Events and verdicts about them as a person reads them. For `explain`, `dry-run` and `dead-letters`.

import type { Explanation } from '../discovery/index.ts'
import { formatSize } from '../sdk/index.ts'
import { paint, printable } from './output.ts'

const PREVIEW_CHARS_MAX = 120

/** One line: the beginning of a text, or the size of what is none. */
export function bodyPreview(body: Uint8Array): string {
  if (body.byteLength === 0) return '(no body)'
  // A character has four bytes at most, and the last one may be cut.
  const text = Buffer.from(body.subarray(0, PREVIEW_CHARS_MAX * 4)).toString()
  if (/\uFFFD(?!$)/.test(text)) return `(${formatSize(body.byteLength)} that are no text)`
  const line = text.slice(0, PREVIEW_CHARS_MAX).replaceAll(/\s+/g, ' ').trim()
  return text.length > PREVIEW_CHARS_MAX ? `${line}…` : line
}

/** Whether the function would be invoked, and the rule that decided. */
export function verdictText(explanation: Explanation, color: boolean): string {
  const [verdict, reason] = verdictOf(explanation)
  return `${paint(color, verdict === 'yes' ? 'green' : 'red', verdict.padEnd(3))}  ${printable(reason)}`
}

function verdictOf(one: Explanation): readonly ['yes' | 'no', string] {
  switch (one.verdict) {
    case 'invoked': {
      const { mode, filter } = one.trigger.settings
      const passed = filter === undefined ? '' : `, filter ${filter.expression} is true`
      return ['yes', `topic ${one.patterns.join(', ')}${passed} (${mode})`]
    }
    case 'filtered': {
      const terms = one.terms.filter(({ verdict }) => verdict.kind !== 'pass')
      const said = terms.map(({ term, verdict }) => verdict.kind === 'error' ? `filter ${term} cannot be decided: ${verdict.reason}` : `filter ${term} is false`) // prettier-ignore
      return ['no', `topic ${one.patterns.join(', ')} matches, ${said.join(', ')}`]
    }
    case 'unmatched':
      return ['no', `topic ${one.patterns.join(', ')} does not match${one.hint === undefined ? '' : `: ${one.hint}`}`]
    case 'idle':
      return ['no', one.reason]
  }
}
