// Access outside a pod: the kubeconfig of whoever runs this, as kubectl reads it. Loads @kubernetes/client-node, which is
// large; called by open-access.ts only where there is no service account.

import { existsSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { RequestOptions } from 'node:https'
import { homedir } from 'node:os'
import { delimiter, dirname, join, resolve, sep } from 'node:path'

import type { Cluster, KubeConfig, User } from '@kubernetes/client-node'
import { load as loadYaml } from 'js-yaml'

import { HubError, Secret, errorText, isRecord, recordOf } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import type { Access, AccessEnvironment, AccessTls } from './access.ts'
import { LoginProgram } from './login-program.ts'

export interface KubeconfigOptions {
  readonly env: AccessEnvironment
  readonly clock: Clock
  /** One file instead of KUBECONFIG and ~/.kube/config. */
  readonly file?: string
  /** Instead of current-context. */
  readonly context?: string
  /** Ends a login program that runs. */
  readonly signal?: AbortSignal | undefined
}

const REREAD_MS = 30_000

/**
 * @throws HubError HUB_CONFIG_UNREADABLE, HUB_CONFIG_INVALID for a context that is not there or cannot be used,
 *   HUB_KUBERNETES_UNAUTHORIZED when a program gives no credentials
 */
export async function kubeconfigAccess(options: KubeconfigOptions): Promise<Access> {
  const loaded = await load(options)
  const { cluster, context } = loaded
  const held = new HeldCredentials(options, loaded)
  // Once now, so that what is wrong is said at the start and not by every request.
  await held.get()
  return {
    server: cluster.server.replace(/\/+$/, ''),
    namespace: context.namespace ?? 'default',
    from: `context ${context.name} of the kubeconfig`,
    ...(cluster.proxyUrl === undefined ? {} : { proxy: httpProxy(cluster.proxyUrl) }),
    tls: async () => (await held.get()).tls,
    authorization: async (refused) => {
      const first = (await held.get()).authorization?.reveal()
      if (first === undefined || first !== refused) return first
      return (await held.get(true)).authorization?.reveal()
    },
  }
}

interface Loaded {
  readonly config: KubeConfig
  readonly cluster: Cluster
  /** Of a user with `exec`. */
  readonly program: LoginProgram | undefined
  /** Of a user with `tokenFile`; it counts before a `token`. */
  readonly tokenFile: string | undefined
  readonly context: { readonly name: string; readonly namespace?: string }
}

interface Credentials {
  readonly tls: AccessTls
  readonly authorization: Secret | undefined
}

/** What the kubeconfig's user is, asked for again now and then: files are renewed, and programs know when tokens end. */
class HeldCredentials {
  readonly #options: KubeconfigOptions
  #loaded: Loaded
  #current: Credentials | undefined
  #askedAtMs = Number.NEGATIVE_INFINITY
  #asking: Promise<Credentials> | undefined

  constructor(options: KubeconfigOptions, loaded: Loaded) {
    this.#options = options
    this.#loaded = loaded
  }

  /** @param anew reads the files again, because what they said is refused */
  get(anew = false): Promise<Credentials> {
    const isFresh = this.#options.clock.monotonic() - this.#askedAtMs < REREAD_MS
    if (this.#current !== undefined && isFresh && !anew) return Promise.resolve(this.#current)
    this.#asking ??= this.#ask(anew).finally(() => (this.#asking = undefined))
    return this.#asking
  }

  async #ask(anew: boolean): Promise<Credentials> {
    if (anew) this.#loaded = await load(this.#options)
    const next = await credentialsOf(this.#loaded)
    this.#askedAtMs = this.#options.clock.monotonic()
    // The same object, so that connections are kept.
    const tls = sameTls(this.#current?.tls, next.tls) ? (this.#current as Credentials).tls : next.tls
    this.#current = { ...next, tls }
    return this.#current
  }
}

async function load(options: KubeconfigOptions): Promise<Loaded> {
  const files = filesOf(options)
  const { KubeConfig: Config } = await loadClient()
  const config = new Config()
  for (const file of files) {
    try {
      merge(config, read(new Config(), file))
    } catch (error) {
      throw unreadable(`${file}: ${problemOf(error)}`)
    }
  }
  const name = options.context ?? config.getCurrentContext()
  const known = config.getContexts().map((context) => context.name)
  const hint = known.length === 0 ? 'Use a kubeconfig that has contexts.' : `It has: ${known.slice(0, 20).join(', ')}.`
  if (name === undefined || name === '') throw invalid('the kubeconfig has no current context', `Set kubernetes.context. ${hint}`) // prettier-ignore
  const context = config.getContextObject(name)
  if (context === null) throw invalid(`the kubeconfig has no context "${name}"`, hint)
  config.setCurrentContext(name)
  const cluster = config.getCurrentCluster()
  if (cluster === null || URL.parse(cluster.server) === null)
    throw invalid(`context "${name}" of the kubeconfig names no cluster with a server`, 'Correct its cluster.')
  const user: FileUser | null = config.getCurrentUser()
  if (user === null && !cluster.server.startsWith('http://'))
    throw invalid(`context "${name}" of the kubeconfig names no user that it has`, 'Correct its user.')
  const program = programOf(options, user, name)
  return { config: withoutExec(config), cluster, context, program, tokenFile: user?.tokenFile }
}

async function loadClient(): Promise<typeof import('@kubernetes/client-node')> {
  try {
    return await import('@kubernetes/client-node')
  } catch (error) {
    throw new HubError(
      'HUB_CONFIG_INVALID',
      'a kubeconfig cannot be read without the package @kubernetes/client-node',
      {
        cause: error,
        hint: 'Install it beside connector-hub, or run in a pod with a service account.',
      },
    )
  }
}

function programOf(
  { env, clock, signal }: KubeconfigOptions,
  user: User | null,
  name: string,
): LoginProgram | undefined {
  const exec: unknown = user?.exec
  return isRecord(exec)
    ? new LoginProgram({ exec, env, clock, signal, of: `the kubeconfig's context ${name}` })
    : undefined
}

/** The client would run the program itself: for as long as it likes, and with whatever it writes. */
function withoutExec(config: KubeConfig): KubeConfig {
  config.users = config.users.map((user) => ({ ...user, exec: undefined }))
  return config
}

/** Without the lines around it, which a YAML error quotes: there are tokens in them. */
function problemOf(error: unknown): string {
  if (!(error instanceof Error) || error.name !== 'YAMLException') return errorText(error)
  const { line, column } = recordOf((error as { readonly mark?: unknown }).mark)
  return typeof line === 'number' && typeof column === 'number' ? `no YAML at line ${line + 1}, column ${column + 1}` : 'no YAML' // prettier-ignore
}

/** As kubectl: KUBECONFIG with several files, of which some may be missing; else ~/.kube/config. */
function filesOf({ env, file }: KubeconfigOptions): readonly string[] {
  if (file !== undefined) return [file]
  const listed = (env['KUBECONFIG'] ?? '').split(delimiter).filter((one) => one !== '')
  const home = env['HOME'] ?? homedir()
  const candidates = listed.length > 0 ? listed : [join(home, '.kube', 'config')]
  const files = candidates.filter((one) => existsSync(one))
  if (files.length > 0) return files
  throw unreadable(`this is no pod, and there is no kubeconfig at ${candidates.join(', ')}`)
}

type FileUser = User & { readonly tokenFile?: string }

/** The client drops `tokenFile`, which it looks for by another name, and takes a program's relative path from where we are. */
function read(config: KubeConfig, file: string): KubeConfig {
  config.loadFromFile(file)
  const users = recordOf(loadYaml(readFileSync(file, 'utf8')))['users']
  const tokenFiles = new Map((Array.isArray(users) ? users : []).map(recordOf).map(({ name, user }) => [name, recordOf(user)['tokenFile']])) // prettier-ignore
  config.users = config.users.map((user): FileUser => {
    const tokenFile = tokenFiles.get(user.name)
    const exec: unknown = user.exec
    const command = recordOf(exec)['command']
    return {
      ...user,
      // A name alone is looked for on the PATH.
      ...(typeof command === 'string' && command.includes(sep) ? { exec: { ...recordOf(exec), command: resolve(dirname(file), command) } } : {}), // prettier-ignore
      ...(typeof tokenFile === 'string' && tokenFile !== '' ? { tokenFile: resolve(dirname(file), tokenFile) } : {}),
    }
  })
  return config
}

/** As kubectl: the first file that says something wins, name by name. */
function merge(into: KubeConfig, from: KubeConfig): void {
  const missing = <T extends { readonly name: string }>(have: readonly T[], more: readonly T[]): readonly T[] =>
    more.filter(({ name }) => !have.some((one) => one.name === name))
  for (const cluster of missing(into.getClusters(), from.getClusters())) into.addCluster(cluster)
  for (const user of missing(into.getUsers(), from.getUsers())) into.addUser(user)
  for (const context of missing(into.getContexts(), from.getContexts())) into.addContext(context)
  const current = from.getCurrentContext()
  if ((into.getCurrentContext() ?? '') === '' && current !== undefined) into.setCurrentContext(current)
}

async function credentialsOf({ config, cluster, context, program, tokenFile }: Loaded): Promise<Credentials> {
  // As kubectl: what is sent in the clear carries no credentials. Such servers are proxies on this machine.
  if (cluster.server.startsWith('http://')) return { tls: {}, authorization: undefined }
  const applied: RequestOptions = {}
  let token: string | undefined
  try {
    await config.applyToHTTPSOptions(applied)
    if (tokenFile !== undefined) token = (await readFile(tokenFile, 'utf8')).trim()
  } catch (error) {
    throw new HubError('HUB_CONFIG_UNREADABLE', `context ${context.name} of the kubeconfig: ${errorText(error)}`, {
      cause: error,
      canRetry: true,
      hint: 'Correct its user and its cluster: their files must be there.',
    }) // prettier-ignore
  }
  const login = await program?.get()
  const { headers, auth, ca, cert, key, servername, rejectUnauthorized } = applied
  if ('Impersonate-User' in recordOf(headers))
    throw invalid(`context "${context.name}" of the kubeconfig acts as another user`, 'Take `as` out of its user: impersonation is not supported.') // prettier-ignore
  token = login?.token ?? token
  const bearer = token === undefined ? recordOf(headers)['Authorization'] : `Bearer ${token}`
  const basic = typeof auth === 'string' ? `Basic ${Buffer.from(auth).toString('base64')}` : undefined
  const authorization = typeof bearer === 'string' ? bearer : basic
  return {
    tls: {
      ...pem('ca', ca),
      ...pem('cert', login?.cert ?? cert),
      ...pem('key', login?.key ?? key),
      ...(servername === undefined ? {} : { servername }),
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
    },
    authorization: authorization === undefined ? undefined : new Secret(authorization),
  }
}

function pem(name: 'ca' | 'cert' | 'key', value: unknown): AccessTls {
  return typeof value === 'string' || Buffer.isBuffer(value) ? { [name]: value.toString() } : {}
}

function sameTls(left: AccessTls | undefined, right: AccessTls): boolean {
  return left !== undefined && JSON.stringify(left) === JSON.stringify(right)
}

function httpProxy(url: string): string {
  if (/^https?:/.test(url)) return url
  throw invalid(
    'the proxy-url of the kubeconfig is not http or https',
    'Use an HTTP proxy, or a tunnel such as ssh -L.',
  )
}

function invalid(message: string, hint: string): HubError {
  return new HubError('HUB_CONFIG_INVALID', message, { hint })
}

function unreadable(message: string, cause?: unknown): HubError {
  return new HubError('HUB_CONFIG_UNREADABLE', message, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'Run in a pod with a service account, or point KUBECONFIG (or kubernetes.kubeconfig) at a kubeconfig file.',
  })
}
