// The recorded scrapes of a real hub, and what is in them.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { parsePrometheusText } from '../gateway/prometheus-text.ts'
import type { Family, Sample } from '../gateway/prometheus-text.ts'

/** Written by record-scrapes.ts. */
export const FIRST = join(import.meta.dirname, 'scrapes/first.prom')
/** A round of events later. */
export const SECOND = join(import.meta.dirname, 'scrapes/second.prom')

export function familiesOf(path: string): ReadonlyMap<string, Family> {
  return parsePrometheusText(readFileSync(path, 'utf8'))
}

/** A series as it was and as it became; a series that came later was 0. */
export interface Series {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly first: number
  readonly second: number
}

export function recordedSeries(): readonly Series[] {
  const before = new Map(samples(FIRST).map((sample) => [keyOf(sample), sample.value]))
  return samples(SECOND).map((sample) => {
    const { name, labels, value: second } = sample
    return { name, labels, first: before.get(keyOf(sample)) ?? 0, second }
  })
}

/** `name{label="value"}` */
export function keyOf({ name, labels }: Pick<Sample, 'name' | 'labels'>): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}=${JSON.stringify(value)}`)
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`
}

function samples(path: string): readonly Sample[] {
  return [...familiesOf(path).values()].flatMap((family) => family.samples)
}
