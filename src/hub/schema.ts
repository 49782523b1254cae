// The JSON Schema of hub.yaml, made from the same declarations that parse it. For editors; published as
// deploy/hub.schema.json by `npm run docs`.

import { fieldsJsonSchema } from '../sdk/index.ts'
import type { Fields, Manifest } from '../sdk/index.ts'
import { hubFields, instanceFields } from './config-fields.ts'

type Schema = Readonly<Record<string, unknown>>

const DIALECT = 'https://json-schema.org/draft/2020-12/schema'

/** Draft 2020-12. The keys of a connector follow from its `type`; connectors that are not built in are not checked. */
export function hubJsonSchema(manifests: readonly Manifest[]): Schema {
  const hub = objectSchema(hubFields)
  const names = manifests.map(({ name }) => name)
  return {
    $schema: DIALECT,
    title: 'connector-hub',
    ...hub,
    properties: {
      ...(hub['properties'] as Schema),
      connectors: {
        description: 'By instance name; `topic.<name>` in an annotation is for that instance alone.',
        type: 'object',
        propertyNames: { pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$' },
        additionalProperties: {
          type: 'object',
          required: ['type'],
          properties: {
            type: {
              description: 'A built-in connector, or the package name or path of another one.',
              anyOf: [{ enum: names }, { type: 'string', pattern: '^[./@]|/|-' }],
            },
          },
          allOf: manifests.map(({ name, description, fields }) => ({
            if: { properties: { type: { const: name } } },
            then: { description, ...objectSchema({ ...fields, ...instanceFields }) },
          })),
        },
      },
    },
  }
}

/** Without the dialect, which stands at the root alone. */
function objectSchema(fields: Fields): Schema {
  const schema = fieldsJsonSchema(fields)
  delete schema['$schema']
  return schema
}
