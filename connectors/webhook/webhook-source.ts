// The webhook source: an endpoint that puts what is proven into the hub's inbox, and answers when it is there, or when its
// functions have answered.

import {
  BodyTooLarge,
  HeaderWriter,
  HttpEndpoint,
  HubError,
  RepeatGuard,
  TopicIndex,
  errorText,
} from '../../src/sdk/index.ts'
import type {
  Delivery,
  EndpointAnswer,
  EndpointRequest,
  FunctionResult,
  Inbox,
  ProbeReport,
  SettleResult,
  Settlement,
  Source,
  SourceContext,
  SourceCounter,
  Subscription,
} from '../../src/sdk/index.ts'
import { Answers, answerOf } from './answers.ts'
import { hookEvent } from './event.ts'
import { createHook } from './hooks.ts'
import type { Hook, WebhookConfig } from './hooks.ts'
import { probeHooks } from './probe.ts'
import { text } from './proof.ts'
import type { Proven, Refused } from './proof.ts'
import { RateLimit } from './rate-limit.ts'

const BURST_SECONDS = 10
/** Asked to come again, a caller does it at once or never; this is for those that read it. */
const FULL_RETRY_S = 30
const COMPLAIN_EVERY_MS = 60_000

export class WebhookSource implements Source {
  readonly #config: WebhookConfig
  readonly #context: SourceContext
  readonly #hooks: ReadonlyMap<string, Hook>
  readonly #limit: RateLimit | undefined
  readonly #requests: SourceCounter
  readonly #answers: Answers
  #endpoint: HttpEndpoint | undefined
  #opened: Inbox | undefined
  readonly #complaints: RepeatGuard
  #wanted = new TopicIndex<true>('hook')
  readonly #stop = new AbortController()

  constructor(config: WebhookConfig, context: SourceContext) {
    this.#config = config
    this.#context = context
    this.#hooks = new Map(config.hooks.map((hook) => [hook.name, createHook(hook)]))
    const { perSecond, burst = perSecond * BURST_SECONDS } = config.rateLimit
    this.#limit = perSecond === 0 ? undefined : new RateLimit(perSecond, burst, context.clock)
    this.#requests = context.counter('webhook_requests_total', 'Requests by hook and what became of them.', ['hook', 'outcome']) // prettier-ignore
    context.gauge('webhook_stored_events', 'Events accepted and not settled.', [], () => [
      { labels: [], value: this.#opened?.length ?? 0 },
    ])
    this.#complaints = new RepeatGuard(context.clock, COMPLAIN_EVERY_MS)
    this.#answers = new Answers(context.clock, config.respondTimeout)
  }

  async connect(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#stop.signal.aborted) throw new HubError('HUB_SOURCE_LOST', 'the source is closed')
    this.#opened = this.#context.inbox()
    if (this.#endpoint !== undefined) return
    const { log } = this.#context
    this.#endpoint = await HttpEndpoint.open({
      listen: this.#config.listen,
      handle: (request) => this.#handle(request),
      failed: (error) => log.error('webhook.failed', `a request could not be handled: ${errorText(error)}`),
    })
    log.info('webhook.listening', `hooks at ${this.#endpoint.address}${this.#config.path}/: ${[...this.#hooks.keys()].join(', ')}`) // prettier-ignore
  }

  subscribe(wanted: readonly Subscription[]): Promise<void> {
    this.#wanted = new TopicIndex('hook')
    for (const one of wanted) if (one.kind === 'topic') this.#wanted.add(one.topic, true)
    return Promise.resolve()
  }

  deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    return this.#read(AbortSignal.any([signal, this.#stop.signal]))
  }

  /** Whether there are such hooks, and whether they could be called here. Takes nothing. */
  probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport> {
    return probeHooks(this.#config, this.#endpoint?.address, topics, signal)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.#answers.end()
    await this.#endpoint?.close()
    this.#endpoint = undefined
  }

  /** Of the server that listens; undefined before `connect`. */
  get address(): string | undefined {
    return this.#endpoint?.address
  }

  // ── a request ──────────────────────────────────────────────────────────────────────────────────────────────────

  async #handle(request: EndpointRequest): Promise<EndpointAnswer> {
    const hook = this.#hookOf(request.path)
    if (hook === undefined) return plain(404, 'there is no such hook')
    if (request.method !== 'POST') return { ...plain(405, 'only POST'), headers: { Allow: 'POST' } }
    const caller = this.#callerOf(request)
    const waitMs = this.#limit?.take(`${hook.name} ${caller}`) ?? 0
    if (waitMs > 0) return this.#ended(hook, 'limited', later(429, 'too many requests', Math.ceil(waitMs / 1000)))
    try {
      const byHeaders = hook.proveByHeaders(request.headers)
      if (byHeaders?.ok === false) return this.#refused(hook, caller, byHeaders)
      const body = await request.body()
      const proof = byHeaders ?? hook.prove(request.headers, body, this.#context.clock.now())
      return proof.ok ? await this.#take(hook, caller, request, body, proof) : this.#refused(hook, caller, proof)
    } catch (error) {
      this.#requests.add(1, { hook: hook.name, outcome: error instanceof BodyTooLarge ? 'too-large' : 'failed' })
      throw error
    }
  }

  #hookOf(path: string): Hook | undefined {
    const start = `${this.#config.path}/`
    return path.startsWith(start) ? this.#hooks.get(path.slice(start.length)) : undefined
  }

  #callerOf({ headers, remoteAddress }: EndpointRequest): string {
    const { trustedProxies } = this.#config
    if (trustedProxies === 0) return remoteAddress
    const forwarded = text(headers, 'x-forwarded-for')?.split(',') ?? []
    return forwarded.at(-trustedProxies)?.trim() ?? forwarded[0]?.trim() ?? remoteAddress
  }

  async #take(
    hook: Hook,
    caller: string,
    request: EndpointRequest,
    body: Buffer,
    proof: Proven,
  ): Promise<EndpointAnswer> {
    // prettier-ignore
    const { clock, instance } = this.#context
    const event = hookEvent(request, body, proof, { hook: hook.name, instance, caller, nowMs: clock.now() })
    const { topic, id } = event
    if (this.#wanted.find(topic).length === 0)
      return this.#ended(hook, 'unmatched', plain(200, `no function has the topic ${topic}`))
    const { respond, replayWindow } = this.#config
    // Before it is stored: the functions may be quicker than the disk says that it is.
    const waitsNot = new AbortController()
    const answers = respond === 'function' ? this.#answers.of(id, AbortSignal.any([request.signal, waitsNot.signal])) : undefined // prettier-ignore
    let stored: 'stored' | 'known'
    try {
      const isRemembered = replayWindow > 0 && proof.id !== undefined
      stored = await this.#inbox.put(event, isRemembered ? { rememberMs: replayWindow } : {})
    } catch (error) {
      waitsNot.abort()
      if (!(error instanceof HubError) || error.code !== 'HUB_QUEUE_FULL') throw error
      this.#complain(hook, error.message)
      return this.#ended(hook, 'full', later(503, 'no room for more', FULL_RETRY_S))
    }
    this.#requests.add(1, { hook: hook.name, outcome: stored === 'stored' ? 'accepted' : 'repeated' })
    // Whoever sent it first may be waiting still.
    if (stored === 'known') waitsNot.abort()
    const results = await answers
    if (results !== undefined) return answerOf(results)
    // Stripe's is in the body, where it may be any text.
    const headers = new HeaderWriter('X-Webhook-').own('X-Webhook-Id', id).build()
    return { ...plain(202, stored === 'stored' ? 'accepted' : 'accepted before'), headers }
  }

  #refused(hook: Hook, caller: string, { status, reason }: Refused): EndpointAnswer {
    this.#complain(hook, `a request of ${caller} is refused: ${reason}`)
    // RFC 9110 §15.5.2: a 401 says what is asked for.
    const headers = status === 401 ? { 'WWW-Authenticate': hook.challenge } : {}
    return this.#ended(hook, 'refused', { ...plain(status, reason), headers })
  }

  #ended(hook: Hook, outcome: string, answer: EndpointAnswer): EndpointAnswer {
    this.#requests.add(1, { hook: hook.name, outcome })
    return answer
  }

  /** Anybody can make them, so not each is a line. */
  #complain(hook: Hook, what: string): void {
    const unsaid = this.#complaints.pass(hook.name)
    if (unsaid === undefined) return
    const more = unsaid === 0 ? '' : ` (and ${unsaid} before it)`
    this.#context.log.warn('webhook.refused', `${hook.name}: ${what}${more}`, { hook: hook.name })
  }

  // ── its event ──────────────────────────────────────────────────────────────────────────────────────────────────

  async *#read(signal: AbortSignal): AsyncGenerator<Delivery, void> {
    for await (const delivery of this.#inbox.deliveries(signal)) yield this.#answering(delivery)
  }

  #answering(delivery: Delivery): Delivery {
    if (this.#config.respond === 'accepted') return delivery
    const { id } = delivery.message
    const settle = async (settlement: Settlement, results: readonly FunctionResult[] = []): Promise<SettleResult> => {
      // Told when it is settled: what the caller has been answered is not done again.
      const result = await delivery.settle(settlement)
      if (settlement.kind !== 'retry') this.#answers.give(id, result === 'settled' ? results : undefined)
      return result
    }
    return { ...delivery, responseBytesMax: this.#config.responseMax, settle }
  }

  get #inbox(): Inbox {
    if (this.#opened === undefined) throw new HubError('HUB_SOURCE_LOST', 'not connected', { canRetry: true })
    return this.#opened
  }
}

function plain(status: number, line: string): EndpointAnswer {
  return { status, body: `${line}\n` }
}

function later(status: number, line: string, seconds: number): EndpointAnswer {
  return { ...plain(status, line), headers: { 'Retry-After': String(seconds) } }
}
