// The alert rules, evaluated by Prometheus' promtool over what a real hub was recorded to show: each fires and does not.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { load } from 'js-yaml'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { cli } from '../cli/cli.ts'
import { noProgram } from '../programs/programs.ts'
import { ALERTS, AT_MINUTE } from './alert-cases.ts'
import type { Case } from './alert-cases.ts'
import { Promtool, familyOf, metricNames, scrapedKey } from './promtool.ts'
import type { Values, World } from './promtool.ts'
import { SECOND, familiesOf, recordedSeries } from './scrapes.ts'

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly for: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

const FOLDER = join(import.meta.dirname, '../../deploy/prometheus')
const text = readFileSync(join(FOLDER, 'alerts.yaml'), 'utf8')
const readme = readFileSync(join(FOLDER, 'README.md'), 'utf8')
const { groups } = load(text) as { readonly groups: readonly { readonly rules: readonly Rule[] }[] }
const rules = groups.flatMap((group) => group.rules)
const missing = await noProgram('promtool')

describe('every alert', () => {
  test('has a case that fires and one that does not, and every case is of an alert', () => {
    expect(Object.keys(ALERTS).toSorted()).toEqual(rules.map(({ alert }) => alert).toSorted())
    for (const { fires, quiet } of Object.values(ALERTS)) expect(Math.min(fires.length, quiet.length)).toBeGreaterThan(0) // prettier-ignore
  })

  test('says how bad it is, what happens and what to do, and has its chapter', () => {
    const wanting = rules.filter(({ alert, labels, annotations }) => {
      const isGraded = ['critical', 'warning'].includes(labels['severity'] ?? '')
      const isTold = Object.keys(annotations).join() === 'summary,description,runbook'
      const leadsOn = annotations['runbook']?.endsWith(' More in deploy/prometheus/README.md.') === true
      return !isGraded || !isTold || !leadsOn || !readme.includes(`\n### ${alert}\n`)
    })
    expect(wanting).toEqual([])
    expect(readme.match(/^### ConnectorHub\w+$/gm)).toHaveLength(rules.length)
  })

  test('goes by metrics that a hub has', () => {
    const families = familiesOf(SECOND)
    const used = rules.map(({ alert, expr }) => [alert, [...metricNames(expr)]] as const)
    expect(used.filter(([, names]) => names.length === 0 || names.some((name) => !families.has(familyOf(name))))).toEqual([]) // prettier-ignore
  })

  test('sends people to commands that there are', async () => {
    const { stdout: help } = await cli(['--help'])
    const told = [readme, ...rules.map(({ annotations }) => annotations['runbook'] ?? '')].join('\n')
    const commands = new Set([...told.matchAll(/`connector-hub ([a-z][a-z-]*)/g)].map(([, command]) => command ?? ''))
    expect(commands.size).toBeGreaterThan(3)
    for (const command of commands) expect(help).toMatch(new RegExp(`^  ${command}\\b`, 'm'))
  })
})

describe.skipIf(missing !== undefined)(`by promtool${missing === undefined ? '' : `: ${missing}`}`, () => {
  let promtool: Promtool
  beforeAll(async () => {
    promtool = await Promtool.open(text)
  })
  afterAll(() => promtool?.[Symbol.dispose]())

  test('the rules are right', async () => {
    expect(await promtool.check()).toContain(`SUCCESS: ${rules.length} rules found`)
  })

  test('a hub that is well fires nothing', async () => {
    const questions = [{ expr: 'count(ALERTS) or vector(0)', atMinute: AT_MINUTE, value: 0 }]
    const names = rules.flatMap(({ expr }) => [...metricNames(expr)])
    expect(await promtool.ask({ series: seriesOf({}, names), questions })).toContain('SUCCESS')
  })

  test.each(rules.map(({ alert, expr }) => ({ alert, expr })))(
    '$alert fires, and not for less',
    async ({ alert, expr }) => {
      const isFiring = `(count(ALERTS{alertname="${alert}",alertstate="firing"}) or vector(0)) > bool 0`
      const world = (one: Case, value: number): World => ({
        series: seriesOf(one, [...metricNames(expr)]),
        questions: [{ expr: isFiring, atMinute: AT_MINUTE, value }],
      })
      const { fires = [], quiet = [] } = ALERTS[alert] ?? {}
      const worlds = [...fires.map((one) => world(one, 1)), ...quiet.map((one) => world(one, 0))]
      expect(await promtool.ask(...worlds)).toContain('SUCCESS')
    },
  )
})

/** The recorded series of these metrics as they stand, with these changes. @throws Error for a change of nothing */
function seriesOf({ changed = {}, added = {} }: Case, names: readonly string[]): ReadonlyMap<string, Values> {
  const recorded = recordedSeries().filter(({ name }) => names.includes(name))
  const series = new Map(recorded.map((one) => [scrapedKey(one), `${one.second}x60`]))
  for (const [selector, values] of Object.entries(changed)) {
    const { name, labels } = parse(selector)
    const meant = recorded.filter((one) => one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value)) // prettier-ignore
    if (meant.length === 0) throw new Error(`${selector} is none of the recorded series`)
    for (const one of meant) series.set(scrapedKey(one), values)
  }
  for (const [selector, values] of Object.entries(added)) {
    const { name, labels } = parse(selector)
    if (!familiesOf(SECOND).has(name)) throw new Error(`${name} is no metric of the recorded hub`)
    const { pod, ...own } = labels
    series.set(scrapedKey({ name, labels: own }, pod), values)
  }
  return series
}

function parse(selector: string): { readonly name: string; readonly labels: Readonly<Record<string, string>> } {
  const [, name = '', inner = ''] = /^([^{]+)(?:\{(.*)\})?$/.exec(selector) ?? []
  return { name, labels: Object.fromEntries([...inner.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, value]) => [label, value])) } // prettier-ignore
}
