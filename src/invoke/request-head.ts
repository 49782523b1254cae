// The path and the headers of an invocation, as the gateway gets them. Used by the invoker for each call, and by a dry run
// to show what would be sent.

import { HeaderWriter } from '../sdk/index.ts'
import type { EventMessage } from '../sdk/index.ts'
import type { Invocation } from './outcome.ts'

export interface RequestHeadOptions {
  /** Base URL of the gateway; a path prefix and a trailing slash are fine. */
  readonly gatewayUrl: string
  /** Value of `X-Connector`. Undefined: neither it nor `X-Topic` is added, for calls that already carry their own. */
  readonly connector: string | undefined
  /** `Content-Type` of events that state none. */
  readonly contentType: string | undefined
  readonly userAgent: string
}

export type RequestOf = Pick<Invocation, 'function' | 'mode' | 'message' | 'callbackUrl'>

/** Distinct topics whose header lists are remembered; the rest is built anew. */
const CACHED_MAX = 4096

export class RequestHead {
  readonly #options: RequestHeadOptions
  readonly #prefix: string
  readonly #topicHeaders = new Map<string, readonly string[]>()
  readonly #paths = new Map<string, string>()

  constructor(options: RequestHeadOptions) {
    this.#options = options
    this.#prefix = new URL(options.gatewayUrl).pathname.replace(/\/+$/, '')
  }

  /** Of the request line, query included. */
  path({ function: name, mode, message }: RequestOf): string {
    const key = mode === 'sync' ? name : `async ${name}`
    let path = this.#paths.get(key)
    if (path === undefined) {
      path = `${this.#prefix}/${mode === 'sync' ? 'function' : 'async-function'}/${name}`
      if (this.#paths.size >= CACHED_MAX) this.#paths.clear()
      this.#paths.set(key, path)
    }
    return message.path === undefined ? path : path + message.path
  }

  /** A flat list, name and value in turn; the caller's own. */
  headers({ message, mode, callbackUrl }: RequestOf): string[] {
    const headers = this.#baseHeaders(message)
    for (const name in message.headers) headers.push(name, message.headers[name] as string)
    if (message.moreHeaders !== undefined) headers.push(...message.moreHeaders)
    if (mode === 'async' && callbackUrl !== undefined) headers.push('X-Callback-Url', callbackUrl)
    return headers
  }

  #baseHeaders(message: EventMessage): string[] {
    const { topic } = message
    let fixed = this.#topicHeaders.get(topic)
    if (fixed === undefined) {
      fixed = ['User-Agent', this.#options.userAgent]
      if (this.#options.connector !== undefined) {
        const safeTopic = Object.entries(new HeaderWriter('').own('X-Topic', topic).build()).flat()
        fixed = [...fixed, 'X-Connector', this.#options.connector, ...safeTopic]
      }
      if (this.#topicHeaders.size >= CACHED_MAX) this.#topicHeaders.clear()
      this.#topicHeaders.set(topic, fixed)
    }
    const headers = fixed.slice()
    // An empty body declared as JSON would be a parse error in the function; OpenFaaS's cron connector declares none.
    const contentType = message.contentType ?? (message.body.byteLength === 0 ? undefined : this.#options.contentType)
    if (contentType !== undefined) headers.push('Content-Type', contentType)
    return headers
  }
}
