// Makes values.schema.json of the chart from the declarations that parse hub.yaml and from the chart's table of OpenFaaS's
// keys, so that helm refuses what the hub would refuse. Called by `npm run docs`.

import { hubFields, instanceFields } from '../../src/hub/config-fields.ts'
import { fieldsJsonSchema } from '../../src/sdk/index.ts'
import type { Field, Fields, Manifest } from '../../src/sdk/index.ts'
import { chartKeys } from './chart-keys.ts'
import type { ChartKey } from './chart-keys.ts'
import { POD_KEYS, POD_KEYS_READ, closed, wholePods } from './pod-schema.ts'
import type { Schema } from './pod-schema.ts'

/** Set by the templates: where the pod has its volume, its ports and its place in the cluster. In a pod there is no kubeconfig. */
const OF_THE_CHART = ['stateDir', 'admin', 'scaler', 'kubernetes.kubeconfig', 'kubernetes.context', 'leader.enabled', 'leader.lease', 'leader.identity', 'leader.namespace'] // prettier-ignore

/** Draft 7, which every helm 3 reads. @param manifests of the built-in connectors */
export function valuesSchema(manifests: readonly Manifest[]): Schema {
  const names = manifests.map(({ name }) => name)
  const hub = ownSchema(hubFields, OF_THE_CHART)
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'connector-hub',
    ...closed({
      global: { type: 'object' },
      image: {
        ...closed({
          repository: { type: 'string', minLength: 1 },
          tag: { type: 'string' },
          digest: { type: 'string', pattern: '^(sha256:[0-9a-f]{64})?$' },
          pullPolicy: { enum: ['Always', 'IfNotPresent', 'Never'] },
        }),
        required: ['repository', 'pullPolicy'],
      },
      imagePullSecrets: { type: 'array', items: { type: 'object', required: ['name'] } },
      nameOverride: { type: 'string' },
      fullnameOverride: { type: 'string' },
      prometheusRule: closed({ enabled: { type: 'boolean' }, labels: { type: 'object', additionalProperties: { type: 'string' } } }), // prettier-ignore
      common: {
        ...closed({ ...wholePods(), ...openFaaS('all', undefined), hub: { $ref: '#/definitions/hub' } }),
        required: POD_KEYS_READ,
      },
      connectors: {
        type: 'object',
        propertyNames: { pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$' },
        additionalProperties: {
          type: 'object',
          required: ['type'],
          properties: { type: { enum: names } },
          allOf: names.map((name) => ({
            if: { properties: { type: { const: name } }, required: ['type'] },
            // Without a known type there is one thing to say, and not what each type would say.
            then: { $ref: `#/definitions/${name}` },
          })),
        },
      },
    }),
    required: ['image', 'common', 'prometheusRule'],
    definitions: { hub, ...Object.fromEntries(manifests.map((manifest) => [manifest.name, entrySchema(manifest)])) },
  }
}

function entrySchema(manifest: Manifest): Schema {
  const fields: Fields = { ...manifest.fields, ...instanceFields }
  // Whether replicas take turns is what leaderElection says.
  const config = ownSchema(fields, ['type', 'leader'])
  // What may come from a key of OpenFaaS's chart instead, the hub itself requires.
  return {
    ...closed({
      ...POD_KEYS,
      ...openFaaS('all', manifest),
      ...openFaaS(manifest.name, manifest),
      type: { const: manifest.name },
      hub: { $ref: '#/definitions/hub' },
      config,
    }),
    ...(Array.isArray(config['required']) ? { required: ['type', 'config'] } : {}),
  }
}

/** Properties for the rows of a section, under each of their spellings. */
function openFaaS(section: string, manifest: Manifest | undefined): Readonly<Record<string, Schema>> {
  const properties: Record<string, Schema> = {}
  const groups: Record<string, Record<string, Schema>> = {}
  for (const row of chartKeys(section)) {
    for (const key of [row.key, ...row.also]) {
      const [outer = '', inner] = key.split('.')
      if (inner === undefined) properties[key] = keySchema(row, manifest)
      else (groups[outer] ??= {})[inner] = keySchema(row, manifest)
    }
  }
  for (const [name, inner] of Object.entries(groups)) properties[name] = closed(inner)
  if (section === 'kafka') Object.assign(properties, KAFKA_SWITCHES)
  return properties
}

/** The hub always logs what becomes of a group's partitions; saslAuth says whether its Secrets count. */
const KAFKA_SWITCHES = { sessionLogging: { const: true }, saslAuth: { type: 'boolean' } } as const

/** Of one row: the form of their charts, with the bounds of the field that it sets. */
function keySchema(row: ChartKey, manifest: Manifest | undefined): Schema {
  switch (row.as) {
    case 'mode':
    case 'level':
    case 'boolean':
    case 'basicAuth':
      return { type: 'boolean' }
    case 'password':
      return { type: 'string' }
    case 'secret':
    case 'credentials':
      return { anyOf: [{ type: 'string' }, { ...closed({ name: { type: 'string', minLength: 1 }, key: { type: 'string', minLength: 1 } }), required: ['name'] }] } // prettier-ignore
    case 'list':
      return { anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' } }] }
    case 'integer':
      return {
        anyOf: [
          { type: 'integer', minimum: 0 },
          { type: 'string', pattern: '^[0-9]+$' },
        ],
      }
    case 'text':
    case 'entries':
      return targetSchema(row, manifest)
  }
}

/** @throws Error when the table names a field that is not there */
function targetSchema({ key, hub, config }: ChartKey, manifest: Manifest | undefined): Schema {
  const path = (hub ?? config ?? '').split('.')
  const name = path.at(-1) ?? ''
  let fields: Fields | undefined = hub === undefined ? manifest?.fields : hubFields
  for (const part of path.slice(0, -1)) fields = fields?.[part]?.fields
  const field: Field | undefined = fields?.[name]
  if (field === undefined) throw new Error(`files/openfaas.yaml: ${key} sets ${path.join('.')}, which is no field`)
  const { [name]: schema } = withoutDefaults(fieldsJsonSchema({ [name]: field }))['properties'] as Record<
    string,
    Schema
  >
  return schema ?? {}
}

/**
 * Secrets are files: what is in values, everybody reads who may read the release.
 * @param left paths of fields that are left out
 */
function ownSchema(fields: Fields, left: readonly string[] = [], path = ''): Record<string, unknown> {
  const properties: Record<string, unknown> = {}
  const required: string[] = []
  for (const [name, declared] of Object.entries(fields)) {
    if (left.includes(`${path}${name}`)) continue
    if (declared.kind === 'secret')
      properties[`${name}File`] = { type: 'string', description: `File that holds ${name}.` }
    else if (declared.fields !== undefined)
      properties[name] = {
        description: declared.options.description,
        ...ownSchema(declared.fields, left, `${path}${name}.`),
      }
    else if (declared.entry !== undefined)
      properties[name] = {
        description: declared.options.description,
        type: 'array',
        items: { anyOf: [{ type: 'string' }, ownSchema(declared.entry)] },
      }
    else {
      const schema = fieldsJsonSchema({ [name]: declared })
      Object.assign(properties, withoutDefaults(schema)['properties'])
    }
    if (declared.options.required === true && declared.kind !== 'secret') required.push(name)
  }
  return {
    type: 'object',
    additionalProperties: false,
    properties,
    ...(required.length === 0 ? {} : { required }),
  }
}

/** Helm fills nothing in by a schema. */
function withoutDefaults(schema: Record<string, unknown>): Record<string, unknown> {
  const strip = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(strip)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).filter(([key]) => key !== 'default').map(([key, inner]) => [key, strip(inner)])) // prettier-ignore
  }
  return strip(schema) as Record<string, unknown>
}
