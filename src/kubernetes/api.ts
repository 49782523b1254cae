// Requests to a Kubernetes API server as plain JSON, bounded in time and size. Knows no kind of object and repeats nothing
// but a request whose token has expired. Called by discovery and by the Lease of the cron connector.

import {
  HubError,
  errorText,
  formatDuration,
  formatSize,
  isRecord,
  isTlsFailure,
  linesOf,
  printableText,
  readWithin,
} from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import type { Access } from './access.ts'
import { Connections } from './connections.ts'
import { KubernetesError, statusError } from './errors.ts'
import type { RequestSubject } from './errors.ts'
import { Silence } from './silence.ts'

export interface KubernetesApiOptions {
  readonly access: Access
  readonly clock: Clock
  readonly userAgent: string
  /** Of one request, answer included; a call may say another. Default 10 s. */
  readonly timeoutMs?: number
  /** Of one answer. Default 64 MiB. */
  readonly responseBytesMax?: number
}

export interface CallOptions {
  readonly signal?: AbortSignal
  /** Instead of the API's. */
  readonly timeoutMs?: number
}

/** Query parameters; undefined ones are left out. */
export type Query = Readonly<Record<string, string | number | boolean | undefined>>

/** What the server answered: an object, a list or a Status, not checked beyond that. */
export type KubernetesAnswer = Readonly<Record<string, unknown>>

export interface WatchEvent {
  /** BOOKMARK: nothing happened, and `object` has but a resourceVersion. */
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'
  readonly object: KubernetesAnswer
}

export interface WatchOptions {
  /** Events after this one. */
  readonly resourceVersion: string
  /** After which the server ends the watch. */
  readonly timeoutSeconds: number
  /** Beside the ones of watching: labelSelector, fieldSelector. */
  readonly query?: Query
  /** Silence after which the connection counts as dead. Default: `timeoutSeconds` and 15 s. */
  readonly idleMs?: number
  readonly signal: AbortSignal
  /** The server has accepted the watch. */
  readonly onOpen?: () => void
}

const TIMEOUT_MS = 10_000
const RESPONSE_BYTES_MAX = 64 * 1024 * 1024
/** etcd refuses objects beyond 1.5 MiB, and JSON of one may be longer. */
const LINE_BYTES_MAX = 8 * 1024 * 1024
const IDLE_GRACE_MS = 15_000
const EVENT_TYPES: ReadonlySet<unknown> = new Set(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK'])

interface Exchange {
  readonly method: string
  readonly verb: string
  readonly path: string
  readonly body?: unknown
}

interface Answer {
  readonly status: number
  readonly body: AsyncIterable<Buffer>
}

/**
 * Paths are those of the API, beginning with `/api` or `/apis`, with their query. Every method throws KubernetesError (a
 * HubError with the server's `status` and `reason`): HUB_KUBERNETES_UNREACHABLE with status 0 for no answer,
 * HUB_KUBERNETES_UNAUTHORIZED for 401, HUB_KUBERNETES_FORBIDDEN for 403 with the rule that is missing,
 * HUB_KUBERNETES_FAILED for anything else; HUB_CONFIG_UNREADABLE when the credentials cannot be read; and the reason of
 * the signal when it is aborted.
 */
export class KubernetesApi {
  readonly #options: KubernetesApiOptions
  readonly #connections: Connections
  readonly #prefix: string

  constructor(options: KubernetesApiOptions) {
    this.#options = options
    this.#connections = new Connections(options.access)
    this.#prefix = new URL(options.access.server).pathname.replace(/\/+$/, '')
  }

  /** Of the pod, or of the kubeconfig's context. */
  get namespace(): string {
    return this.#options.access.namespace
  }

  /** For people. */
  get server(): string {
    return this.#options.access.server
  }

  /** By whose word we know the server and who we are, for people: `the service account of this pod`. */
  get from(): string {
    return this.#options.access.from
  }

  get(path: string, options: CallOptions = {}): Promise<KubernetesAnswer> {
    return this.#call({ method: 'GET', verb: 'get', path }, options)
  }

  /** One page, where the query has a `limit`. */
  list(path: string, query: Query, options: CallOptions = {}): Promise<KubernetesAnswer> {
    return this.#call({ method: 'GET', verb: 'list', path: withQuery(path, query) }, options)
  }

  /** POST. Status 409, reason `AlreadyExists`: there is one of that name. */
  create(path: string, object: unknown, options: CallOptions = {}): Promise<KubernetesAnswer> {
    return this.#call({ method: 'POST', verb: 'create', path, body: object }, options)
  }

  /** PUT. Status 409, reason `Conflict`: it is not of the resourceVersion that `object` names. */
  replace(path: string, object: unknown, options: CallOptions = {}): Promise<KubernetesAnswer> {
    return this.#call({ method: 'PUT', verb: 'update', path, body: object }, options)
  }

  /**
   * Resolves when the server ends the watch, which it does after `timeoutSeconds` or sooner.
   * @param onEvent called in order, not after the promise has settled
   * @throws KubernetesError as every method, with status 410 when events after `resourceVersion` are no longer known
   */
  async watch(path: string, options: WatchOptions, onEvent: (event: WatchEvent) => void): Promise<void> {
    const { resourceVersion, timeoutSeconds, query, signal, onOpen } = options
    const parameters = { ...query, watch: true, allowWatchBookmarks: true, resourceVersion, timeoutSeconds }
    const exchange = { method: 'GET', verb: 'watch', path: withQuery(path, parameters) }
    const subject = this.#subject(exchange)
    const silence = new Silence(this.#options.clock, this.#timeoutMs({}))
    try {
      const either = AbortSignal.any([signal, silence.signal])
      const answer = await this.#send('watches', exchange, subject, either)
      if (answer.status !== 200)
        throw statusError(subject, answer.status, parsed(await this.#read(subject, answer.body)))
      onOpen?.()
      silence.allow(options.idleMs ?? timeoutSeconds * 1000 + IDLE_GRACE_MS)
      for await (const line of linesOf(silence.heard(answer.body), { bytesMax: LINE_BYTES_MAX })) {
        if (line !== '') onEvent(eventOf(subject, line))
        signal.throwIfAborted()
      }
    } catch (error) {
      throw this.#failure(subject, error, signal, silence)
    } finally {
      silence.end()
    }
  }

  /** What runs is cut off. Idempotent. */
  close(): Promise<void> {
    return this.#connections.close()
  }

  async #call(exchange: Exchange, options: CallOptions): Promise<KubernetesAnswer> {
    options.signal?.throwIfAborted()
    const subject = this.#subject(exchange)
    const silence = new Silence(this.#options.clock, this.#timeoutMs(options))
    const either = options.signal === undefined ? silence.signal : AbortSignal.any([options.signal, silence.signal])
    try {
      const { status, body } = await this.#send('requests', exchange, subject, either)
      const answer = parsed(await this.#read(subject, body))
      if (status < 200 || status > 299) throw statusError(subject, status, answer)
      if (!isRecord(answer)) throw unexpected(subject, 'the answer is not a JSON object')
      return answer
    } catch (error) {
      throw this.#failure(subject, error, options.signal, silence)
    } finally {
      silence.end()
    }
  }

  /** Once more with another token where the first is refused. */
  async #send(
    kind: 'requests' | 'watches',
    exchange: Exchange,
    subject: RequestSubject,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { access } = this.#options
    const first = await access.authorization()
    const answer = await this.#dispatch(kind, exchange, first, signal)
    if (answer.status !== 401) return answer
    const second = await access.authorization(first)
    if (second === first) return answer
    await this.#read(subject, answer.body)
    return await this.#dispatch(kind, exchange, second, signal)
  }

  async #dispatch(
    kind: 'requests' | 'watches',
    { method, path, body }: Exchange,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { access, userAgent } = this.#options
    const dispatcher = await this.#connections.get(kind)
    const response = await dispatcher.request({
      origin: new URL(access.server).origin,
      method,
      path: this.#prefix + path,
      headers: {
        accept: 'application/json',
        'user-agent': userAgent,
        ...(authorization === undefined ? {} : { authorization }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal,
    })
    return { status: response.statusCode, body: response.body as AsyncIterable<Buffer> }
  }

  async #read(subject: RequestSubject, body: AsyncIterable<Buffer>): Promise<Buffer> {
    const bytesMax = this.#options.responseBytesMax ?? RESPONSE_BYTES_MAX
    const answer = await readWithin(body, bytesMax)
    if (answer === undefined) throw unexpected(subject, `the answer is larger than ${formatSize(bytesMax)}`)
    return answer
  }

  #timeoutMs({ timeoutMs }: CallOptions): number {
    return timeoutMs ?? this.#options.timeoutMs ?? TIMEOUT_MS
  }

  #subject({ method, verb, path }: Exchange): RequestSubject {
    return { shown: `${method} ${this.#options.access.server}${path.split('?')[0]}`, verb, path }
  }

  #failure(subject: RequestSubject, error: unknown, signal: AbortSignal | undefined, silence: Silence): unknown {
    if (error instanceof HubError) return error
    if (signal?.aborted === true) return signal.reason
    const what = silence.signal.aborted ? `no answer within ${formatDuration(silence.limitMs)}` : errorText(error)
    return new KubernetesError('HUB_KUBERNETES_UNREACHABLE', `${subject.shown}: ${what}`, {
      status: 0,
      reason: '',
      canRetry: true,
      cause: error,
      ...tlsHint(error),
    })
  }
}

function withQuery(path: string, query: Query): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value))
  return parameters.size === 0 ? path : `${path}?${parameters.toString()}`
}

/** Undefined for what is not JSON: proxies answer with text and HTML. */
function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8')) as unknown
  } catch {
    return undefined
  }
}

function eventOf(subject: RequestSubject, line: string): WatchEvent {
  let event: unknown
  try {
    event = JSON.parse(line)
  } catch {
    throw unexpected(subject, 'an event of the watch is not JSON')
  }
  if (!isRecord(event) || !isRecord(event['object'])) throw unexpected(subject, 'an event of the watch has no object')
  const { type, object } = event
  if (type === 'ERROR') throw statusError(subject, 200, object)
  if (!EVENT_TYPES.has(type)) throw unexpected(subject, `an event of the unknown type ${printableText(String(type))}`)
  return { type: type as WatchEvent['type'], object }
}

function unexpected({ shown }: RequestSubject, what: string): KubernetesError {
  return new KubernetesError('HUB_KUBERNETES_FAILED', `${shown}: ${what}`, {
    status: 0,
    reason: '',
    canRetry: true,
    hint: 'Check that the address is that of an API server, and what stands between.',
  })
}

function tlsHint(error: unknown): { readonly hint?: string } {
  if (!isTlsFailure(error)) return {}
  return {
    hint: "The API server's certificate is not of the CA that is known here (ca.crt of the service account, or certificate-authority of the kubeconfig), or not for this address.",
  }
}
