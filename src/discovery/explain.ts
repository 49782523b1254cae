// Why an event does or does not trigger each function: the wiring's own answer, with the rule that decided. Called by
// `explain`; changes nothing and invokes nothing.

import { topicMatches } from '../sdk/index.ts'
import type { EventMessage, TopicSyntax, Trigger } from '../sdk/index.ts'
import { explainFilter } from './filter.ts'
import type { FilterTerm } from './filter.ts'
import type { Wiring } from './wiring.ts'

/** What would become of the event at one function. */
export type Explanation = { readonly function: string } & (
  | { readonly verdict: 'invoked'; readonly patterns: readonly string[]; readonly trigger: Trigger }
  /** One of the terms is not true. */
  | { readonly verdict: 'filtered'; readonly patterns: readonly string[]; readonly terms: readonly FilterTerm[] }
  | { readonly verdict: 'unmatched'; readonly patterns: readonly string[]; readonly hint: string | undefined }
  | { readonly verdict: 'idle'; readonly reason: string }
)

/** In listing order; of every function of the snapshot. @throws RangeError for an instance that is not in the wiring */
export function explainEvent(
  wiring: Wiring,
  instance: string,
  syntax: TopicSyntax,
  message: EventMessage,
): readonly Explanation[] {
  const wired = wiring.instance(instance)
  if (wired === undefined) throw new RangeError(`no instance ${instance}`)
  const matched = new Map(wired.match(message).map((trigger) => [trigger.function, trigger]))
  const patterns = new Map<string, string[]>()
  for (const { function: name, pattern } of wired.triggers) {
    const known = patterns.get(name)
    if (known === undefined) patterns.set(name, [pattern])
    else known.push(pattern)
  }
  const idle = new Map(wiring.idle.map(({ function: name, reason }) => [name, reason]))
  return [...wiring.memory.read.keys()].map((name): Explanation => {
    const own = patterns.get(name)
    if (own === undefined) return { function: name, verdict: 'idle', reason: idle.get(name) ?? 'it is triggered by other connectors only' } // prettier-ignore
    const trigger = matched.get(name)
    if (trigger === undefined) return { function: name, verdict: 'unmatched', patterns: own, hint: hintOf(own, message.topic) } // prettier-ignore
    // One that is for this function alone, such as the fire of a schedule, is not chosen by its topic.
    const reached = message.target === undefined ? own.filter((pattern) => topicMatches(syntax, pattern, message.topic)) : own // prettier-ignore
    const { filter } = trigger.settings
    if (filter === undefined || filter.test(message).kind === 'pass')
      return { function: name, verdict: 'invoked', patterns: reached, trigger }
    return { function: name, verdict: 'filtered', patterns: reached, terms: explainFilter(filter.expression, message) }
  })
}

/** Mistakes that one does not see. */
function hintOf(patterns: readonly string[], topic: string): string | undefined {
  const alike = patterns.find((pattern) => pattern.toLowerCase() === topic.toLowerCase())
  if (alike !== undefined) return `${alike} is written in another case`
  const trimmed = topic.trim()
  if (trimmed !== topic && patterns.includes(trimmed)) return 'the topic of the event has white space around it'
  const separated = patterns.find((pattern) => pattern.replaceAll(/[./:]/g, '/') === topic.replaceAll(/[./:]/g, '/'))
  return separated === undefined ? undefined : `${separated} has other separators`
}
