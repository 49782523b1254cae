// Gaps between what connectors are set to read and what functions ask for. Of no concern to a running hub, which may be one
// of several; called by `plan`.

import { nearest, topicsOverlap } from '../sdk/index.ts'
import type { TopicSyntax } from '../sdk/index.ts'
import type { Finding } from './finding.ts'
import type { InstanceWiring, Wiring } from './wiring.ts'

/** What an instance reads whatever annotations say (`Manifest.reads`). */
export interface FixedReads {
  readonly instance: string
  readonly syntax: TopicSyntax
  readonly topics: readonly (string | RegExp)[]
}

/** Warnings: topics of functions that no connector reads, and topics of connectors that no function has. */
export function reachFindings(wiring: Wiring, fixed: readonly FixedReads[]): readonly Finding[] {
  if (fixed.length === 0) return []
  const byInstance = new Map(fixed.map((reads) => [reads.instance, reads]))
  return [...unread(wiring, byInstance), ...fixed.flatMap((reads) => unused(wiring.instance(reads.instance), reads))]
}

/** A topic that is for several connectors is read when one of them reads it. */
function unread(wiring: Wiring, fixed: ReadonlyMap<string, FixedReads>): readonly Finding[] {
  const read = new Set<string>()
  const missed = new Map<string, { readonly function: string; readonly pattern: string; readonly by: FixedReads[] }>()
  for (const { name, trigger, triggers } of wiring.instances) {
    if (trigger !== 'topic') continue
    const reads = fixed.get(name)
    for (const { function: to, pattern } of triggers) {
      const key = `${to} ${pattern}`
      if (reads === undefined || reads.topics.some((topic) => covers(reads.syntax, topic, pattern))) read.add(key)
      else if (!missed.has(key)) missed.set(key, { function: to, pattern, by: [reads] })
      else missed.get(key)?.by.push(reads)
    }
  }
  return [...missed].flatMap(([key, { function: to, pattern, by }]): Finding[] => {
    if (read.has(key)) return []
    const known = by.flatMap(({ topics }) => topics.filter((topic) => typeof topic === 'string'))
    const near = nearest(pattern, known)
    const { positions } = wiring.memory.read.get(to)?.info ?? {}
    const position = positions?.get('topic') ?? positions?.get(`topic.${by[0]?.instance}`)
    return [
      {
        level: 'warning',
        code: 'HUB_TOPIC_UNREAD',
        function: to,
        annotation: 'topic',
        message: `no event of ${pattern} arrives: it is not among the topics that ${by.map(({ instance }) => instance).join(' and ')} ${by.length === 1 ? 'is' : 'are'} set to read`, // prettier-ignore
        hint: near === undefined ? 'Add it to the configuration of the connector, or correct the annotation.' : `Did you mean ${near}?`, // prettier-ignore
        ...(position === undefined ? {} : { position }),
      },
    ]
  })
}

function unused(
  instance: InstanceWiring | undefined,
  { instance: name, syntax, topics }: FixedReads,
): readonly Finding[] {
  const patterns = new Set(instance?.triggers.map(({ pattern }) => pattern))
  return topics.flatMap((topic): Finding[] => {
    // The plain case without looking at every one.
    if (typeof topic === 'string' && patterns.has(topic)) return []
    for (const pattern of patterns) if (covers(syntax, topic, pattern)) return []
    const text = typeof topic === 'string' ? topic : String(topic)
    return [
      {
        level: 'warning',
        code: 'HUB_TOPIC_UNUSED',
        function: '',
        annotation: `connectors.${name}`,
        message: `no function has the topic ${text}; its events are read and settled without an invocation`,
        hint: 'Annotate a function with it, or take it out of the configuration.',
      },
    ]
  })
}

function covers(syntax: TopicSyntax, read: string | RegExp, pattern: string): boolean {
  return typeof read === 'string' ? topicsOverlap(syntax, read, pattern) : read.test(pattern)
}
