// A strict reader of Prometheus's text format 0.0.4, written from its specification: what it does not state is an error.

export interface Sample {
  /** With the suffix of a histogram's series. */
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly samples: readonly Sample[]
}

const TYPES = new Set(['counter', 'gauge', 'histogram', 'summary', 'untyped'])
const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/
const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*/
const VALUE = /^(?:[+-]?Inf|NaN|[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)$/

interface Open {
  readonly name: string
  type: string | undefined
  help: string | undefined
  readonly samples: Sample[]
}

/** @throws Error with the line that is wrong */
export function parsePrometheusText(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end')
  const families = new Map<string, Open>()
  const series = new Set<string>()
  let last: Open | undefined
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '' || (line.startsWith('#') && !/^# (HELP|TYPE) /.test(line))) continue
    const entry = line.startsWith('#') ? undefined : parseSample(line)
    const name = entry === undefined ? (line.split(' ')[2] ?? '') : familyOf(entry.name, families)
    if (!fullMatch(NAME, name)) throw new Error(`no name of a metric: ${line}`)
    const family = families.get(name) ?? { name, type: undefined, help: undefined, samples: [] }
    if (families.has(name) && family !== last) throw new Error(`the lines of ${name} are not together: ${line}`)
    families.set(name, family)
    last = family
    if (entry === undefined) describe(family, line)
    else add(family, entry, series)
  }
  for (const family of families.values()) if (family.type === 'histogram') checkHistogram(family)
  return new Map(Array.from(families, ([name, { type = 'untyped', help = '', samples }]) => [name, { name, type, help, samples }])) // prettier-ignore
}

/** Equal for equal labels, in whatever order. */
export function labelsKey(labels: Readonly<Record<string, string>>): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`)
  return `{${parts.toSorted().join()}}`
}

function describe(family: Open, line: string): void {
  const [, what = '', , ...rest] = line.split(' ')
  const said = rest.join(' ')
  if (family.samples.length > 0) throw new Error(`${what} after the samples: ${line}`)
  if (what === 'TYPE') {
    if (family.type !== undefined || !TYPES.has(said)) throw new Error(`bad or second TYPE: ${line}`)
    family.type = said
  } else {
    if (family.help !== undefined) throw new Error(`second HELP: ${line}`)
    family.help = unescape(said, { '\\': '\\', n: '\n' }, line)
  }
}

function add(family: Open, sample: Sample, series: Set<string>): void {
  const key = sample.name + labelsKey(sample.labels)
  if (series.has(key)) throw new Error(`twice: ${key}`)
  series.add(key)
  if (family.type === 'counter' && !(sample.value >= 0)) throw new Error(`a counter below 0: ${key}`)
  family.samples.push(sample)
}

/** Of a histogram's or summary's series, the metric without its suffix. */
function familyOf(name: string, families: ReadonlyMap<string, Open>): string {
  const base = name.replace(/_(bucket|sum|count)$/, '')
  const type = families.get(base)?.type
  if (type === 'histogram' || (type === 'summary' && !name.endsWith('_bucket'))) return base
  return name
}

function parseSample(line: string): Sample {
  const name = NAME.exec(line)?.[0]
  if (name === undefined) throw new Error(`no name of a metric: ${line}`)
  let rest = line.slice(name.length)
  const labels: Record<string, string> = {}
  if (rest.startsWith('{')) {
    rest = rest.slice(1)
    while (!rest.startsWith('}')) {
      const label = LABEL_NAME.exec(rest)?.[0]
      const quoted = label === undefined ? undefined : /^="((?:[^"\\]|\\.)*)"(,|(?=\}))/.exec(rest.slice(label.length))
      if (label === undefined || quoted === undefined || quoted === null) throw new Error(`bad labels: ${line}`)
      if (Object.hasOwn(labels, label)) throw new Error(`label ${label} twice: ${line}`)
      labels[label] = unescape(quoted[1] as string, { '\\': '\\', n: '\n', '"': '"' }, line)
      rest = rest.slice(label.length + quoted[0].length)
      if (quoted[2] === ',' && rest.startsWith('}')) throw new Error(`a comma too many: ${line}`)
    }
    rest = rest.slice(1)
  }
  const [empty, value = '', timestamp, ...more] = rest.split(' ')
  if (empty !== '' || !VALUE.test(value) || more.length > 0 || (timestamp !== undefined && !/^-?\d+$/.test(timestamp)))
    throw new Error(`bad value: ${line}`)
  return { name, labels, value: Number(value.replace('Inf', 'Infinity')) }
}

function unescape(text: string, escapes: Readonly<Record<string, string>>, line: string): string {
  return text.replaceAll(/\\(.?)/g, (_, escaped: string) => {
    const meant = escapes[escaped]
    if (meant === undefined) throw new Error(`no escape: \\${escaped} in ${line}`)
    return meant
  })
}

/** Buckets grow with their bound, the last one is +Inf, and equals the count; each has a sum. */
function checkHistogram({ name, samples }: Open): void {
  const groups = new Map<string, Sample[]>()
  for (const sample of samples) {
    const { le: _, ...labels } = sample.labels
    const key = labelsKey(labels)
    groups.set(key, [...(groups.get(key) ?? []), sample])
  }
  for (const [key, group] of groups) {
    const buckets = group
      .filter((sample) => sample.name === `${name}_bucket`)
      .map(({ labels, value }) => ({ bound: Number(labels['le']?.replace('Inf', 'Infinity')), value }))
    const count = group.find((sample) => sample.name === `${name}_count`)?.value
    const isGrowing = buckets.every(
      ({ bound, value }, index) => index === 0 || (bound > (buckets[index - 1]?.bound ?? NaN) && value >= (buckets[index - 1]?.value ?? NaN)), // prettier-ignore
    )
    if (!isGrowing || buckets.at(-1)?.bound !== Infinity || buckets.at(-1)?.value !== count)
      throw new Error(`the buckets of ${name}${key} are not cumulative up to its count`)
    if (!group.some((sample) => sample.name === `${name}_sum`)) throw new Error(`${name}${key} has no sum`)
  }
}

function fullMatch(pattern: RegExp, text: string): boolean {
  return pattern.exec(text)?.[0] === text
}
