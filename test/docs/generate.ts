// `npm run docs`: writes the tables of the READMEs and the JSON Schema from the declarations they describe.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import {
  FILTER_VARIABLES,
  RETRY_ANNOTATIONS,
  SETTING_ANNOTATIONS,
  TRIGGER_ANNOTATIONS,
} from '../../src/discovery/index.ts'
import { hubFields, instanceFields } from '../../src/hub/config-fields.ts'
import { builtInTypes, loadManifest } from '../../src/hub/registry.ts'
import { hubJsonSchema } from '../../src/hub/schema.ts'
import { ERROR_CODES, environmentNames, termsByVariant } from '../../src/sdk/index.ts'
import type { Field, Fields } from '../../src/sdk/index.ts'
import { CHART, DEPLOY } from '../deploy/chart-keys.ts'
import { valuesSchema } from '../deploy/values-schema.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** Every generated file and every README with generated blocks: its path and its text as it should be. */
export async function generated(): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>()
  const manifests = await Promise.all(builtInTypes().map(loadManifest))
  for (const { name, fields } of manifests) {
    const path = join(ROOT, 'connectors', name, 'README.md')
    files.set(
      path,
      fill(readFileSync(path, 'utf8'), {
        fields: Object.keys(fields).length === 0 ? 'None.' : fieldTable(fields, `HUB_${name.toUpperCase()}`),
      }),
    )
  }
  const readme = join(ROOT, 'README.md')
  const connectors = manifests.flatMap((manifest) =>
    termsByVariant(manifest).map(({ when, guarantee, order, capabilities }) => [
      when === undefined ? `[${manifest.title}](connectors/${manifest.name}/README.md)` : `… with \`${when}\``,
      when === undefined ? manifest.status : '',
      guarantee,
      order,
      capabilities.retry === 'held' ? 'held by the hub' : 'given back',
      capabilities.shared
        ? 'share'
        : capabilities.takesTurns === false
          ? 'do not share'
          : 'take turns with `leader.enabled`',
      capabilities.reject,
    ]),
  )
  const annotations = Object.entries({ ...TRIGGER_ANNOTATIONS, ...SETTING_ANNOTATIONS, ...RETRY_ANNOTATIONS })
  files.set(
    readme,
    fill(readFileSync(readme, 'utf8'), {
      connectors: table(['connector', 'status', 'guarantee', 'order', 'retry', 'replicas', 'dead letters'], connectors),
      annotations: `${table(
        ['annotation', 'meaning'],
        annotations.map(([key, declared]) => [`\`${key}\``, meaning(declared)]),
      )}\n\nA filter is a [CEL](https://cel.dev) expression over ${Object.keys(FILTER_VARIABLES)
        .map((name) => `\`${name}\``)
        .join(', ')}.`,
      config: `${fieldTable(hubFields, 'HUB')}\n\nEvery instance under \`connectors\`:\n\n${fieldTable(instanceFields, undefined)}`,
      errors: table(
        ['code', 'meaning', 'fix'],
        Object.entries(ERROR_CODES).map(([code, { meaning: means, fix }]) => [`\`${code}\``, means, fix]),
      ),
    }),
  )
  files.set(join(ROOT, 'deploy/hub.schema.json'), `${JSON.stringify(hubJsonSchema(manifests), null, 2)}\n`)
  files.set(join(CHART, 'values.schema.json'), `${JSON.stringify(valuesSchema(manifests), null, 2)}\n`)
  // A chart reads files of its own alone.
  files.set(join(CHART, 'files/alerts.yaml'), readFileSync(join(DEPLOY, 'prometheus/alerts.yaml'), 'utf8'))
  return files
}

function meaning(declared: unknown): string {
  if (typeof declared === 'string') return declared
  const { options, description, values } = declared as {
    options?: { description: string }
    description?: string
    values?: readonly string[]
  }
  return (
    (options?.description ?? description ?? '') +
    (values === undefined ? '' : ` One of ${values.map((value) => `\`${value}\``).join(', ')}.`)
  )
}

function fieldTable(fields: Fields, envPrefix: string | undefined): string {
  return table(['key', 'type', 'default', 'environment', 'description'], rows(fields, envPrefix, ''))
}

function rows(fields: Fields, envPrefix: string | undefined, path: string): string[][] {
  return Object.entries(fields).flatMap(([name, declared]) => {
    const environment = environmentNames(name, declared, envPrefix)
    if (declared.fields !== undefined) return rows(declared.fields, environment[0], `${path}${name}.`)
    const key = declared.kind === 'secret' ? `\`${path}${name}\`, \`${path}${name}File\`` : `\`${path}${name}\``
    return [
      [
        key,
        type(declared),
        initial(declared),
        environment.map((variable) => `\`${variable}\``).join(' '),
        declared.options.description,
      ],
    ]
  })
}

function type({ kind, values }: Field): string {
  return values === undefined ? kind : values.map((value) => `\`${value}\``).join(' ')
}

function initial({ options }: Field): string {
  if (options.required === true) return 'required'
  const { default: value } = options
  if (value === undefined) return ''
  return Array.isArray(value) && value.length === 0
    ? 'empty'
    : `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``
}

function table(header: readonly string[], body: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', String.raw`\|`)).join(' | ')} |`
  return [line(header), line(header.map(() => '---')), ...body.map(line)].join('\n')
}

/** @throws Error when a block is missing */
function fill(text: string, blocks: Readonly<Record<string, string>>): string {
  let filled = text
  for (const [name, content] of Object.entries(blocks)) {
    const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`]
    const from = filled.indexOf(begin)
    const to = filled.indexOf(end)
    if (from === -1 || to < from) throw new Error(`there is no block ${begin} … ${end}`)
    filled = `${filled.slice(0, from + begin.length)}\n\n<!-- Generated by npm run docs. -->\n<!-- prettier-ignore -->\n${content}\n\n${filled.slice(to)}`
  }
  return filled
}

if (import.meta.main) for (const [path, text] of await generated()) writeFileSync(path, text)
