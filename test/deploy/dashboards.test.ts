// The dashboards, without Grafana: that each file is one that Grafana takes, and, by Prometheus' promtool over what a real
// hub was recorded to show, that every panel has something to show.

import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { noProgram } from '../programs/programs.ts'
import { Promtool, familyOf, metricNames, scrapedKey } from './promtool.ts'
import { SECOND, familiesOf, recordedSeries } from './scrapes.ts'

interface Place {
  readonly x: number
  readonly y: number
  readonly w: number
  readonly h: number
}

interface Target {
  readonly refId: string
  readonly expr: string
  readonly legendFormat?: string
  readonly datasource: { readonly type: string; readonly uid: string }
}

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: Place
  readonly datasource?: { readonly type: string; readonly uid: string }
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } }
  readonly targets?: readonly Target[]
}

interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly schemaVersion: number
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string; readonly query: string | { readonly query: string } }[] } // prettier-ignore
}

const FOLDER = join(import.meta.dirname, '../../deploy/grafana')
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.json'))
const dashboards = files.map((name) => [name, JSON.parse(readFileSync(join(FOLDER, name), 'utf8')) as Dashboard] as const) // prettier-ignore
const missing = await noProgram('promtool')

/** Of Grafana's units (its valueFormats). */
const UNITS = new Set(['short', 's', 'bytes', 'ops', 'percentunit', 'bool_yes_no'])
/** Grafana's columns. */
const WIDTH = 24
const panelsOf = ({ panels }: Dashboard): readonly Panel[] => panels.filter(({ type }) => type !== 'row')
const targetsOf = (dashboard: Dashboard): readonly Target[] => panelsOf(dashboard).flatMap(({ targets = [] }) => targets) // prettier-ignore
const queriesOf = ({ templating }: Dashboard): readonly string[] =>
  templating.list.flatMap(({ type, query }) => (type === 'query' ? [typeof query === 'string' ? query : query.query] : [])) // prettier-ignore

test('there are two, with identities of their own', () => {
  expect(files).toEqual(['connector.json', 'overview.json'])
  expect(dashboards.map(([, { uid }]) => uid)).toEqual(['connector-hub-connector', 'connector-hub-overview'])
})

describe.each(dashboards)('%s', (_, dashboard) => {
  test('is what Grafana 10 and newer take', () => {
    expect(dashboard.schemaVersion).toBe(39)
    expect(dashboard.uid.length).toBeLessThanOrEqual(40)
    const ids = dashboard.panels.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    expect(panelsOf(dashboard).filter(({ targets = [] }) => targets.length === 0 || new Set(targets.map(({ refId }) => refId)).size < targets.length)).toEqual([]) // prettier-ignore
  })

  test('asks the data source that is chosen, of whatever name', () => {
    expect(dashboard.templating.list[0]).toMatchObject({ name: 'datasource', type: 'datasource', query: 'prometheus' })
    const sources = [...panelsOf(dashboard), ...targetsOf(dashboard)].map(({ datasource }) => datasource)
    expect(sources.filter((source) => source?.type !== 'prometheus' || source.uid !== '${datasource}')).toEqual([])
  })

  test('has a unit on every panel, and no panel over another', () => {
    expect(panelsOf(dashboard).filter(({ fieldConfig }) => !UNITS.has(fieldConfig?.defaults.unit ?? ''))).toEqual([])
    const places = dashboard.panels.map(({ gridPos }) => gridPos)
    expect(places.filter(({ x, w }) => x + w > WIDTH)).toEqual([])
    const meet = (one: Place, other: Place): boolean => one.x < other.x + other.w && other.x < one.x + one.w && one.y < other.y + other.h && other.y < one.y + one.h // prettier-ignore
    expect(places.filter((one, index) => places.slice(index + 1).some((other) => meet(one, other)))).toEqual([])
  })

  test('narrows every expression by its variables, and uses no others', () => {
    const variables = dashboard.templating.list.map(({ name }) => name)
    expect(targetsOf(dashboard).filter(({ expr }) => !expr.includes('namespace=~"$namespace"'))).toEqual([])
    const used = targetsOf(dashboard).flatMap(({ expr }) =>
      [...expr.matchAll(/\$(\w+)/g)].map(([, name]) => name ?? ''),
    )
    expect(new Set(used.filter((name) => !name.startsWith('__')))).toEqual(new Set(variables.slice(1)))
  })

  test('names series by labels that they are left with', () => {
    const lost = targetsOf(dashboard).filter(({ expr, legendFormat = '' }) => {
      const kept = /\bby \(([^)]*)\)/.exec(expr)?.[1]?.split(', ')
      const labels = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label ?? '')
      return kept !== undefined && labels.some((label) => !kept.includes(label))
    })
    expect(lost).toEqual([])
  })

  test('goes by metrics that a hub has', () => {
    const families = familiesOf(SECOND)
    const names = [...targetsOf(dashboard).map(({ expr }) => expr), ...queriesOf(dashboard)].flatMap((expr) => [...metricNames(expr)]) // prettier-ignore
    expect(names.filter((name) => !families.has(familyOf(name)))).toEqual([])
    expect(new Set(names).size).toBeGreaterThan(10)
  })
})

describe.skipIf(missing !== undefined)(`by promtool${missing === undefined ? '' : `: ${missing}`}`, () => {
  let promtool: Promtool
  beforeAll(async () => {
    promtool = await Promtool.open('groups: []')
  })
  afterAll(() => promtool?.[Symbol.dispose]())

  /** The first scrape for ten minutes, then the second. */
  const series = new Map(recordedSeries().map((one) => [scrapedKey(one), `${one.first}x10 ${one.second}x48`]))

  test.each(dashboards)('every panel of %s shows something', async (_, dashboard) => {
    const questions = targetsOf(dashboard).map(({ expr }) => ({
      // Not even a quotient of nothing by nothing.
      expr: `(count((${concrete(expr)}) > -Inf) or vector(0)) > bool 0`,
      atMinute: 12,
      value: 1,
    }))
    expect(await promtool.ask({ series, questions })).toContain('SUCCESS')
  })
})

/** As Grafana fills it in for all namespaces, connectors and replicas of an hour. */
function concrete(expr: string): string {
  return expr
    .replaceAll('$__rate_interval', '5m')
    .replaceAll('$__range', '1h')
    .replaceAll(/\$(namespace|connector|instance)\b/g, '.*')
}
