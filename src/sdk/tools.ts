// What the command line does at a broker beside running a connector: look at what waits, publish a test event, go through
// dead letters. Nothing of it runs in a hub.

import type { Clock } from './clock.ts'
import type { DeadLetter } from './delivery.ts'
import type { HubError } from './errors.ts'
import type { EventMessage } from './event.ts'
import type { SourceLog } from './source.ts'
import type { Subscription } from './subscription.ts'

/** Everything the command line gives to tools. */
export interface ToolContext {
  /** Instance name from the configuration: goes into `EventMessage.source`, ids, and names at the broker as in a hub. */
  readonly instance: string
  readonly clock: Clock
  /** What is said goes to the person at the terminal, beside the results. */
  readonly log: SourceLog
  /** What is on the hub's disk of this instance, accepted and not settled, oldest first. Read now; settles nothing. */
  stored(): Iterable<EventMessage>
  /** What the hub on this disk keeps of this instance under the key (`StateStore.get`), as of now. Changes nothing. */
  recall(key: string): string | undefined
}

/** Of one configured instance. Each call connects anew; what it gives back cleans up after itself when it is disposed. */
export interface Tools {
  /**
   * Looks at the events that a hub with these subscriptions would get, those that wait first, then those that come.
   * @throws HubError as `Source.connect`; HUB_SOURCE_FORBIDDEN when looking is not allowed
   */
  peek(wanted: readonly Subscription[], signal: AbortSignal): Promise<Peek>
  /** Absent: nothing can be published to it. @throws HubError as `Source.connect` */
  emitter?(signal: AbortSignal): Promise<Emitter>
  /**
   * The dead letters that the broker keeps; undefined when under this configuration it keeps none.
   * @throws HubError as `Source.connect`; HUB_USAGE when `from` has to say where they are
   */
  letters?(from: LetterPlaces, signal: AbortSignal): Promise<LetterBox | undefined>
  /**
   * How much waits at the broker for all replicas of this instance together, asked beside them. Absent: under this
   * configuration the broker does not tell. @throws HubError as `Source.connect`
   */
  lag?(signal: AbortSignal): Promise<LagProbe>
}

/** Asks and takes nothing; makes nothing at the broker. */
export interface LagProbe extends AsyncDisposable {
  /**
   * As of now, one for each place that a hub with these subscriptions reads. Calls do not overlap.
   * @throws HubError when the broker cannot be asked any more; another probe may be able to
   */
  read(wanted: readonly Subscription[], signal: AbortSignal): Promise<readonly TopicLag[]>
}

/** What the broker says of one topic, or of one place where the events of several arrive. */
export type TopicLag = {
  readonly topic: string
} & (
  | {
      readonly kind: 'known'
      /** Events that no replica has been given. */
      readonly waiting: number
      /** Events that replicas have and have not settled, as far as they are not in `waiting`; undefined: the broker does not tell. */
      readonly unsettled: number | undefined
    }
  /** No hub has been here yet. It makes its place when it starts, and what comes before may pass it by. */
  | { readonly kind: 'unread' }
  | { readonly kind: 'unknown'; readonly problem: HubError }
)

export interface Peek extends AsyncDisposable {
  /** How events are seen without being consumed: a sentence for a person, shown before the first event. */
  readonly means: string
  /** What looking changes at the broker all the same, and what is not seen: a sentence, shown before it starts. */
  readonly caution: string | undefined
  /** Once. As the source would hand them out: same ids, headers, keys and attempts. Ends when the signal of `peek` is aborted; throws when the connection is lost. */
  events(): AsyncIterable<EventMessage>
}

/** What a person wants published. */
export interface OutgoingEvent {
  readonly topic: string
  readonly body: Uint8Array
  readonly contentType?: string
  /** What orders it at this broker: record key, message group, routing key. */
  readonly key?: string
  readonly headers: Readonly<Record<string, string>>
}

export interface Emitter extends AsyncDisposable {
  /** What takes the events, e.g. `Kafka 4.3 at localhost:9092`. Never a secret. */
  readonly place: string
  /** Sent and not yet confirmed, at most, without their order being lost. */
  readonly inFlightMax: number
  /**
   * Resolves once the broker has it, with its strongest confirmation.
   * @returns where it is, in the broker's words, e.g. `orders/3@1042`
   * @throws HubError HUB_USAGE for what this broker cannot carry (a key, headers, a topic with wildcards); HUB_EMIT_FAILED
   */
  emit(event: OutgoingEvent): Promise<string>
}

/** Where to look for dead letters. */
export interface LetterPlaces {
  /** Names of queues or topics that hold them, as a person gave them; empty: worked out from the configuration. */
  readonly places: readonly string[]
  /** Topics that functions are subscribed to. */
  readonly topics: readonly string[]
}

/** The dead letters of one instance at its broker, in the broker's order. */
export interface LetterBox extends AsyncDisposable {
  /** E.g. `topic orders.dlq at localhost:9092`. Never a secret. */
  readonly place: string
  /** What reading them changes at the broker: a sentence; undefined: nothing. */
  readonly caution: string | undefined
  /** How they are removed, where that is not what a person would think: a sentence. */
  readonly removal: string | undefined
  /** Once. Those that are there when it begins, each once; what is not removed is given back when the box is disposed. */
  letters(signal: AbortSignal): AsyncIterable<HeldLetter>
}

export interface HeldLetter {
  /** Finds it again at the broker as long as it is there, e.g. `orders.dlq/0@12`. */
  readonly id: string
  /**
   * As it was when it failed: the original's id, topic, headers and position. `function` is empty where it was not the
   * hub that put it there.
   */
  readonly letter: DeadLetter
  /** For good. Resolves once the broker has confirmed it; several may be on their way. @throws HubError */
  remove(): Promise<void>
  /** It was sent again and failed again, for this reason. Absent where the place cannot be told: it stays as it was. */
  failedAgain?(reason: string, status: number | undefined): Promise<void>
}
