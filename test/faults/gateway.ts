// The gateway of the fault suite: lists functions, records every invocation by event, answers as each function's plan says,
// holds its answers back or goes away when told to. Knows neither hubs nor brokers; called by trial.ts.

import type { IncomingMessage, ServerResponse } from 'node:http'

import { HttpListener } from '../http-listener.ts'
import { pickPorts } from '../servers/server.ts'
import type { Received } from './verdict.ts'

export interface FunctionPlan {
  readonly annotations: Readonly<Record<string, string>>
  /** HTTP status of the answer, by event and by how often it was asked with it, from 1. */
  answer(id: string, attempt: number): number
}

interface OpenRequest {
  readonly invocation: Received
  readonly log: FunctionLog
  readonly hub: string
  readonly response: ServerResponse
}

/** What one function has received. */
export class FunctionLog {
  readonly plan: FunctionPlan
  readonly received: Received[] = []
  readonly attempts = new Map<string, number>()
  /** Events that were answered with 200. */
  readonly done = new Set<string>()
  failures = 0

  constructor(plan: FunctionPlan) {
    this.plan = plan
  }
}

export class FaultGateway implements AsyncDisposable {
  readonly functions: ReadonlyMap<string, FunctionLog>
  readonly #listener: HttpListener
  readonly #stallMs: number
  readonly #eventOf: (body: string) => string
  readonly #byHub = new Map<string, number>()
  readonly #open = new Set<OpenRequest>()
  readonly #waiting = new Set<() => void>()
  #holding = false
  #answers = 0

  private constructor(
    functions: Readonly<Record<string, FunctionPlan>>,
    port: number,
    stallMs: number,
    eventOf: (body: string) => string,
  ) {
    this.#stallMs = stallMs
    this.#eventOf = eventOf
    this.functions = new Map(Object.entries(functions).map(([name, plan]) => [name, new FunctionLog(plan)]))
    this.#listener = new HttpListener((request, response) => void this.#serve(request, response), port)
  }

  /**
   * On a port that no outgoing connection gets, so that it is free when the gateway comes back.
   * @param stallMs how long `until` waits without a sign of anything
   * @param eventOf the body that was published, from the one of an invocation
   */
  static async open(
    functions: Readonly<Record<string, FunctionPlan>>,
    stallMs: number,
    eventOf: (body: string) => string = (body) => body,
  ): Promise<FaultGateway> {
    const [port = 0] = await pickPorts(1)
    const gateway = new FaultGateway(functions, port, stallMs, eventOf)
    await gateway.comeBack()
    return gateway
  }

  /** The name of the hub is a path prefix, which hubs keep: so each invocation tells which process made it. */
  urlFor(hub: string): string {
    return `${this.#listener.url}/${hub}`
  }

  log(functionName: string): FunctionLog {
    const log = this.functions.get(functionName)
    if (log === undefined) throw new Error(`no function is called ${functionName}`)
    return log
  }

  /** Invocations by this hub so far. */
  by(hub: string): number {
    return this.#byHub.get(hub) ?? 0
  }

  /** Invocations that are not answered. */
  get open(): number {
    return this.#open.size
  }

  /** Resolves in the very moment when an invocation or an answer makes it true. Rejects when nothing happens any more. */
  async until(condition: () => boolean, what: string): Promise<void> {
    if (condition()) return
    await new Promise<void>((resolve, reject) => {
      const stalled = (): void => {
        this.#waiting.delete(look)
        reject(new Error(`nothing was invoked for ${this.#stallMs} ms while waiting for ${what}`))
      }
      const timer = setTimeout(stalled, this.#stallMs)
      const look = (): void => {
        timer.refresh()
        if (!condition()) return
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve()
      }
      this.#waiting.add(look)
    })
  }

  /** From now on nothing is answered. */
  hold(): void {
    this.#holding = true
  }

  /** Answers what was held back. */
  release(): void {
    this.#holding = false
    for (const request of this.#open) this.#answer(request)
  }

  /** Closes the listener and every connection. */
  goAway(): Promise<void> {
    return this.#listener.stop()
  }

  /** At the same address. */
  comeBack(): Promise<void> {
    return this.#listener.start()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.goAway()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, hub = '', route = '', name = ''] = (request.url ?? '').split('/')
    if (route === 'system') response.end(JSON.stringify(name.startsWith('namespaces') ? ['openfaas-fn'] : this.#list()))
    else if (route === 'function') await this.#invoked(hub, name.split('.')[0] ?? '', request, response)
    else response.writeHead(404).end()
  }

  #list(): readonly object[] {
    return [...this.functions].map(([name, { plan }]) => ({
      name,
      namespace: 'openfaas-fn',
      annotations: plan.annotations,
    }))
  }

  async #invoked(hub: string, name: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    try {
      for await (const chunk of request) body += String(chunk)
    } catch {
      return // cut before all of it was here: the function never saw it
    }
    const log = this.log(name)
    const [id = '', key = '', sequence] = this.#eventOf(body).split(' ')
    const invocation: Received = { id, key, sequence: Number(sequence), status: undefined, answered: undefined }
    log.received.push(invocation)
    log.attempts.set(id, (log.attempts.get(id) ?? 0) + 1)
    this.#byHub.set(hub, this.by(hub) + 1)
    const open = { invocation, log, hub, response }
    this.#open.add(open)
    response.once('close', () => {
      if (this.#open.delete(open)) this.#look()
    })
    this.#look()
    if (!this.#holding) this.#answer(open)
  }

  #answer(request: OpenRequest): void {
    const { invocation, log, response } = request
    if (!this.#open.delete(request) || response.destroyed) return
    const status = log.plan.answer(invocation.id, log.attempts.get(invocation.id) ?? 1)
    invocation.status = status
    invocation.answered = this.#answers += 1
    if (status === 200) log.done.add(invocation.id)
    else log.failures += 1
    response.writeHead(status).end()
    this.#look()
  }

  #look(): void {
    for (const look of this.#waiting) look()
  }
}
