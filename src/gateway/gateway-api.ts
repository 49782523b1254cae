// The bundled gateway as whoever starts it sees it: what it may be told, and what it can be asked. Built by gateway.ts.

import type { Clock } from '../sdk/index.ts'
import type { FunctionSpec } from './function-spec.ts'
import type { GatewayLog } from './gateway-log.ts'
import type { Credentials } from './http.ts'
import type { Images } from './images.ts'
import type { QueueSettings } from './queue/settings.ts'

export interface GatewayOptions {
  readonly host?: string
  /** 0: any free one. */
  readonly port: number
  /** Of `/metrics` and `/healthz` alone; 0: any free one. Absent: they are on `port` only. */
  readonly metricsPort?: number
  /** Without: everything is open. */
  readonly auth?: Credentials
  /** Directory of the async queue and of what is deployed over REST. */
  readonly stateDir: string
  /** How deployments over REST run here. By default commands and handler folders of the working directory. */
  readonly images?: Images
  /** Where functions find secrets too, if it can be written: default `/var/openfaas/secrets`. */
  readonly sharedSecretsDirectory?: string
  /** Namespace of functions that name none. */
  readonly namespace: string
  /** A whole call: default 60 s. */
  readonly upstreamTimeoutMs?: number
  /** Of `/async-function/`; what is left out is QUEUE_DEFAULTS. */
  readonly queue?: Partial<QueueSettings>
  /** Async calls are accepted and do not run before `startQueue`: for functions that are deployed first. Default: no. */
  readonly holdsQueue?: boolean
  /** For a whole request to arrive, and for an idle connection to say something: default 5 s above a call. */
  readonly readTimeoutMs?: number
  /** From the end of a request's headers to the end of its answer, streams included: default 5 s above a call. */
  readonly writeTimeoutMs?: number
  /** For a client to send its request line and headers: default 20 s, and no more than `readTimeoutMs`. */
  readonly headersTimeoutMs?: number
  /** Connections at a time; more are closed when they come. Default: 10,000. */
  readonly connectionsMax?: number
  /** Calls of functions that do not exist are answered with 404 instead of 503. Default: no. */
  readonly scaleFromZero?: boolean
  /** A log line for each call with where it is sent. Default: no. */
  readonly writeRequestUri?: boolean
  /** For running calls to end when the gateway is closed, async ones with their callbacks too; what runs longer is cut. Default: 5 s. */
  readonly drainMs?: number
  /** A function's changed code is loaded and takes over, without a deployment; running calls are not cut. Default: no. */
  readonly hotReload?: boolean
  readonly log: GatewayLog
  readonly clock?: Clock
}

export type ProvidedSecret = 'added' | 'same' | 'changed' | 'different'

export interface Gateway extends AsyncDisposable {
  /** e.g. `http://127.0.0.1:8080`. */
  readonly address: string
  /** Of the metrics alone; undefined where no port is given for them. */
  readonly metricsAddress: string | undefined
  /**
   * Adds or replaces; replacing by an equal one does nothing. A replaced function's running calls are not cut. Not kept over a
   * restart, unlike what clients deploy; of two with one name the later deployment counts.
   */
  deploy(spec: FunctionSpec): Promise<void>
  /**
   * `name` with or without its namespace. Running calls are not cut. False when there is no such function, or when a client
   * has deployed it since.
   */
  remove(name: string): Promise<boolean>
  functions(): readonly FunctionSpec[]
  /** Makes a namespace that is not there. @throws HubError HUB_STATE_UNUSABLE */
  provideNamespace(name: string): Promise<void>
  /**
   * Adds a secret that is not there, in a namespace that is; another value of one that is there stays, unless it is `before`.
   * @throws HubError HUB_STATE_UNUSABLE
   */
  provideSecret(namespace: string, name: string, value: Uint8Array, before?: Uint8Array): Promise<ProvidedSecret>
  hasSecret(namespace: string, name: string): boolean
  /** Starts the function's process ahead of its first call. */
  warm(name: string): Promise<void>
  /** Async calls accepted and not finished; of those that are kept at NATS only what this process holds. */
  readonly queueLength: number
  /** Runs async calls, those first that an earlier process has left. Needed after `holdsQueue` only. Idempotent. */
  startQueue(): void
  /** Stops listening, lets running calls end shortly, ends every function. Queued calls stay. Idempotent. */
  close(): Promise<void>
}
