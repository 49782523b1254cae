// What a connector's broker.ts gives to the conformance suite: a driver of its REAL server, seen from outside the hub.
// Holds types only. Implemented in connectors/<name>/broker.ts, called by the scenarios and by nobody else.

import type { Clock, EventMessage, Subscription } from '../../src/sdk/index.ts'

/** One event as the suite publishes it. */
export interface TestEvent {
  /** Names the event, unique in a run: `[a-z0-9-]+`. The suite recognises the event by it when it arrives. */
  readonly tag: string
  /** Publish these bytes unchanged (unless `features.bodies` is `generated`). */
  readonly body: Uint8Array
  /** Only where `features.headers` lists the kind of value. */
  readonly headers?: Readonly<Record<string, string>>
  /** Only where `features.keys`: events of one key must reach the hub in the order of publishing (partition key, group). */
  readonly key?: string
}

/** Which instance of the connector a configuration is for. */
export interface SourceScope {
  /** Unique per scenario, `[a-z0-9-]+`: put it into client ids, consumer groups, durable names. */
  readonly run: string
  /** Replicas of one run share the events where `capabilities.shared`; equal scope, equal identity towards the broker. */
  readonly replica: number
}

/** What an injected header value contains: printable ASCII, CR and LF, or characters beyond ASCII. */
export type HeaderKind = 'plain' | 'crlf' | 'non-ascii'

/** What this broker can carry and do. The suite leaves out what it cannot, and says so. */
export interface BrokerFeatures {
  /** `bytes`: anything. `text`: UTF-8 only (SQS). `generated`: the broker makes the body itself (cron, MinIO); needs `tagOf`. */
  readonly bodies: 'bytes' | 'text' | 'generated'
  /** An event may have no bytes at all. */
  readonly emptyBody: boolean
  /** Largest body that the broker takes; the suite sends up to 1 MiB. */
  readonly bodyBytesMax: number
  /** Kinds of header values that publishers can send; empty: no headers. */
  readonly headers: readonly HeaderKind[]
  /** Put before the names of the publishers' headers on their way to the function. Default: none. */
  readonly headerPrefix?: string
  /** Publishers can give an ordering key per event. False: events of one topic are one sequence, or unordered. */
  readonly keys: boolean
  /** Events are handed out in the order of publishing per ordering key (per topic without keys). */
  readonly ordered: boolean
  /** `EventMessage.attempt` grows with each redelivery that the broker makes. */
  readonly countsAttempts: boolean
  /** `EventMessage.id` is equal on every redelivery (`false` only where the protocol has nothing to tell by). */
  readonly stableIds: boolean
  /** Events and subscriptions survive `stop` and `start`. Without those two methods: false. */
  readonly survivesRestart: boolean
  /** A running source redelivers a `retry` after at least this delay; the smallest delay the broker can do. Milliseconds. */
  readonly retryDelayMs: number
  /**
   * Extra copies that one interruption (kill, broker restart) may cause in total. Default: the source's `unsettledMax`.
   * Settled-and-told events must never come again after a clean close, whatever is written here.
   */
  readonly duplicatesPerInterruptionMax?: number
}

/** A dead letter as the broker's own place holds it (`capabilities.reject: 'broker'`). */
export interface BrokerLetter {
  readonly body: Uint8Array
  readonly topic: string
  readonly function: string
  readonly reason: string
  readonly attempts: number
}

/**
 * A running broker with the driver's side of it. Started once per test file and shared by its scenarios, which isolate
 * themselves by `topic()` and by `SourceScope.run`. Every method rejects, rather than hangs, when the server is gone.
 */
export interface TestBroker extends AsyncDisposable {
  /** With version, for the test's title: `mosquitto 2.0.11`. */
  readonly name: string
  readonly features: BrokerFeatures
  /**
   * The clock that sources are given; by default the system's. A `ManualClock` lets the driver make time pass: cron's
   * `publish` moves it from fire to fire. The suite moves a ManualClock too, for retry delays.
   */
  readonly clock?: Clock

  /**
   * Configuration of a source, as in hub.yaml without `type`. It must make the source receive EVERYTHING published after
   * its `subscribe` resolved (Kafka: from the earliest offset) and keep its place under an equal scope. Secrets inline.
   */
  config(scope: SourceScope): Readonly<Record<string, unknown>>
  /** `config` with a wrong password. Absent: the broker has no credentials. */
  badCredentials?(scope: SourceScope): Readonly<Record<string, unknown>>
  /** `config`s whose TLS must fail, by what is wrong: `unknown CA`, `wrong host name`, `plain-text port`. Absent: no TLS. */
  badTls?(scope: SourceScope): Readonly<Record<string, Readonly<Record<string, unknown>>>>

  /** A topic that nobody else uses, created where the broker needs that (Kafka: with 2 partitions or more; its queue and binding; its bucket). */
  topic(name: string): Promise<string>
  /** What the hub subscribes to for a topic from `topic()`. Default `{ kind: 'topic', topic }`; cron makes a schedule. */
  subscription?(topic: string): Subscription

  /** Publishes in order; resolves once the broker has taken responsibility for every event (acks, confirms, fires). */
  publish(topic: string, events: readonly TestEvent[]): Promise<void>
  /**
   * The tag of an event that arrived. Needed with `bodies: 'generated'`; by default it is read from the body.
   * Undefined: an event that the suite did not ask for and that is legitimate (a schedule that fired while time passed
   * for another); it is acked and not counted.
   */
  tagOf?(message: EventMessage): string | undefined
  /** All letters of a topic so far. Needed with `capabilities.reject: 'broker'`. */
  deadLetters?(topic: string): Promise<readonly BrokerLetter[]>

  /** Ends the server abruptly (SIGKILL, connections reset). Absent where we did not start it. */
  stop?(): Promise<void>
  /** Starts it again at the same address with what it had kept; resolves once it accepts clients. */
  start?(): Promise<void>
}

/** Starts the broker of a connector. Throws `BrokerUnavailable` when this machine has no such server. */
export type StartBroker = () => Promise<TestBroker>

/** The suite is skipped with this reason, unless `HUB_TEST_REQUIRE` lists the connector: then it fails. */
export class BrokerUnavailable extends Error {
  override readonly name = 'BrokerUnavailable'
}

export interface ConformanceOptions {
  /** The connector's folder: `import.meta.dirname`. */
  readonly folder: string
  /** Goes behind the connector's name in the titles when one connector runs the suite against several servers. */
  readonly title?: string
  /** `unsettledMax` of every source of the suite. Default 8. */
  readonly unsettledMax?: number
  /** URL of the module that a child process imports for the connector. Default: connector.ts in the folder. */
  readonly module?: string
  /** How long the suite waits for anything before it calls it missing. Default 30 s. */
  readonly deadlineMs?: number
  /**
   * How long a defect gets to show itself where something must NOT happen, with brokers in real time. An absence cannot
   * be awaited; a correct connector passes with any value. Default 150 ms.
   */
  readonly absenceMs?: number
}

// Use, as the whole of connectors/<name>/conformance.test.ts:
//
//   import { conformance } from '../../test/conformance/index.ts'
//   import { startBroker } from './broker.ts'
//   import connector from './connector.ts'
//
//   conformance(connector, startBroker, { folder: import.meta.dirname })
