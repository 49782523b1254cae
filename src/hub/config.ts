// Reads hub.yaml and the environment into one checked configuration. The only place that knows both.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { NAMED_NAMESPACES_MAX, YamlFile, namedNamespaces } from '../discovery/index.ts'
import { HubError, Secret, certificateFault, checkConfig, errorText, problemText, termsOf } from '../sdk/index.ts'
import type {
  ConfigFault,
  ConfigOf,
  ConfigProblem,
  Fields,
  Manifest,
  ParseOptions,
  Terms,
  TriggerSettings,
} from '../sdk/index.ts'
import { hubFields, instanceFields } from './config-fields.ts'
import { findLetterKeeper } from './letter-keeper.ts'
import { loadManifest } from './registry.ts'
import { turnProblems } from './turn-settings.ts'

export type HubSettings = ConfigOf<typeof hubFields>
export type InstanceSettings = ConfigOf<typeof instanceFields>

export interface InstanceConfig {
  readonly name: string
  readonly manifest: Manifest
  /** What the connector promises under this configuration. */
  readonly terms: Terms
  readonly settings: InstanceSettings
  /** Of the manifest's fields. */
  readonly source: ConfigOf<Fields>
}

export interface HubConfig {
  readonly settings: HubSettings
  /** Undefined: the gateway is asked without credentials. */
  readonly auth: { readonly username: string; readonly password: Secret } | undefined
  readonly instances: readonly InstanceConfig[]
  /** Whose broker takes dead letters (`deadLetters.connector`), whether or not it runs here. */
  readonly letterKeeper: InstanceConfig | undefined
}

/**
 * Instances whose names begin with one of these words would share environment names with the hub's own keys: one named
 * gateway-auth would hand the gateway's password to its broker.
 */
const RESERVED_NAMES = new Set(
  Object.entries(hubFields).flatMap(([name, { kind }]) => (kind === 'group' ? [name.replace(/[A-Z].*/, '')] : [])),
)

/** What is the same for the hub's own fields and for those of each instance. */
type Reading = Pick<ParseOptions, 'env' | 'readSecretFiles' | 'asWritten'>

export type Environment = Readonly<Record<string, string | undefined>>

/** One finding with its place in the file, where it has one. */
export interface ConfigFinding extends ConfigProblem {
  readonly line?: number
  readonly column?: number
}

export interface ReadConfigOptions {
  /** Without one, everything comes from the environment. */
  readonly file?: string
  readonly env: Environment
  /** Instances to configure although the file does not name them; the type is the name. */
  readonly types?: readonly string[]
  /** Laid over the connectors of the file, by instance: how `dev` points them at embedded brokers. */
  readonly overlay?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** Instead of `gateway.url`, wherever that is set. */
  readonly gatewayUrl?: string
  /** Instead of `discovery`, wherever that is set. */
  readonly discovery?: HubSettings['discovery']
  /** Instead of `stateDir`, wherever that is set. */
  readonly stateDir?: string
  /** Instead of `admin`, wherever that is set. */
  readonly admin?: { readonly host: string; readonly port: number }
  /** Lint looks at files of other machines. Default true. */
  readonly readSecretFiles?: boolean
}

function scalerFault({ scaler: { tls } }: HubSettings): ConfigFault | undefined {
  const half = certificateFault('scaler.tls', tls)
  if (half !== undefined || tls.clientCaFile === undefined || tls.certFile !== undefined) return half
  return { at: 'scaler.tls', message: 'has clientCaFile and no certificate of its own', hint: 'Set certFile and keyFile, too.' } // prettier-ignore
}

/** A holder has to stop before another one begins, and to have time for several tries before that. */
function leaderFault({ leader: { duration, renewDeadline, retryPeriod } }: HubSettings): ConfigFault | undefined {
  if (renewDeadline >= duration)
    return { at: 'leader.renewDeadline', message: 'is not shorter than leader.duration', hint: 'Set it to two thirds of it, such as 10s of 15s.' } // prettier-ignore
  if (retryPeriod * 2 > renewDeadline)
    return { at: 'leader.retryPeriod', message: 'is longer than half of leader.renewDeadline', hint: 'Set it to a fifth of it, such as 2s of 10s.' } // prettier-ignore
  return undefined
}

/** Every event that states no type of its own would be one that cannot be sent. */
function contentTypeFault(at: string, contentType: string | undefined): ConfigFault | undefined {
  if (contentType === undefined || /^[\t\x20-\x7e]*$/.test(contentType)) return undefined
  return { at, message: 'has characters that no header can carry, such as a line break', hint: 'Write a media type such as text/plain.' } // prettier-ignore
}

/** The watcher refuses the same when it starts. */
function namespacesFault({ discovery, gateway }: HubSettings): ConfigFault | undefined {
  const names = discovery === 'gateway' ? undefined : namedNamespaces({ allow: gateway.namespaces })
  if (names === undefined || names.length <= NAMED_NAMESPACES_MAX) return undefined
  return { at: 'gateway.namespaces', message: `names ${names.length} namespaces, and at most ${NAMED_NAMESPACES_MAX} can be watched one by one`, hint: 'Use a glob such as team-*, which watches the whole cluster and needs a ClusterRole.' } // prettier-ignore
}

/** Every problem at once, or the configuration. @throws HubError HUB_CONFIG_UNREADABLE */
export async function checkHubConfig(
  options: ReadConfigOptions,
): Promise<{ readonly config: HubConfig | undefined; readonly findings: readonly ConfigFinding[] }> {
  const file = options.file === undefined ? undefined : new YamlFile(options.file)
  const root: Record<string, unknown> = file === undefined ? {} : { ...readRoot(file) }
  if (options.gatewayUrl !== undefined) root['gateway'] = { ...(root['gateway'] as object), url: options.gatewayUrl }
  if (options.discovery !== undefined) root['discovery'] = options.discovery
  if (options.stateDir !== undefined) root['stateDir'] = options.stateDir
  if (options.admin !== undefined) root['admin'] = options.admin
  const instances = connectorsOf(root['connectors'], options)
  delete root['connectors']
  const problems: ConfigProblem[] = [...instances.problems]
  const reading: Reading = {
    env: options.env,
    readSecretFiles: options.readSecretFiles ?? true,
    asWritten: (path) => (file === undefined ? undefined : textAt(file, path)),
  }
  const hub = checkConfig(hubFields, withOpenFaasNames(root, options.env), {
    ...reading,
    envPrefix: 'HUB',
    check: (checked) =>
      scalerFault(checked) ??
      leaderFault(checked) ??
      namespacesFault(checked) ??
      contentTypeFault('defaults.contentType', checked.defaults.contentType),
  })
  problems.push(...hub.problems)
  const configured: InstanceConfig[] = []
  for (const [name, input] of instances.inputs) {
    const instance = await checkInstance(name, input, reading)
    if (Array.isArray(instance)) problems.push(...instance)
    else configured.push(instance)
  }
  // What a connector that is wrong would do is not known.
  if (hub.config !== undefined && problems.length === 0) problems.push(...turnProblems(hub.config, keysOf(root['leader']), configured)) // prettier-ignore
  const auth = hub.config === undefined ? undefined : readAuth(hub.config, options.env, problems)
  const keeperOf = async (name: string): Promise<InstanceConfig | readonly ConfigProblem[]> =>
    configured.find((one) => one.name === name) ??
    // What is wrong with one of the file is told already.
    (instances.inputs.has(name) ? [] : await checkInstance(name, { type: name }, reading))
  const letterKeeper = hub.config === undefined ? undefined : await findLetterKeeper(hub.config, keeperOf, problems)
  const findings = problems.map((problem): ConfigFinding => {
    const place = file?.positionOf(problem.path)
    return place === undefined ? problem : { ...problem, line: place.line, column: place.column }
  })
  return {
    config:
      hub.config === undefined || problems.length > 0
        ? undefined
        : { settings: hub.config, auth, instances: configured, letterKeeper },
    findings,
  }
}

/** @throws HubError HUB_CONFIG_INVALID with every problem, HUB_CONFIG_UNREADABLE */
export async function readHubConfig(options: ReadConfigOptions): Promise<HubConfig> {
  const { config, findings } = await checkHubConfig(options)
  if (config !== undefined) return config
  const lines = findings.map((finding) =>
    finding.line === undefined
      ? problemText(finding)
      : `${options.file}:${finding.line}:${finding.column}: ${problemText(finding)}`,
  )
  throw new HubError('HUB_CONFIG_INVALID', lines.join('; '), { details: { findings } })
}

/** The settings of an instance's triggers before annotations. */
export function triggerDefaults({ defaults }: HubSettings, instance?: InstanceSettings): TriggerSettings {
  const { retry } = defaults
  const callbackUrl = instance?.callbackUrl ?? defaults.callbackUrl
  return {
    mode: instance?.mode ?? defaults.mode,
    timeoutMs: instance?.timeout ?? defaults.timeout,
    concurrency: defaults.concurrency,
    ordering: defaults.ordering,
    retry: {
      attempts: retry.attempts,
      minWaitMs: retry.minWait,
      maxWaitMs: Math.max(retry.minWait, retry.maxWait),
      jitter: retry.jitter,
      codes: retry.codes === undefined ? undefined : new Set(retry.codes),
    },
    // A header has no letters beyond ASCII; a URL has them escaped.
    ...(callbackUrl === undefined ? {} : { callbackUrl: new URL(callbackUrl).href }),
  }
}

/** @throws HubError HUB_CONFIG_UNREADABLE */
function readRoot(file: YamlFile): Record<string, unknown> {
  const root = file.values() ?? {}
  if (typeof root === 'object' && !Array.isArray(root)) return root as Record<string, unknown>
  throw new HubError(
    'HUB_CONFIG_UNREADABLE',
    `${file.path}: the file must be a mapping with keys such as gateway and connectors`,
  )
}

function connectorsOf(
  connectors: unknown,
  options: ReadConfigOptions,
): { readonly inputs: ReadonlyMap<string, Record<string, unknown>>; readonly problems: readonly ConfigProblem[] } {
  const inputs = new Map<string, Record<string, unknown>>()
  const problems: ConfigProblem[] = []
  if (connectors !== undefined && connectors !== null && (typeof connectors !== 'object' || Array.isArray(connectors)))
    problems.push({ path: ['connectors'], message: 'must be a mapping of instance names' })
  else {
    for (const [name, input] of Object.entries((connectors ?? {}) as Record<string, unknown>)) {
      if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name))
        problems.push({ path: ['connectors', name], message: 'must be a lower-case name of letters, digits and -' })
      else if (RESERVED_NAMES.has(name.split('-')[0] ?? name))
        problems.push({
          path: ['connectors', name],
          message: `must be another name: HUB_${name.split('-')[0]?.toUpperCase()}_… in the environment are keys of the hub itself`,
        })
      else if (typeof input !== 'object' || input === null || Array.isArray(input))
        problems.push({ path: ['connectors', name], message: 'must be a mapping with at least a type' })
      else inputs.set(name, input as Record<string, unknown>)
    }
  }
  for (const type of options.types ?? []) if (!inputs.has(type)) inputs.set(type, { type })
  for (const [name, overlay] of Object.entries(options.overlay ?? {}))
    inputs.set(name, { ...inputs.get(name), ...overlay })
  return { inputs, problems }
}

/** A scalar of the file as it is typed there. */
function textAt(file: YamlFile, path: readonly (string | number)[]): string | undefined {
  let node = file.root
  for (const name of path) {
    if (node === undefined) return undefined
    node = typeof name === 'number' ? file.items(node)?.[name] : file.entries(node)?.get(name)?.value
  }
  return node === undefined ? undefined : file.text(node)
}

async function checkInstance(
  name: string,
  input: Record<string, unknown>,
  reading: Reading,
): Promise<InstanceConfig | ConfigProblem[]> {
  const path = ['connectors', name]
  if (typeof input['type'] !== 'string')
    return [{ path: [...path, 'type'], message: 'is required: the connector, a name from `connector-hub list`' }]
  let manifest: Manifest
  try {
    manifest = await loadManifest(input['type'])
  } catch (error) {
    const { message, hint } = error as HubError
    return [{ path: [...path, 'type'], message: `is not usable: ${message}. ${hint}` }]
  }
  const envPrefix = `HUB_${name.replaceAll('-', '_').toUpperCase()}`
  const { config, problems } = checkConfig({ ...manifest.fields, ...instanceFields }, input, {
    ...reading,
    path,
    envPrefix,
    check: (checked) => manifest.check?.(checked) ?? contentTypeFault('contentType', checked.contentType),
  })
  if (config === undefined) return [...problems]
  return { name, manifest, terms: termsOf(manifest, config), settings: config as unknown as InstanceSettings, source: config } // prettier-ignore
}

/** Names of the OpenFaaS charts whose values are not of the hub's form. The hub's own names win, as of every key. */
function withOpenFaasNames(root: Record<string, unknown>, env: Environment): Record<string, unknown> {
  const isTrue = (value: string | undefined): boolean => value === 'true' || value === '1'
  const merged = { ...root }
  const under = (key: string, value: Readonly<Record<string, unknown>>): void => {
    const group = merged[key] ?? {}
    // Anything else is a problem that is found later.
    if (typeof group === 'object') merged[key] = { ...value, ...group }
  }
  const isSet = (own: string): boolean => (env[own] ?? '') !== ''
  if (isTrue(env['asynchronous_invocation']) && !isSet('HUB_DEFAULTS_MODE')) under('defaults', { mode: 'async' })
  if (isTrue(env['debug']) && !isSet('HUB_LOG_LEVEL')) under('log', { level: 'debug' })
  return merged
}

function keysOf(group: unknown): readonly string[] {
  return typeof group === 'object' && group !== null ? Object.keys(group) : []
}

/** Explicit credentials win; else OpenFaaS's basic_auth with its secret files. */
function readAuth({ gateway }: HubSettings, env: Environment, problems: ConfigProblem[]): HubConfig['auth'] {
  const { username, password } = gateway.auth
  if (username !== undefined && password !== undefined) return { username: username.reveal(), password }
  if ((username === undefined) !== (password === undefined)) {
    problems.push({
      path: ['gateway', 'auth'],
      message: 'needs both username and password (or their twins ending in File)',
    })
    return undefined
  }
  if (env['basic_auth'] !== 'true' && env['basic_auth'] !== '1') return undefined
  const folder = env['secret_mount_path'] ?? '/var/secrets'
  const files = ['basic-auth-user', 'basic-auth-password'].map((file) => join(folder, file)) as [string, string]
  const missing = files.find((file) => !existsSync(file))
  if (missing !== undefined) {
    problems.push({
      path: ['gateway', 'auth'],
      message: `cannot be read: basic_auth is on and ${missing} does not exist; mount the secret or set secret_mount_path`,
    })
    return undefined
  }
  try {
    const [user, secret] = files.map((file) => readFileSync(file, 'utf8').trim()) as [string, string]
    return { username: user, password: new Secret(secret) }
  } catch (error) {
    problems.push({ path: ['gateway', 'auth'], message: `cannot be read: ${errorText(error)}` })
    return undefined
  }
}
