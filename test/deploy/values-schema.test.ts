// The schema of the chart's values, by a validator of its own: what the hub can be told, the chart can be told, and nothing
// else; what stands in values.yaml is all there is.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { Ajv } from 'ajv'
import { load } from 'js-yaml'
import { describe, expect, test } from 'vitest'

import { instanceFields } from '../../src/hub/config-fields.ts'
import { builtInTypes, loadManifest } from '../../src/hub/registry.ts'
import type { Fields } from '../../src/sdk/index.ts'
import { CHART } from './chart-keys.ts'
import { POD_KEYS } from './pod-schema.ts'

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>
  readonly definitions?: Readonly<Record<string, Schema>>
  readonly items?: { readonly anyOf?: readonly Schema[] }
  readonly additionalProperties?: unknown
}

const SCHEMA = JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8')) as Schema
const VALUES = load(readFileSync(join(CHART, 'values.yaml'), 'utf8')) as { readonly common: Readonly<Record<string, unknown>> } // prettier-ignore
const ajv = new Ajv({ strict: false, allErrors: true })
const validate = ajv.compile(SCHEMA)

/** Paths of the fields as values may have them: of a secret, its file alone. */
function fieldPaths(fields: Fields, path = ''): readonly string[] {
  return Object.entries(fields).flatMap(([name, declared]) => {
    if (declared.kind === 'secret') return [`${path}${name}File`]
    if (declared.fields !== undefined) return fieldPaths(declared.fields, `${path}${name}.`)
    return declared.entry === undefined ? [`${path}${name}`] : fieldPaths(declared.entry, `${path}${name}[].`)
  })
}

/** The same of a schema, all of whose mappings have to be closed. */
function schemaPaths(schema: Schema, path = ''): readonly string[] {
  if (schema.additionalProperties !== false) throw new Error(`${path} takes any key`)
  return Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => {
    const entry = inner.items?.anyOf?.find((one) => one.properties !== undefined)
    if (entry !== undefined) return schemaPaths(entry, `${path}${name}[].`)
    return inner.properties === undefined ? [`${path}${name}`] : schemaPaths(inner, `${path}${name}.`)
  })
}

describe('values.schema.json', () => {
  test.each(builtInTypes())(
    'the config of %s has every field of the hub, and no secret but by its file',
    async (type) => {
      const { fields } = await loadManifest(type)
      const config = SCHEMA.definitions?.[type]?.properties?.['config'] ?? {}
      const { type: _, leader, ...ofInstance } = instanceFields
      expect(leader.kind).toBe('choice')
      expect(new Set(schemaPaths(config))).toEqual(new Set(fieldPaths({ ...fields, ...ofInstance })))
    },
  )

  test('takes the values of the chart, and refuses each key of them when it is misspelled', () => {
    expect([validate(VALUES), validate.errors]).toEqual([true, null])
    for (const key of Object.keys(VALUES.common)) {
      const wrong = { ...VALUES, common: { ...VALUES.common, [`${key}x`]: 1 } }
      expect([key, validate(wrong)]).toEqual([key, false])
    }
  })

  test('every key of a pod stands in values.yaml, with its default', () => {
    const missing = Object.entries(POD_KEYS as Readonly<Record<string, Schema>>).flatMap(([key, { properties }]) => {
      const own = VALUES.common[key]
      if (own === undefined) return [key]
      if (key === 'resources' || properties === undefined) return []
      return Object.keys(properties).flatMap((inner) => (inner in (own as object) ? [] : [`${key}.${inner}`]))
    })
    expect(missing).toEqual([])
  })

  test('bounds what the hub bounds', () => {
    const said = (entry: object): boolean => validate({ ...VALUES, connectors: { x: { type: 'kafka', ...entry } } })
    expect(said({ config: { order: 'partition', maxBytes: 1024 } })).toBe(true)
    expect(said({ config: { order: 'partitions' } })).toBe(false)
    expect(said({ config: { maxBytes: 1023 } })).toBe(false)
    expect(said({ config: { fetchWait: '250' } })).toBe(false)
    expect(said({ hub: { limits: { inFlightMax: 0 } } })).toBe(false)
    expect(said({ hub: { defaults: { retry: { codes: [429, 42] } } } })).toBe(false)
  })
})
