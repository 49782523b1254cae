// What a connector's faults.test.ts gives to the fault suite: a driver of its REAL server, seen from outside the hub.
// Holds types only. Implemented in connectors/<name>/faults.test.ts, called by the scenarios and by nobody else.

import type { TcpProxy } from '../servers/tcp-proxy.ts'

export type ScenarioName =
  | 'hub killed'
  | 'hub stopped'
  | 'server restarted twice'
  | 'server killed'
  | 'half-open connection'
  | 'gateway gone'
  | 'a third of the invocations fails'
  | 'one of two functions always fails'
  | 'a replica joins and leaves three times'

/** One event as the suite publishes it. */
export interface FaultEvent {
  /** Events of one key are published in order and promised in order: subject token, topic, partition key. `k0`, `k1`, … */
  readonly key: string
  readonly body: Uint8Array
}

/** A hub process towards the broker. */
export interface HubScope {
  /** Unique per scenario, `[a-z0-9-]+`: put it into topics, client ids, consumer groups, durable names. */
  readonly run: string
  /** Replicas of one run share its events. An equal scope is the same hub, started again. */
  readonly replica: number
  /** The hub is to connect through `proxy`. A driver whose hub always does may ignore it. */
  readonly proxied: boolean
}

/** A running server with the driver's side of it. One for all scenarios of a file, which isolate themselves by `run`. */
export interface FaultBroker extends AsyncDisposable {
  /** With version: `nats-server 2.15.2`. */
  readonly name: string
  /** Where hubs find the connector when its name does not say it: a path, package or URL. */
  readonly type?: string
  /**
   * The broker calls its hubs, which hold no connection: they are not told when it goes, and need not be when it is back.
   * Default false.
   */
  readonly calls?: boolean
  /** Published and not yet received, about; more where the broker looks for events now and then. Default 250. */
  readonly backlog?: number
  /** Between a hub with `proxied` and the server. */
  readonly proxy?: TcpProxy
  /** A scenario has no more events than this: of a server that takes them slowly. Default: as many as the suite wants. */
  readonly eventsMax?: number
  /** Scenarios that this connector cannot be put through, and why. */
  readonly absent?: Readonly<Partial<Record<ScenarioName, string>>>

  /** Makes what a run needs at the server. @returns the `topic` annotation that brings all of its events */
  prepare(run: string): Promise<string>
  /**
   * Environment of the hub, by the connector's own names (`HUB_NATS_SERVERS`). It must order events by key, and notice a
   * silent server within seconds. Limits, gateway and folders are the suite's.
   */
  environment(scope: HubScope): Readonly<Record<string, string>>
  /** The body that was published, from the one that a function is invoked with. Absent: they are the same. */
  eventOf?(body: string): string
  /** In order; resolves once the broker has taken responsibility for all of them. Never called while the server is away. */
  publish(run: string, events: readonly FaultEvent[]): Promise<void>
  /** Events of the run that the broker does not know to be settled. Absent: the broker cannot be asked. */
  remaining?(run: string): Promise<number>
  /**
   * Resolves once the settlements of the run so far are on the server's disk. Absent: they are there before they are
   * confirmed. Called while nothing is being settled.
   */
  saved?(run: string): Promise<void>
  /** Bodies of the dead letters of a run for this function. Needed with `capabilities.reject: 'broker'`. */
  deadLetters?(run: string, functionName: string): Promise<readonly Uint8Array[]>

  /** SIGTERM, as an operator does. */
  stop?(): Promise<void>
  /** SIGKILL. */
  kill?(): Promise<void>
  /** At the same address with what it kept; resolves once it accepts clients. */
  start?(): Promise<void>

  /** Where order within a key is not promised, and why. */
  readonly unordered?: Readonly<Partial<Record<ScenarioName, string>>>
  /**
   * Events handed to one hub that the broker does not know to be settled, at most, where more of them are settled than a
   * confirmation each would allow: offsets behind a gap, acknowledgements on their way. `atStop`: when a hub has been
   * stopped; `atLoss`: at any time. Default: none at a stop, and else what that hub has really not settled.
   */
  readonly unconfirmedMax?: { readonly atStop: number; readonly atLoss: number }
  /** Events that the client keeps beside those that the hub may hold unsettled. Default 0. */
  readonly readAheadMax?: number
  /** A replica that joins takes events from the others that are in flight there. Default false. */
  readonly rebalances?: boolean
  /** What was given to a replica waits for that one to come back, and nobody else gets it. Default false. */
  readonly keepsForReplica?: boolean
}

/** @throws ServerUnavailable when this machine has no such server */
export type StartFaultBroker = () => Promise<FaultBroker>
