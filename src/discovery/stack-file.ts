// Reads an OpenFaaS stack.yaml (OpenFaaS contract, stack.yaml): functions with everything needed to run and to wire them,
// and where each annotation stands. Starts nothing; called by the stack watcher, the bundled gateway, `plan` and `lint`.

import { dirname, resolve } from 'node:path'

import { HubError, nearest } from '../sdk/index.ts'
import { substituteEnv } from './env-substitution.ts'
import type { Finding } from './finding.ts'
import { fullFunctionName, isRoutableNamespace, type FunctionInfo, type SourcePosition } from './function.ts'
import { YamlFile } from './yaml-file.ts'
import type { YamlEntry } from './yaml-file.ts'

export interface StackResources {
  readonly memory?: string
  readonly cpu?: string
}

export interface StackFunction extends FunctionInfo {
  readonly lang: string | undefined
  /** Absolute. */
  readonly handler: string | undefined
  readonly image: string | undefined
  readonly fprocess: string | undefined
  /** With `environment_file` laid over it; later files win. */
  readonly environment: Readonly<Record<string, string>>
  readonly secrets: readonly string[]
  readonly constraints: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly limits: StackResources
  readonly requests: StackResources
  readonly readonlyRootFilesystem: boolean
  /** Keys that are set and have an effect on its image only: `build_args`, `configuration.copy`. */
  readonly buildKeys: readonly string[]
  /** By annotation key; '' for the function itself. */
  readonly positions: ReadonlyMap<string, SourcePosition>
}

export interface StackFile {
  /** Absolute. */
  readonly path: string
  /** `provider.gateway`. */
  readonly gateway: string | undefined
  /** In file order. */
  readonly functions: readonly StackFunction[]
  readonly findings: readonly Finding[]
  /** Every file that was read, or should have been: watch these. */
  readonly files: readonly string[]
}

export interface StackFileOptions {
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Namespace of functions that name none; '' leaves it to the gateway. */
  readonly namespace?: string
}

/** What goes into an image, or how: a function that runs without one does not have it. */
const BUILD_KEYS = ['build_args', 'build_options', 'build_secrets']
const FUNCTION_KEYS = [
  'lang', 'handler', 'image', 'fprocess', 'environment', 'environment_file', 'secrets', 'constraints', 'labels',
  'annotations', 'limits', 'requests', 'readonly_root_filesystem', 'namespace', 'skip_build', 'platforms',
  ...BUILD_KEYS,
] // prettier-ignore
const TOP_KEYS = ['version', 'provider', 'functions', 'configuration']
/** The name rule of faas-cli. */
const FUNCTION_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const TRUTH: Readonly<Record<string, boolean>> = { true: true, false: false, '': false }

/**
 * Reads the file and what it includes. What is wrong within a function becomes a finding and leaves out only that part.
 * @throws HubError HUB_CONFIG_UNREADABLE when the file cannot be read, is not YAML, or is no stack file
 */
export function readStackFile(path: string, options: StackFileOptions = {}): StackFile {
  return new StackReader(resolve(path), options).read()
}

class StackReader {
  readonly #file: YamlFile
  readonly #env: Readonly<Record<string, string | undefined>>
  readonly #namespace: string
  readonly #findings: Finding[] = []
  readonly #files: string[]
  /** `configuration.copy` where there is one. */
  #copyKeys: readonly string[] = []
  /** Full name of the function being read, for findings. */
  #at = ''

  constructor(path: string, { env = process.env, namespace = '' }: StackFileOptions) {
    this.#env = env
    this.#namespace = namespace
    this.#files = [path]
    this.#file = new YamlFile(path)
  }

  read(): StackFile {
    const { path } = this.#file
    const top = this.#file.entries(this.#file.root)
    if (top === undefined)
      throw unreadable(this.#file.position(this.#file.root), 'a stack file is a mapping with the key functions')
    const declared = top.get('functions')
    const functions = declared === undefined ? undefined : this.#file.entries(declared.value)
    if (functions === undefined)
      throw unreadable(
        declared?.position ?? this.#file.position(this.#file.root),
        'functions must be a mapping of names to functions',
      )
    this.#checkKeys(top, TOP_KEYS, '')
    const configuration = this.#file.entries(top.get('configuration')?.value)
    if (configuration?.has('copy') === true) this.#copyKeys = ['configuration.copy']
    return {
      path,
      gateway: this.#provider(top.get('provider')),
      functions: [...functions].flatMap(([name, entry]) => this.#function(name, entry) ?? []),
      findings: this.#findings,
      files: this.#files,
    }
  }

  #provider(entry: YamlEntry | undefined): string | undefined {
    const provider = this.#file.entries(entry?.value)
    if (entry === undefined || provider === undefined) return undefined
    const name = this.#text(provider.get('name'), 'provider.name')
    if (name !== undefined && name !== 'openfaas' && name !== 'faas')
      this.#find('warning', 'provider.name', `provider.name is "${name}"`, 'Write openfaas.', entry.position)
    return this.#text(provider.get('gateway'), 'provider.gateway')
  }

  #function(name: string, entry: YamlEntry): StackFunction | undefined {
    this.#at = name
    const fields = this.#file.entries(entry.value)
    if (fields === undefined || !FUNCTION_NAME.test(name)) {
      const what = fields === undefined ? 'is not a mapping' : 'is not a lower-case DNS label of at most 63 characters'
      this.#find(
        'error',
        '',
        `function ${name} ${what}; it is left out`,
        fields === undefined
          ? 'Give it handler, image and so on, indented below its name.'
          : 'Use a-z, 0-9 and "-" in the name.',
        entry.position,
      )
      return undefined
    }
    const namespace = this.#readNamespace(fields.get('namespace'))
    const fullName = fullFunctionName(name, namespace)
    this.#at = fullName
    this.#checkKeys(fields, FUNCTION_KEYS, `${name}.`)
    const handler = this.#text(fields.get('handler'), 'handler')
    const annotations = this.#file.entries(fields.get('annotations')?.value)
    return {
      name,
      namespace,
      fullName,
      annotations: this.#map(fields.get('annotations'), 'annotations', this.#file, annotations),
      positions: positions(entry, annotations),
      lang: this.#text(fields.get('lang'), 'lang'),
      handler: handler === undefined ? undefined : resolve(dirname(this.#file.path), handler),
      image: this.#text(fields.get('image'), 'image'),
      fprocess: this.#text(fields.get('fprocess'), 'fprocess'),
      environment: this.#environment(fields),
      secrets: this.#list(fields.get('secrets'), 'secrets'),
      constraints: this.#list(fields.get('constraints'), 'constraints'),
      labels: this.#map(fields.get('labels'), 'labels'),
      limits: this.#resources(fields.get('limits'), 'limits'),
      requests: this.#resources(fields.get('requests'), 'requests'),
      readonlyRootFilesystem: this.#boolean(fields.get('readonly_root_filesystem'), 'readonly_root_filesystem'),
      buildKeys: [...BUILD_KEYS.filter((key) => fields.has(key)), ...this.#copyKeys],
    }
  }

  #readNamespace(entry: YamlEntry | undefined): string {
    const namespace = this.#text(entry, 'namespace') ?? this.#namespace
    if (entry === undefined || namespace === '' || isRoutableNamespace(namespace)) return namespace
    this.#find(
      'error',
      'namespace',
      `namespace "${namespace}" is not valid; the default is used`,
      'Use letters, digits, "-" and "_".',
      entry.position,
    )
    return this.#namespace
  }

  #environment(fields: ReadonlyMap<string, YamlEntry>): Readonly<Record<string, string>> {
    const environment = this.#map(fields.get('environment'), 'environment')
    const entry = fields.get('environment_file')
    for (const name of this.#list(entry, 'environment_file')) {
      const path = resolve(dirname(this.#file.path), name)
      if (!this.#files.includes(path)) this.#files.push(path)
      Object.assign(environment, this.#environmentFile(path, entry as YamlEntry))
    }
    return environment
  }

  #environmentFile(path: string, entry: YamlEntry): Readonly<Record<string, string>> {
    try {
      const file = new YamlFile(path)
      const values = file.entries(file.entries(file.root)?.get('environment')?.value)
      if (values !== undefined) return this.#map(entry, 'environment', file, values)
      this.#find(
        'error',
        'environment_file',
        `${path} has no mapping under environment`,
        'Put the variables below the key environment.',
        entry.position,
      )
    } catch (error) {
      if (!(error instanceof HubError)) throw error
      this.#find('error', 'environment_file', error.message, error.hint, entry.position, 'HUB_CONFIG_UNREADABLE')
    }
    return {}
  }

  #map(
    entry: YamlEntry | undefined,
    key: string,
    file = this.#file,
    given?: ReadonlyMap<string, YamlEntry>,
  ): Record<string, string> {
    const result: Record<string, string> = {}
    if (entry === undefined || (isEmpty(entry) && given === undefined)) return result
    const entries = given ?? file.entries(entry.value)
    if (entries === undefined)
      this.#find(
        'error',
        key,
        `${key} must be a mapping; it is left out`,
        'Write one "name: value" a line.',
        entry.position,
      )
    for (const [name, inner] of entries ?? []) {
      const text = this.#text(inner, `${key}.${name}`, file)
      if (text !== undefined) result[name] = text
    }
    return result
  }

  #list(entry: YamlEntry | undefined, key: string): string[] {
    if (entry === undefined || isEmpty(entry)) return []
    const items = this.#file.items(entry.value)
    if (items === undefined) {
      this.#find('error', key, `${key} must be a list; it is left out`, 'Write one "- value" a line.', entry.position)
      return []
    }
    return items.flatMap((value) => this.#text({ position: this.#file.position(value), value }, key) ?? [])
  }

  #resources(entry: YamlEntry | undefined, key: string): StackResources {
    const { memory, cpu } = this.#map(entry, key)
    return { ...(memory === undefined ? {} : { memory }), ...(cpu === undefined ? {} : { cpu }) }
  }

  #boolean(entry: YamlEntry | undefined, key: string): boolean {
    const text = this.#text(entry, key)
    if (text === undefined) return false
    const value = TRUTH[text.toLowerCase()]
    if (value === undefined && entry !== undefined)
      this.#find('error', key, `${key} must be true or false; it is left out`, 'Write true or false.', entry.position)
    return value ?? false
  }

  /** A text with the environment filled in; undefined where there is none or it is wrong. */
  #text(entry: YamlEntry | undefined, key: string, file = this.#file): string | undefined {
    if (entry === undefined) return undefined
    const text = file.text(entry.value)
    if (text === undefined) {
      this.#find(
        'error',
        key,
        `${key} must be text; it is left out`,
        'Quote the value, or write it on one line.',
        entry.position,
      )
      return undefined
    }
    try {
      const result = substituteEnv(text, this.#env)
      for (const name of result.unset)
        this.#find(
          'warning',
          key,
          `${key} uses \${${name}}, which is not set and counts as empty`,
          `Set ${name}, or write \${${name}:-default}.`,
          entry.position,
        )
      return result.text
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      this.#find('error', key, `${key}: ${error.message}; it is left out`, 'Write $${ for a plain ${.', entry.position)
      return undefined
    }
  }

  #checkKeys(entries: ReadonlyMap<string, YamlEntry>, known: readonly string[], path: string): void {
    for (const [key, { position }] of entries) {
      if (known.includes(key)) continue
      const near = nearest(key, known)
      const also = near === undefined ? '' : `; did you mean ${near}?`
      this.#find(
        'warning',
        key,
        `${path}${key} is not a known key and has no effect${also}`,
        near === undefined ? 'Remove it.' : `Rename it to ${near}.`,
        position,
      )
    }
  }

  #find(
    level: Finding['level'],
    key: string,
    message: string,
    hint: string,
    position: SourcePosition,
    code: Finding['code'] = 'HUB_CONFIG_INVALID',
  ): void {
    const annotation = key.startsWith('annotations.') ? key.slice('annotations.'.length) : key
    const prefix = this.#at === '' || message.startsWith('function ') ? '' : `${this.#at}: `
    this.#findings.push({ level, code, function: this.#at, annotation, message: prefix + message, hint, position })
  }
}

function positions(
  { position: own }: YamlEntry,
  annotations: ReadonlyMap<string, YamlEntry> = new Map(),
): ReadonlyMap<string, SourcePosition> {
  const places = new Map([['', own]])
  for (const [key, { position }] of annotations) places.set(key, position)
  return places
}

function isEmpty({ value }: YamlEntry): boolean {
  return value.kind === 'text' && value.text === null
}

function unreadable({ file, line, column }: SourcePosition, what: string): HubError {
  return new HubError('HUB_CONFIG_UNREADABLE', `${file}:${line}:${column}: ${what}`, {
    hint: 'See the example of a stack file in the README.',
  })
}
