// The source of webhook mode: an HTTP endpoint that MinIO's target posts to. MinIO gets its answer when the functions have
// settled the events of a request, or when they are in the inbox. What becomes of an event is in arrivals.ts.

import { HttpEndpoint, HubError, RepeatGuard, readS3Document, reading, sameSecret } from '../../src/sdk/index.ts'
import type {
  Delivery,
  EndpointAnswer,
  EndpointRequest,
  EventMessage,
  ProbeReport,
  Source,
  SourceContext,
  SourceCounter,
  Subscription,
} from '../../src/sdk/index.ts'
import { Arrivals } from './arrivals.ts'
import { Buckets } from './buckets.ts'
import { MinioClient } from './client.ts'
import type { MinioConfig } from './client.ts'
import { minioEvent } from './event.ts'
import { probeWebhook } from './probe.ts'
import { lostProblem, reportRefusals } from './problems.ts'
import { Wishes, wantedTopics } from './wishes.ts'

/** Requests that wait for a place; MinIO sends one at a time for each target. */
const WAITING_MAX = 1000
/** MinIO sends an event again seconds after an answer that was lost. */
const REMEMBER_MS = 3_600_000

const OK: EndpointAnswer = { status: 200 }
/** MinIO keeps the event in its queue directory and sends it again within three seconds. */
const LATER: EndpointAnswer = { status: 503, headers: { 'Retry-After': '3' }, body: 'not settled; send it again\n' }

export class WebhookSource implements Source {
  readonly #config: MinioConfig
  readonly #context: SourceContext
  readonly #arrivals: Arrivals
  readonly #client: MinioClient | undefined
  readonly #buckets: Buckets | undefined
  readonly #requests: SourceCounter
  readonly #unwanted: SourceCounter
  readonly #closing = new AbortController()
  readonly #warnings: RepeatGuard
  #endpoint: HttpEndpoint | undefined
  /** What of each bucket is wanted; undefined until the first `subscribe`. */
  #wishes: Wishes | undefined
  #isRead = false

  constructor(config: MinioConfig, context: SourceContext) {
    this.#config = config
    this.#context = context
    this.#warnings = new RepeatGuard(context.clock)
    this.#arrivals = new Arrivals(context.unsettledMax, WAITING_MAX)
    if (config.configureBucket) {
      this.#client = new MinioClient(config)
      this.#buckets = new Buckets(this.#client, config, context)
    }
    this.#requests = context.counter('minio_requests_total', 'Requests of MinIO by status of the answer.', ['status'])
    this.#unwanted = context.counter('minio_unwanted_total', 'Events received that no topic, prefix or suffix wants.')
    context.gauge('minio_waiting', 'Events received that no function could take yet; MinIO waits with them.', [], () => [{ labels: [], value: this.#arrivals.waiting }]) // prettier-ignore
  }

  /** The endpoint stays open when it is called again. */
  async connect(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#closing.signal.aborted) throw lostProblem(this.#config.path, 'the source is closed')
    await this.#client?.greet(signal)
    if (this.#endpoint !== undefined) return
    const endpoint = await HttpEndpoint.open({
      listen: this.#config.listen,
      handle: (request) => this.#counted(request),
      failed: (error) => this.#warn('minio.request-failed', `a request failed: ${String(error)}`),
    })
    if (this.#closing.signal.aborted) {
      await endpoint.close()
      throw lostProblem(endpoint.address, 'the source was closed while it opened')
    }
    this.#endpoint = endpoint
    this.#context.log.info('minio.listening', `listening for MinIO at ${endpoint.address}${this.#config.path}`)
    if (this.#config.token === undefined)
      this.#context.log.warn(
        'minio.no-token',
        'no token is set: anybody who reaches the port can invoke functions. Set token, and auth_token of the target, to the same secret',
      )
  }

  /** @throws HubError HUB_TOPIC_INVALID, or HUB_SOURCE_FORBIDDEN with configureBucket, when nothing of it works */
  async subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    const topics = wantedTopics(wanted, this.#config.topics)
    const wishes = new Wishes(topics, this.#config)
    // Before MinIO is told to send them.
    this.#wishes = wishes
    const problems = [...wishes.refused, ...((await this.#buckets?.set(wishes, signal)) ?? [])]
    reportRefusals(problems, wishes.refused.length + wishes.byBucket.size, this.#context.log)
  }

  deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    if (this.#endpoint === undefined) throw lostProblem(this.#config.path, 'not connected')
    this.#isRead = true
    if (this.#config.acknowledge === 'stored') return this.#stored(AbortSignal.any([signal, this.#closing.signal]))
    return reading(this.#arrivals.open(), signal, () => {
      this.#isRead = false
      this.#arrivals.stop()
    })
  }

  probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport> {
    return probeWebhook(this.#config, this.#endpoint?.address, topics, signal)
  }

  /** MinIO keeps what is unsettled, and its notifications stay: what happens meanwhile is sent afterwards. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#arrivals.end()
    const endpoint = this.#endpoint
    this.#endpoint = undefined
    await endpoint?.close()
    await this.#client?.close()
  }

  async *#stored(signal: AbortSignal): AsyncGenerator<Delivery, void> {
    const closed = this.#closing.signal
    try {
      for await (const delivery of this.#context.inbox().deliveries(signal))
        yield {
          ...delivery,
          settle: (...settlement) => (closed.aborted ? Promise.resolve('stale') : delivery.settle(...settlement)),
        }
    } finally {
      this.#isRead = false
    }
  }

  async #counted(request: EndpointRequest): Promise<EndpointAnswer> {
    const answer = await this.#handle(request)
    this.#requests.add(1, { status: String(answer.status) })
    return answer
  }

  async #handle(request: EndpointRequest): Promise<EndpointAnswer> {
    if (request.path !== this.#config.path) return { status: 404, body: `events are posted to ${this.#config.path}\n` }
    if (!this.#isAuthorized(request.headers.authorization)) {
      this.#warn('minio.unauthorized', `a request from ${request.remoteAddress} had no or another token: auth_token of MinIO's target and token must be the same`) // prettier-ignore
      // MinIO then says that its auth_token should be checked; with 401 it would not.
      return { status: 403, body: 'the token is not the right one\n' }
    }
    if (request.method !== 'POST') return { status: 405, headers: { Allow: 'POST' } }
    const body = await request.body()
    // Somebody looks whether we are there.
    if (body.byteLength === 0) return OK
    const document = readS3Document(body, 'escaped')
    if (document.kind === 'unknown') {
      this.#warn('minio.unknown', `a request from ${request.remoteAddress} is no notification: ${document.reason}`)
      return { status: 400, body: `no notification: ${document.reason}\n` }
    }
    if (document.kind === 'test') return OK
    // It has not been said yet what is wanted: whatever it is, MinIO keeps it.
    if (this.#wishes === undefined || !this.#isRead) return LATER
    const wishes = this.#wishes
    const records = document.records.filter((record) => wishes.wants(record))
    this.#unwanted.add(document.records.length - records.length)
    const arrived = { instance: this.#context.instance, nowMs: this.#context.clock.now() }
    return await this.#accept(records.map((record) => minioEvent(record, arrived)))
  }

  async #accept(messages: readonly EventMessage[]): Promise<EndpointAnswer> {
    if (this.#config.acknowledge === 'settled') {
      const fates = await Promise.all(messages.map((message) => this.#arrivals.take(message)))
      return fates.includes('returned') ? LATER : OK
    }
    const inbox = this.#context.inbox()
    try {
      for (const message of messages) await inbox.put(message, { rememberMs: REMEMBER_MS })
      return OK
    } catch (error) {
      if (!(error instanceof HubError)) throw error
      this.#warn('minio.not-stored', `${error.message}. ${error.hint}`)
      return LATER
    }
  }

  /** As MinIO sends it: a token of two words is a whole header, one word is a bearer token. */
  #isAuthorized(authorization: string | undefined): boolean {
    const token = this.#config.token?.reveal().trim()
    if (token === undefined) return true
    return sameSecret(authorization ?? '', /\s/.test(token) ? token : `Bearer ${token}`)
  }

  /** Whoever calls could fill the log. */
  #warn(event: string, text: string): void {
    if (this.#warnings.pass(event) !== undefined) this.#context.log.warn(event, text)
  }
}
