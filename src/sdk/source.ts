// What a connector implements. The runtime owns retries of connect, back-off, concurrency, settling policy, shutdown
// and metrics; a source owns nothing but its broker.

import type { Clock } from './clock.ts'
import type { ConfigOf, Fields } from './fields.ts'
import type { Delivery } from './delivery.ts'
import type { ErrorCode, HubError } from './errors.ts'
import type { Inbox } from './inbox.ts'
import type { Leadership } from './leadership.ts'
import type { Manifest } from './manifest.ts'
import type { Subscription } from './subscription.ts'
import type { ToolContext, Tools } from './tools.ts'

/** Outcome of `Source.probe`: what the broker looks like from here. */
export interface ProbeReport {
  /** e.g. `Mosquitto at mqtt://localhost:1883, MQTT 5.0`. Never contains a secret. */
  readonly server: string
  readonly topics: readonly TopicReport[]
}

/** What the broker says of one topic, for `doctor`. */
export interface TopicReport {
  readonly topic: string
  readonly ok: boolean
  /** What is there, or what is wrong: a sentence without the fix. Never contains a secret. */
  readonly detail: string
  /** Of what is not ok; by default HUB_TOPIC_MISSING. */
  readonly code?: ErrorCode
  /** What to do about what is not ok, as an instruction; by default the general fix of the code. */
  readonly fix?: string
}

/** A topic that cannot be used, and why. */
export function refusedTopic(topic: string, { code, message, hint }: HubError): TopicReport {
  return { topic, ok: false, detail: message, code, fix: hint }
}

/** A running connector instance. */
export interface Source {
  /**
   * Makes ONE attempt to connect; the supervisor retries with back-off. Called again after `deliveries` failed, on the
   * same object, so state that survives a connection lives in the source.
   * @throws HubError `HUB_SOURCE_*`; `canRetry: false` for what waiting cannot mend (credentials, TLS, configuration).
   */
  connect(signal: AbortSignal): Promise<void>
  /** The WANTED set, complete each time: idempotent, the source works out the difference. Called after every connect. */
  subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void>
  /**
   * Yields deliveries as they are pulled; never more than `context.unsettledMax` unsettled at once. Called once per
   * successful connect. Ends when `signal` is aborted or the source closed; throws a HubError when the connection is lost.
   */
  deliveries(signal: AbortSignal): AsyncIterable<Delivery>
  /** Can we connect and see these topics? Consumes nothing. Legal on a source that was never connected. */
  probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport>
  /** How far behind this instance is, for the broker's part of it; read at every scrape, so from memory. Absent: unknown. */
  backlog?(): readonly TopicBacklog[]
  /**
   * The turn is over (`SourceContext.leadership`): let go of the broker. `deliveries` has ended; `connect` follows with the
   * next turn, or `close`. Absent: the source is closed, and another one is made for the next turn.
   */
  stepDown?(): Promise<void>
  /** Idempotent; legal before `connect`. What is unsettled stays with the broker. */
  close(): Promise<void>
}

/** What a source knows of one topic that it reads. Events of other replicas are not in it. */
export interface TopicBacklog {
  readonly topic: string
  /** Events at the broker that were not handed out yet. */
  readonly waiting: number
  /** Events handed out whose settlement the broker does not know yet. */
  readonly unsettled: number
  /** When the oldest of either was produced, Unix milliseconds; undefined when there is none, or it is not known. */
  readonly oldestWaitingMs: number | undefined
  readonly oldestUnsettledMs: number | undefined
}

/** Keyed strings that survive a restart where the host has somewhere to keep them. Scoped to one connector instance. */
export interface StateStore {
  get(key: string): Promise<string | undefined>
  /** Resolves once durable. */
  set(key: string, value: string): Promise<void>
  delete(key: string): Promise<void>
  /** Every key that has a value. */
  keys(): Promise<readonly string[]>
}

/** Fields of a log line: scalars only, never a body, never a secret. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

/** The connector's voice. `event` is a stable dotted name (`cron.added`), `text` the sentence a person reads. */
export interface SourceLog {
  debug(event: string, text: string, fields?: LogFields): void
  info(event: string, text: string, fields?: LogFields): void
  warn(event: string, text: string, fields?: LogFields): void
  error(event: string, text: string, fields?: LogFields): void
}

/** A monotonic counter exposed as `connector_hub_<name>` with a `connector` label. */
export interface SourceCounter {
  add(count: number, labels?: Readonly<Record<string, string>>): void
}

/** One value of a gauge. */
export interface SourceReading {
  /** One value for each label, in their order; bounded. */
  readonly labels: readonly string[]
  readonly value: number
}

/** Everything the runtime gives a source. */
export interface SourceContext {
  /** Instance name from the configuration, e.g. `mqtt-eu`; goes into `EventMessage.source` and ids. */
  readonly instance: string
  readonly clock: Clock
  readonly log: SourceLog
  /** Where replicas take turns, it goes with the turn: reading and writing fail with HUB_LEASE_LOST when another has it. */
  readonly state: StateStore
  /** Set where replicas take turns: `connect` is called when this one has a term, and the signals end with it. */
  readonly leadership?: Leadership
  /** For events that nobody will send again; the same one at each call. @throws HubError HUB_STATE_UNUSABLE */
  inbox(): Inbox
  /** Upper bound of deliveries handed out and not yet settled; use it as the broker's window (prefetch, receive maximum). */
  readonly unsettledMax: number
  /** `name` ends in `_total`; `labels` must have bounded values. Calling it twice with one name gives the same counter. */
  counter(name: string, help: string, labels?: readonly string[]): SourceCounter
  /** Exposed as `connector_hub_<name>` with `labels`; `read` is called at every scrape. One reader for a name. */
  gauge(name: string, help: string, labels: readonly string[], read: () => readonly SourceReading[]): void
}

/** The default export of a connector's `connector.ts`. */
export interface Connector<F extends Fields = Fields> {
  readonly manifest: Manifest<F>
  create(config: ConfigOf<F>, context: SourceContext): Source
  /** What the command line can do at the broker. Loaded only when it is asked for. */
  tools?(config: ConfigOf<F>, context: ToolContext): Promise<Tools>
}

/** Ties a manifest to its source with the configuration type inferred from the declared fields. */
export function defineConnector<const F extends Fields>(
  manifest: Manifest<F>,
  create: (config: ConfigOf<F>, context: SourceContext) => Source,
  tools?: (config: ConfigOf<F>, context: ToolContext) => Promise<Tools>,
): Connector<F> {
  return { manifest, create, ...(tools === undefined ? {} : { tools }) }
}

/** An in-process broker for development, started by `connector-hub dev`. Default export of a connector's `embedded.ts`. */
export interface EmbeddedBroker extends AsyncDisposable {
  /** Configuration that points the connector at this broker. */
  readonly config: Readonly<Record<string, unknown>>
  /** What a person can connect to, e.g. `mqtt://127.0.0.1:1883`. */
  readonly address: string
}

/** Starts the embedded broker on the loopback interface. Without `port`: the usual one, or any free one when that is taken; 0: any free one. */
export type StartEmbedded = (options: { readonly port?: number }) => Promise<EmbeddedBroker>
