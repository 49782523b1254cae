// Configuration fields: one declaration gives the type, parsing, defaults, environment names, lint findings, the README
// table and the JSON Schema.

import { readFileSync } from 'node:fs'
import { z } from 'zod'

import { HubError, errorText } from './errors.ts'
import { isRecord } from './is-record.ts'
import { nearest } from './nearest.ts'
import { Secret } from './secret.ts'
import { formatDuration, formatSize, parseDuration, parseSize } from './units.ts'

export type FieldKind =
  | 'string'
  | 'url'
  | 'secret'
  | 'integer'
  | 'boolean'
  | 'duration'
  | 'size'
  | 'choice'
  | 'list'
  | 'map'
  | 'group'

export interface FieldOptions {
  /** One sentence for the README and the schema. */
  readonly description: string
  readonly required?: true
  readonly default?: unknown
  readonly example?: unknown
  /** Further environment names that set this field, such as OpenFaaS's own; `HUB_<INSTANCE>_<FIELD>` always does. */
  readonly env?: readonly string[]
}

/** A declared field. `T` is what the connector gets. */
export interface Field<T = unknown> {
  readonly kind: FieldKind
  readonly options: FieldOptions
  /** Allowed values of a choice. */
  readonly values?: readonly string[]
  /** Fields of a group. */
  readonly fields?: Fields
  /** Fields of each mapping in a list. */
  readonly entry?: Fields
  readonly schema: z.ZodType
  /** Environment text to the same input form as YAML gives. */
  readonly fromText: (text: string) => unknown
  /** Type only. */
  readonly output?: T
}

export type Fields = Readonly<Record<string, Field>>
export type ConfigOf<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never }

type Resolved<T, O> = O extends { readonly required: true }
  ? T
  : O extends { readonly default: unknown }
    ? T
    : T | undefined

function make<T, const O extends FieldOptions>(
  kind: FieldKind,
  options: O,
  type: z.ZodType,
  more: { fromText?: (text: string) => unknown; values?: readonly string[]; fields?: Fields; entry?: Fields } = {},
): Field<Resolved<T, O>> {
  const { description, required, default: initial, example } = options
  const described = type.meta({
    description,
    ...(initial === undefined ? {} : { default: initial }),
    ...(example === undefined ? {} : { examples: [example] }),
  })
  const schema = required
    ? described
    : initial === undefined
      ? described.optional()
      : described.prefault(initial as never)
  return { kind, options, schema, fromText: more.fromText ?? ((text) => text), ...more }
}

const durationText = (minMs: number, maxMs: number): z.ZodType =>
  z
    .string({
      error: (issue) =>
        typeof issue.input === 'number'
          ? `needs a unit: write "${issue.input}s" or "${issue.input}ms"`
          : 'must be a duration such as "30s" or "1m30s"',
    })
    .meta({ pattern: '^(0|((\\d+(\\.\\d*)?|\\.\\d+)(ms|us|µs|μs|ns|h|m|s))+)$' })
    .transform((text, context) => {
      const ms = parseDuration(text)
      if (ms === undefined)
        return refuse(
          context,
          /^\d+$/.test(text)
            ? `needs a unit: write "${text}s" or "${text}ms"`
            : 'must be a duration such as "30s" or "1m30s"',
        )
      if (ms < minMs) return refuse(context, `must be at least ${formatDuration(minMs)}`)
      if (ms > maxMs) return refuse(context, `must be at most ${formatDuration(maxMs)}`)
      return ms
    })

const sizeText = (minBytes: number, maxBytes: number): z.ZodType =>
  z
    .string({
      error: (issue) =>
        typeof issue.input === 'number'
          ? `needs a unit: write "${issue.input}B" or "${issue.input}KiB"`
          : 'must be a size such as "512KiB" or "1MiB"',
    })
    .meta({ pattern: '^\\d+(\\.\\d+)?\\s*(B|KiB|MiB|GiB|kB|MB|GB)$' })
    .transform((text, context) => {
      const bytes = parseSize(text)
      if (bytes === undefined)
        return refuse(
          context,
          /^\d+$/.test(text)
            ? `needs a unit: write "${text}B" or "${text}KiB"`
            : 'must be a size such as "512KiB" or "1MiB"',
        )
      if (bytes < minBytes) return refuse(context, `must be at least ${formatSize(minBytes)}`)
      if (bytes > maxBytes) return refuse(context, `must be at most ${formatSize(maxBytes)}`)
      return bytes
    })

function refuse(context: z.core.$RefinementCtx, message: string): typeof z.NEVER {
  context.issues.push({ code: 'custom', message, input: context.value })
  return z.NEVER
}

function splitText(input: unknown): unknown {
  if (typeof input !== 'string') return input
  return input.split(',').map((part) => part.trim()).filter((part) => part !== '') // prettier-ignore
}

/** JSON where it looks like a list in JSON; null, which is refused as no list, where it is broken. */
function jsonList(text: string): unknown {
  if (!text.trimStart().startsWith('[')) return text
  try {
    return JSON.parse(text) as unknown
  } catch {
    return null
  }
}

/** Text that YAML may have read as a number or boolean (`password: 1234`). */
const scalarText = z.preprocess(
  (input) => (typeof input === 'number' || typeof input === 'boolean' ? String(input) : input),
  z.string({ error: 'must be text' }),
)

/** The field constructors. */
export const field = {
  string<const O extends FieldOptions & { readonly pattern?: RegExp; readonly patternHint?: string }>(
    options: O,
  ): Field<Resolved<string, O>> {
    const type =
      options.pattern === undefined
        ? z.string({ error: 'must be text' })
        : z
            .string({ error: 'must be text' })
            .regex(options.pattern, { error: options.patternHint ?? `must match ${options.pattern.source}` })
    return make<string, O>('string', options, type)
  },

  /** A URL with one of `protocols` (with colon, `mqtt:`). */
  url<const O extends FieldOptions & { readonly protocols: readonly string[] }>(
    options: O,
  ): Field<Resolved<string, O>> {
    const type = z
      .string({ error: 'must be a URL' })
      .refine((text) => URL.canParse(text) && options.protocols.includes(new URL(text).protocol), {
        error: `must be a URL that starts with ${options.protocols.map((protocol) => `${protocol}//`).join(', ')}`,
      })
    return make<string, O>('url', options, type)
  },

  /** A secret. Also declares `<name>File`, the path of a file that holds it (trailing white space is cut). */
  secret<const O extends FieldOptions & { readonly default?: never }>(options: O): Field<Resolved<Secret, O>> {
    return make<Secret, O>(
      'secret',
      options,
      scalarText.transform((text) => new Secret(text)),
    )
  },

  integer<const O extends FieldOptions & { readonly min?: number; readonly max?: number }>(
    options: O,
  ): Field<Resolved<number, O>> {
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = options
    const type = z
      .int({ error: 'must be a whole number' })
      .min(min, { error: `must be at least ${min}` })
      .max(max, { error: `must be at most ${max}` })
    return make<number, O>('integer', options, type, {
      fromText: (text) => (/^-?\d+$/.test(text) ? Number(text) : text),
    })
  },

  boolean<const O extends FieldOptions>(options: O): Field<Resolved<boolean, O>> {
    const truth: Readonly<Record<string, boolean>> = { true: true, '1': true, false: false, '0': false }
    return make<boolean, O>('boolean', options, z.boolean({ error: 'must be true or false' }), {
      fromText: (text) => truth[text.toLowerCase()] ?? text,
    })
  },

  /** Written with a unit, given to the connector in milliseconds. */
  duration<const O extends FieldOptions & { readonly minMs?: number; readonly maxMs?: number }>(
    options: O,
  ): Field<Resolved<number, O>> {
    return make<number, O>(
      'duration',
      options,
      durationText(options.minMs ?? 0, options.maxMs ?? Number.MAX_SAFE_INTEGER),
    )
  },

  /** Written with a unit, given to the connector in bytes. */
  size<const O extends FieldOptions & { readonly minBytes?: number; readonly maxBytes?: number }>(
    options: O,
  ): Field<Resolved<number, O>> {
    return make<number, O>(
      'size',
      options,
      sizeText(options.minBytes ?? 0, options.maxBytes ?? Number.MAX_SAFE_INTEGER),
    )
  },

  choice<const V extends readonly (string | number)[], const O extends FieldOptions>(
    values: V,
    options: O,
  ): Field<Resolved<V[number], O>> {
    const type = z.literal(values as readonly (string | number)[], {
      error: (issue) => `must be one of ${values.join(', ')}${suggestion(String(issue.input), values.map(String))}`,
    })
    const fromText = (text: string): unknown => values.find((value) => String(value) === text) ?? text
    return make<V[number], O>('choice', options, type, { values: values.map(String), fromText })
  },

  /** A list of texts; one text with commas, too, as environment variables have it. */
  list<const O extends FieldOptions>(options: O): Field<Resolved<readonly string[], O>> {
    const type = z.preprocess(splitText, z.array(z.string({ error: 'must be text' }), { error: 'must be a list' }))
    return make<readonly string[], O>('list', options, type)
  },

  /** A list of HTTP statuses; one text with commas, too. */
  statuses<const O extends FieldOptions>(options: O): Field<Resolved<readonly number[], O>> {
    const status = z.preprocess(
      (item) => (typeof item === 'string' && /^\d{3}$/.test(item) ? Number(item) : item),
      z.custom<number>((item) => Number.isInteger(item) && Number(item) >= 100 && Number(item) <= 599, {
        error: (issue) => `holds ${JSON.stringify(issue.input)}, which is not an HTTP status from 100 to 599`,
      }),
    )
    const type = z
      .preprocess(
        splitText,
        z.array(status, { error: 'must be a list of HTTP statuses' }).min(1, { error: 'holds no status' }),
      )
      .meta({ items: { type: 'integer', minimum: 100, maximum: 599 } })
    return make<readonly number[], O>('list', options, type)
  },

  /**
   * A list of mappings with these fields; a text alone stands for a mapping with `shorthand`. In the environment: JSON, or
   * the texts with commas.
   */
  entries<const F extends Fields, const O extends FieldOptions & { readonly shorthand: keyof F & string }>(
    fields: F,
    options: O,
  ): Field<Resolved<readonly ConfigOf<F>[], O>> {
    const entry = z.preprocess(
      (item) => (typeof item === 'string' ? { [options.shorthand]: item } : item),
      objectSchema(fields),
    )
    const type = z.preprocess(splitText, z.array(entry, { error: 'must be a list' }))
    const items = { anyOf: [{ type: 'string' }, z.toJSONSchema(objectSchema(fields), { io: 'input' })] }
    return make<readonly ConfigOf<F>[], O>('list', options, type.meta({ type: 'array', items }), {
      fromText: jsonList,
      entry: fields,
    })
  },

  /** Text by text. */
  map<const O extends FieldOptions>(options: O): Field<Resolved<Readonly<Record<string, string>>, O>> {
    return make<Readonly<Record<string, string>>, O>(
      'map',
      options,
      z.record(z.string(), scalarText, { error: 'must be a mapping' }),
    )
  },

  /** Fields under one key. Always there, with the defaults of its fields. */
  group<const F extends Fields>(description: string, fields: F): Field<ConfigOf<F>> {
    return make<ConfigOf<F>, { description: string; default: object }>(
      'group',
      { description, default: {} },
      objectSchema(fields),
      { fields },
    )
  },
} as const

/** `tls` as every connector with TCP has it. */
export const tlsFields = {
  caFile: field.string({
    description: 'PEM file of the CA that signed the server certificate; by default the system CAs.',
    example: '/etc/hub/ca.pem',
  }),
  certFile: field.string({ description: 'PEM file of the client certificate.', example: '/etc/hub/client.pem' }),
  keyFile: field.string({
    description: 'PEM file of the key of the client certificate.',
    example: '/etc/hub/client.key',
  }),
  serverName: field.string({
    description: 'Name expected in the server certificate, where it is not the host in the address.',
  }),
  insecureSkipVerify: field.boolean({
    description: 'Accept any server certificate. Never in production.',
    default: false,
  }),
} as const

function objectSchema(fields: Fields): z.ZodType {
  const shape: Record<string, z.ZodType> = {}
  for (const [name, declared] of Object.entries(fields)) {
    shape[name] = declared.schema
    if (declared.kind === 'secret') {
      // The value may come from the file instead, so the schema alone cannot require it; `readSecrets` does.
      shape[name] = declared.schema.optional()
      shape[`${name}File`] = z
        .string({ error: 'must be the path of a file' })
        .optional()
        .meta({ description: `File that holds ${name}.` })
    }
  }
  return z.strictObject(shape, { error: (issue) => (issue.code === 'invalid_type' ? 'must be a mapping' : undefined) })
}

/** One finding about a configuration; `path` leads to it from the root of the file. */
export interface ConfigProblem {
  readonly path: readonly (string | number)[]
  readonly message: string
  /** The environment variable that the value came from, where it did not stand in the file. */
  readonly variable?: string
}

/** What is wrong with a configuration whose fields are each valid. */
export interface ConfigFault {
  /** Key that it is about, with dots: `tls`, `hooks.0`; empty: the whole. */
  readonly at: string
  /** Follows the key: `is empty`. Never a secret. */
  readonly message: string
  /** What to do, one sentence. */
  readonly hint: string
}

export interface ParseOptions<F extends Fields = Fields> {
  /** Where these fields stand in the file, for messages. */
  readonly path?: readonly (string | number)[]
  /** Environment; a field set in the file wins over it. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Gives every field the name `<prefix>_<FIELD>`, e.g. `HUB_MQTT`. */
  readonly envPrefix?: string
  /** Lint looks at files of other machines: leave secret files unread. Default true. */
  readonly readSecretFiles?: boolean
  /** The text of a value as it was written: a secret such as 0123 is more than the number that YAML makes of it. */
  readonly asWritten?: (path: readonly (string | number)[]) => string | undefined
  /** Asked last, when every field is valid. */
  readonly check?: (config: ConfigOf<F>) => ConfigFault | undefined
}

/** Parses without throwing: the configuration, or every problem at once. */
export function checkConfig<F extends Fields>(
  fields: F,
  input: unknown,
  options: ParseOptions<F> = {},
):
  | { readonly config: ConfigOf<F>; readonly problems: readonly [] }
  | { readonly config?: undefined; readonly problems: readonly ConfigProblem[] } {
  const path = options.path ?? []
  const problems: ConfigProblem[] = []
  let value: unknown = input ?? {}
  /** Variables that were used, by path below `path`. */
  const used = new Map<string, string>()
  if (isRecord(value)) {
    value = withEnvironment(
      fields,
      value,
      options.env ?? {},
      options.envPrefix,
      (at, variable) => void used.set(at, variable),
    )
    value = withSecrets(fields, value as Record<string, unknown>, path, problems, options)
  }
  const result = objectSchema(fields).safeParse(value)
  if (result.success && problems.length === 0) {
    const config = withoutFileKeys(fields, result.data as Record<string, unknown>) as ConfigOf<F>
    const fault = options.check?.(config)
    return fault === undefined ? { config, problems: [] } : { problems: [problemOf(fault, path)] }
  }
  for (const issue of result.error?.issues ?? []) {
    const variable = issue.path.map((_, length) => used.get(issue.path.slice(0, length + 1).join('.'))).find(Boolean)
    for (const problem of explain(issue, fields, path, value))
      problems.push(variable === undefined ? problem : { ...problem, variable })
  }
  return { problems }
}

/** @throws HubError HUB_CONFIG_INVALID with every problem in the message and in `details.problems`. */
export function parseConfig<F extends Fields>(fields: F, input: unknown, options: ParseOptions<F> = {}): ConfigOf<F> {
  const { config, problems } = checkConfig(fields, input, options)
  if (config !== undefined) return config
  throw new HubError('HUB_CONFIG_INVALID', problems.map(problemText).join('; '), { details: { problems } })
}

/** `connectors.orders.url (HUB_ORDERS_URL) must be a URL …` */
export function problemText(problem: ConfigProblem): string {
  const { path, message, variable } = problem
  const from = variable === undefined ? '' : `(${variable}) `
  return path.length === 0 ? message : `${path.join('.')} ${from}${message}`
}

/** JSON Schema (2020-12) of an object with these fields, as the file is written. */
export function fieldsJsonSchema(fields: Fields): Record<string, unknown> {
  return z.toJSONSchema(objectSchema(fields), { io: 'input', unrepresentable: 'any' })
}

/** The environment names of one field, strongest first. */
export function environmentNames(name: string, declared: Field, envPrefix: string | undefined): readonly string[] {
  const own =
    envPrefix === undefined ? [] : [`${envPrefix}_${name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase()}`]
  return [...own, ...(declared.options.env ?? [])]
}

function withEnvironment(
  fields: Fields,
  input: Record<string, unknown>,
  env: NonNullable<ParseOptions['env']>,
  envPrefix: string | undefined,
  used: (path: string, variable: string) => void,
): Record<string, unknown> {
  // A key without a value (`tls:` with everything under it commented out) is null in YAML and means nothing was set.
  const merged = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== null))
  for (const [name, declared] of Object.entries(fields)) {
    if (declared.fields !== undefined) {
      const inner = merged[name] ?? {}
      const prefix = environmentNames(name, declared, envPrefix)[0]
      if (isRecord(inner)) merged[name] = withEnvironment(declared.fields, inner, env, prefix, (path, variable) => used(`${name}.${path}`, variable)) // prettier-ignore
      continue
    }
    if (merged[name] !== undefined || (declared.kind === 'secret' && merged[`${name}File`] !== undefined)) continue
    const variable = environmentNames(name, declared, envPrefix).find((one) => (env[one] ?? '') !== '')
    const text = variable === undefined ? undefined : env[variable]
    if (variable !== undefined && text !== undefined) {
      merged[name] = declared.fromText(text)
      used(name, variable)
    }
    if (declared.kind !== 'secret' || text !== undefined || envPrefix === undefined) continue
    const file = env[environmentNames(`${name}File`, declared, envPrefix)[0] as string]
    if (file !== undefined && file !== '') merged[`${name}File`] = file
  }
  return merged
}

/** Stands for the text of a file that is left unread; base64, as some secrets have to be. */
const UNREAD = Buffer.from('not read').toString('base64')

function withSecrets(
  fields: Fields,
  input: Record<string, unknown>,
  path: readonly (string | number)[],
  problems: ConfigProblem[],
  options: Pick<ParseOptions, 'readSecretFiles' | 'asWritten'>,
): Record<string, unknown> {
  const merged = { ...input }
  for (const [name, declared] of Object.entries(fields)) {
    const inner = merged[name]
    if (declared.fields !== undefined && isRecord(inner))
      merged[name] = withSecrets(declared.fields, inner, [...path, name], problems, options)
    const { entry } = declared
    if (entry !== undefined && Array.isArray(inner))
      merged[name] = inner.map((item: unknown, index) => isRecord(item) ? withSecrets(entry, item, [...path, name, index], problems, options) : item) // prettier-ignore
    if (declared.kind !== 'secret') continue
    if (typeof inner === 'number' || typeof inner === 'boolean') merged[name] = options.asWritten?.([...path, name]) ?? inner // prettier-ignore
    const file = merged[`${name}File`]
    if (file !== undefined && merged[name] !== undefined)
      problems.push({
        path: [...path, `${name}File`],
        message: `cannot be set together with ${name}; remove one of them`,
      })
    else if (typeof file === 'string' && options.readSecretFiles === false) merged[name] = UNREAD
    else if (typeof file === 'string') {
      try {
        merged[name] = readFileSync(file, 'utf8').trimEnd()
      } catch (error) {
        problems.push({ path: [...path, `${name}File`], message: `cannot be read: ${errorText(error)}` })
      }
    } else if (declared.options.required && file === undefined && merged[name] === undefined)
      problems.push({ path: [...path, name], message: 'is required (or its twin ending in File)' })
  }
  return merged
}

function withoutFileKeys(fields: Fields, config: Record<string, unknown>): Record<string, unknown> {
  const cleaned = { ...config }
  for (const [name, declared] of Object.entries(fields)) {
    if (declared.kind === 'secret') delete cleaned[`${name}File`]
    const inner = cleaned[name]
    if (declared.fields !== undefined && isRecord(inner)) cleaned[name] = withoutFileKeys(declared.fields, inner)
    const { entry } = declared
    if (entry !== undefined && Array.isArray(inner))
      cleaned[name] = inner.map((item) => withoutFileKeys(entry, item as Record<string, unknown>))
  }
  return cleaned
}

function problemOf({ at, message, hint }: ConfigFault, path: readonly (string | number)[]): ConfigProblem {
  const inner = at === '' ? [] : at.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : part))
  return { path: [...path, ...inner], message: `${message}. ${hint}` }
}

function explain(
  issue: z.core.$ZodIssue,
  fields: Fields,
  path: readonly (string | number)[],
  value: unknown,
): ConfigProblem[] {
  const at = [...path, ...(issue.path as (string | number)[])]
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(fields, issue.path as (string | number)[])
    return issue.keys.map((key) => ({ path: [...at, key], message: `is not a known key${suggestion(key, known)}` }))
  }
  // Zod leaves the input out of its issues, so that it cannot leak; whether there was one is looked up here.
  const missing = issue.path.length > 0 && valueAt(value, issue.path) === undefined
  return [{ path: at, message: missing ? 'is required' : issue.message }]
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value)
}

function knownKeys(fields: Fields, path: readonly (string | number)[]): string[] {
  // An index leads to one of the mappings of a list, whose fields the list itself names.
  const inner = path.reduce<Fields | undefined>((at, key) => (typeof key === 'number' ? at : (at?.[key]?.fields ?? at?.[key]?.entry)), fields) ?? {} // prettier-ignore
  return Object.entries(inner).flatMap(([name, declared]) =>
    declared.kind === 'secret' ? [name, `${name}File`] : [name],
  )
}

function suggestion(wrong: string, known: readonly string[]): string {
  const near = nearest(wrong, known)
  if (near !== undefined) return `; did you mean ${near}?`
  return ''
}
