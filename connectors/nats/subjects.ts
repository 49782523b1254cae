// Which subject filters are read for what is wanted, and under which consumer names. Pure; called by both sources.

import { createHash } from 'node:crypto'

import type { Subscription } from '../../src/sdk/index.ts'

/**
 * Without repetitions and without those that another one covers: each filter has a consumer or a subscription, which brings
 * its own copy.
 * @param topics read instead of the wanted ones
 */
export function wantedSubjects(wanted: readonly Subscription[], topics?: readonly string[]): readonly string[] {
  const unique = [...new Set(topics ?? wanted.flatMap((one) => (one.kind === 'topic' ? [one.topic] : [])))]
  return unique.filter((subject) => !unique.some((other) => other !== subject && covers(other, subject)))
}

/** Does `outer` match every subject that `inner` matches? */
export function covers(outer: string, inner: string): boolean {
  const outerTokens = outer.split('.')
  const innerTokens = inner.split('.')
  for (const [index, token] of outerTokens.entries()) {
    if (token === '>') return innerTokens.length > index
    const other = innerTokens[index]
    if (other === undefined || other === '>') return false
    if (token !== '*' && token !== other) return false
  }
  return innerTokens.length === outerTokens.length
}

/** Can one subject match both? Then its message comes by both consumers. */
export function overlap(left: string, right: string): boolean {
  const [leftTokens, rightTokens] = [left.split('.'), right.split('.')]
  for (let index = 0; ; index++) {
    const [one, other] = [leftTokens[index], rightTokens[index]]
    if (one === undefined || other === undefined) return one === other
    if (one === '>' || other === '>') return true
    if (one !== other && one !== '*' && other !== '*') return false
  }
}

/** Readable, and different for different subjects. Consumer names hold no dots, wildcards and spaces. */
export function consumerName(prefix: string, subject: string): string {
  const readable = subject.replaceAll('*', 'any').replaceAll('>', 'rest').replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64) // prettier-ignore
  return `${prefix}-${readable}-${createHash('sha1').update(subject).digest('hex').slice(0, 8)}`
}
