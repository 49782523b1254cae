// Reads the chart's table of OpenFaaS's keys: where each stands in a chart of theirs and in hub.yaml. For the schema of the
// chart's values and the tests.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { load } from 'js-yaml'

export const DEPLOY = join(import.meta.dirname, '../../deploy')
export const CHART = join(DEPLOY, 'helm/connector-hub')

/** How a value of an OpenFaaS chart becomes one of hub.yaml. */
export type KeyKind =
  | 'text'
  | 'list'
  | 'entries'
  | 'integer'
  | 'boolean'
  | 'mode'
  | 'level'
  | 'secret'
  | 'credentials'
  | 'password'
  | 'basicAuth'

export interface ChartKey {
  /** With dots where their values nest. */
  readonly key: string
  readonly also: readonly string[]
  readonly as: KeyKind
  /** Key of hub.yaml outside `connectors`, with dots. */
  readonly hub?: string
  /** Key of the connector, with dots. */
  readonly config?: string
  /** The switch without which the key is refused. */
  readonly with?: string
}

type Row = Partial<Omit<ChartKey, 'key'>>

const TABLE = load(readFileSync(join(CHART, 'files/openfaas.yaml'), 'utf8')) as Readonly<
  Record<string, Readonly<Record<string, Row>>>
>

/** Of a section of the table: `all`, or a connector. */
export function chartKeys(section: string): readonly ChartKey[] {
  return Object.entries(TABLE[section] ?? {}).map(([key, row]) => ({ ...row, key, also: row.also ?? [], as: row.as ?? 'text' })) // prettier-ignore
}

export const SECTIONS = Object.keys(TABLE).filter((section) => section !== 'all')
