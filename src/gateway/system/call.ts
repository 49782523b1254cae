// What every system route gets: the parts of the gateway that it works on, and the request. Made by routes.ts.

import type { IncomingMessage, ServerResponse } from 'node:http'

import type { Clock } from '../../sdk/index.ts'
import type { Deployments } from '../deployments.ts'
import type { Functions } from '../functions.ts'
import { fullName } from '../http.ts'
import type { Credentials } from '../http.ts'
import type { LogBook } from '../log-book.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { UsageMeter } from './usage.ts'

export interface SystemParts {
  readonly functions: Functions
  readonly deployments: Deployments
  readonly metrics: GatewayMetrics
  readonly logBook: LogBook
  readonly usage: UsageMeter
  readonly clock: Clock
  /** Namespace of requests that name none. */
  readonly namespace: string
  readonly auth: Credentials | undefined
  /** From the end of a request's headers to the end of its answer; then its connection is cut. */
  readonly writeTimeoutMs: number
}

export interface SystemCall extends SystemParts {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly query: URLSearchParams
  /** Of the path; '' where the route has none. */
  readonly name: string
}

/** @throws Refused */
export type Handler = (call: SystemCall) => Promise<void> | void

/** Of the query, else the default one. */
export function namespaceOf({ query, namespace }: Pick<SystemCall, 'query' | 'namespace'>): string {
  return query.get('namespace') || namespace
}

/** `name.namespace`: as it is in the path, else with the namespace of the query or the default one. */
export function fullNameAsked(call: Pick<SystemCall, 'query' | 'namespace'>, name: string, namespace = ''): string {
  return fullName(name, namespace || namespaceOf(call))
}
