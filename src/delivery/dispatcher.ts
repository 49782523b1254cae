// Takes deliveries from one source and settles each exactly once, after every function that wants it has settled it.
// Owns concurrency, order, retries, dead letters and the ledger; knows neither the broker nor the gateway.

import type { GatewayGate } from '../invoke/gateway-gate.ts'
import type { Invoker, Outcome } from '../invoke/outcome.ts'
import { asHubError, backoffMs } from '../sdk/index.ts'
import type { Capabilities, Clock, DeadLetter, Delivery, FunctionResult, Router, Settlement } from '../sdk/index.ts'
import type { DeliveryEvents } from '../telemetry/events.ts'
import type { DeadLetterSink } from './dead-letters.ts'
import { Call, Flight } from './flight.ts'
import type { OpenDelivery } from './flight.ts'
import { FunctionState } from './function-state.ts'
import type { DeliveryEnd, Ledger, LedgerCall } from './ledger.ts'
import { Permits } from './limits.ts'
import type { Limits } from './limits.ts'
import { decide } from './retry-policy.ts'

export interface DispatcherOptions {
  /** Connector instance. */
  readonly source: string
  readonly capabilities: Pick<Capabilities, 'retry' | 'reject' | 'durable'>
  /** Asked once per delivery, so that a new wiring takes effect with the next event. */
  readonly router: () => Router
  readonly invoker: Invoker
  readonly gate: GatewayGate
  readonly limits: Limits
  /** Concurrent invocations of this source. */
  readonly inFlightMax: number
  /** Deliveries that may wait unsettled beside those (retry delays, lanes, function limits). */
  readonly heldMax: number
  /** Body bytes that may be unsettled at once; one delivery always fits. */
  readonly unsettledBytesMax: number
  readonly deadLetters: DeadLetterSink
  readonly ledger: Ledger
  readonly events: DeliveryEvents
  readonly clock: Clock
  /** Keep up to this much of each answer for the log; 0: none. */
  readonly loggedResponseBytesMax: number
  readonly random?: () => number
  /** `Delivery.mayInvoke` of every delivery, for sources that know nothing of turns. */
  readonly mayInvoke?: () => boolean
}

export interface DrainReport {
  /** Deliveries left to the broker's redelivery. */
  readonly unsettled: number
}

const NO_RESULTS: readonly FunctionResult[] = []
/** Of the function, of the connector, of the process. */
const PERMITS = 3
const BURY_BACKOFF = { minWaitMs: 500, maxWaitMs: 30_000, jitter: 'equal' } as const
/** After the drain's own timeout: for aborted invocations to end and the last dead letters to be written. */
const DRAIN_GRACE_MS = 2000

export class Dispatcher {
  readonly #options: DispatcherOptions
  readonly #functions = new Map<string, FunctionState>()
  readonly #flights = new Set<Flight>()
  /** The source's own invocation slots. */
  readonly #slots: Permits
  readonly #random: () => number
  #unsettledBytes = 0
  /** Resumes `run` when there is room, or a reason to stop. */
  #wake: (() => void) | undefined
  #draining = false
  #leftToBroker = 0
  #onQuiet: (() => void) | undefined

  constructor(options: DispatcherOptions) {
    this.#options = options
    this.#slots = new Permits(options.inFlightMax)
    this.#random = options.random ?? Math.random
    options.ledger.measureInFlight(() => this.#flights.size)
  }

  /** Deliveries pulled and not settled. */
  get unsettled(): number {
    return this.#flights.size
  }

  /** What is open for each function now: how many calls, and when the oldest of their events was produced. */
  openCalls(): ReadonlyMap<string, { readonly count: number; readonly oldestMs: number }> {
    const open = new Map<string, { count: number; oldestMs: number }>()
    for (const { trigger, flight } of this.#openCalls()) {
      const { timestampMs } = flight.delivery.message
      const known = open.get(trigger.function)
      if (known === undefined) open.set(trigger.function, { count: 1, oldestMs: timestampMs })
      else {
        known.count += 1
        known.oldestMs = Math.min(known.oldestMs, timestampMs)
      }
    }
    return open
  }

  /** What is pulled and not settled, oldest first, with what each function's share of it waits for. */
  openDeliveries(): readonly OpenDelivery[] {
    return [...this.#flights].map(({ delivery: { message }, receivedAtMs, calls }) => ({
      id: message.id,
      source: message.source,
      topic: message.topic,
      ...(message.orderingKey === undefined ? {} : { orderingKey: message.orderingKey }),
      receivedAtMs,
      calls: calls.map(({ trigger, state, attempts, status, heldFor }) => ({
        function: trigger.function,
        state,
        attempts,
        status,
        ...(state === 'held' ? heldFor : {}),
      })),
    }))
  }

  /** Invocations running now. */
  get invoking(): number {
    return this.#slots.used
  }

  /**
   * Pulls until the deliveries end, `signal` is aborted or the drain begins. Room comes first, the pull second: without
   * room nothing is pulled and the broker keeps the backlog. May be called again after it returned.
   * @throws whatever the deliveries throw; what is in flight goes on
   */
  async run(deliveries: AsyncIterable<Delivery>, signal: AbortSignal): Promise<void> {
    const iterator = deliveries[Symbol.asyncIterator]()
    const wakeUp = (): void => this.#wake?.()
    signal.addEventListener('abort', wakeUp)
    try {
      for (;;) {
        while (!signal.aborted && !this.#draining && !this.#hasRoom()) await this.#roomOrWake()
        if (signal.aborted || this.#draining) return
        const next = await iterator.next()
        if (next.done === true) return
        // Pulled while the drain began: a durable broker delivers it again, for others this is the only chance.
        if (this.#draining && this.#options.capabilities.durable) return
        this.#accept(next.value)
      }
    } finally {
      signal.removeEventListener('abort', wakeUp)
      await iterator.return?.()
    }
  }

  /**
   * Stops pulling, waits up to `timeoutMs` for what is being invoked, and lets the rest go: a durable source's broker
   * delivers it again; for the others it becomes dead letters, because nothing else remembers it. Bounded: returns at the
   * latest a short grace after the timeout. Idempotent.
   */
  async drain(timeoutMs: number): Promise<DrainReport> {
    this.#draining = true
    this.#wake?.()
    const { clock, capabilities, invoker } = this.#options
    this.#abandonAll((call) => capabilities.durable || call.state === 'held' || call.state === 'gated')
    const cutOff = clock.after(timeoutMs, () => {
      void invoker.close()
      this.#abandonAll(() => true)
    })
    const giveUp = clock.after(timeoutMs + DRAIN_GRACE_MS, () => this.#giveUp())
    if (this.#flights.size > 0) await new Promise<void>((resolve) => (this.#onQuiet = resolve))
    cutOff.cancel()
    giveUp.cancel()
    return { unsettled: this.#leftToBroker }
  }

  #hasRoom(): boolean {
    const { inFlightMax, heldMax, unsettledBytesMax, gate } = this.#options
    return (
      this.#slots.used < inFlightMax &&
      this.#flights.size < inFlightMax + heldMax &&
      this.#unsettledBytes < unsettledBytesMax &&
      gate.open
    )
  }

  #roomOrWake(): Promise<void> {
    return new Promise((resolve) => {
      // Also while the gate is open: another connector may close it, and then nothing here ends that could wake us.
      const forget = this.#options.gate.whenOpen(() => this.#wake?.())
      this.#wake = () => {
        this.#wake = undefined
        forget()
        resolve()
      }
    })
  }

  #wakeIfRoom(): void {
    if (this.#wake !== undefined && this.#hasRoom()) this.#wake()
  }

  // ── a delivery comes in ────────────────────────────────────────────────────────────────────────────────────────

  #accept(delivery: Delivery): void {
    const { ledger, clock } = this.#options
    const { message, signal } = delivery
    ledger.received()
    const flight = new Flight(delivery, clock.now(), clock.monotonic())
    this.#flights.add(flight)
    this.#unsettledBytes += message.body.byteLength
    try {
      this.#route(flight)
    } catch (error) {
      // Nothing was invoked. The room comes back; `run` fails and its source connects anew.
      flight.calls.length = 0
      this.#close(flight, 'returned')
      throw error
    }
    if (flight.open === 0) {
      this.#finish(flight)
      return
    }
    if (signal !== undefined) {
      flight.onAbort = () => this.#withdraw(flight)
      if (signal.aborted) {
        this.#withdraw(flight)
        return
      }
      signal.addEventListener('abort', flight.onAbort, { once: true })
    }
    for (const call of flight.calls) if (!call.done) this.#enterLane(call)
  }

  #route(flight: Flight): void {
    for (const trigger of this.#options.router().match(flight.delivery.message)) {
      const call = new Call(flight, trigger, this.#functionState(trigger.function), this.#takePermits)
      flight.calls.push(call)
      flight.open += 1
      if (!this.#passesFilter(call)) this.#record(call, 'filtered', 'filter')
    }
  }

  #functionState(name: string): FunctionState {
    let state = this.#functions.get(name)
    if (state === undefined) {
      state = new FunctionState(this.#options.events.meter(this.#options.source, name))
      this.#functions.set(name, state)
    }
    return state
  }

  #passesFilter(call: Call): boolean {
    const { filter } = call.trigger.settings
    if (filter === undefined) return true
    const { message } = call.flight.delivery
    const verdict = filter.test(message)
    if (verdict.kind === 'error')
      this.#options.events.filterFailed(this.#options.source, call.trigger.function, message, verdict.reason)
    return verdict.kind === 'pass'
  }

  // ── lane, permits, slot, invocation ────────────────────────────────────────────────────────────────────────────

  #enterLane(call: Call): void {
    const { orderingKey } = call.flight.delivery.message
    if (orderingKey !== undefined && call.trigger.settings.ordering === 'key') {
      if (!call.target.enterLane(orderingKey, call)) return
      call.holdsLane = true
    }
    this.#takePermits(call)
  }

  /**
   * All that it still needs, in order. What is scarce for one function comes before what is scarce for the connector, and
   * that before what all connectors share: nobody waits holding what others could use.
   */
  readonly #takePermits = (call: Call): void => {
    if (call.permitsHeld === 0) {
      const { function: name, settings } = call.trigger
      call.functionPermits = this.#options.limits.forFunction(name, settings.concurrency)
      call.state = 'limited'
    }
    while (call.permitsHeld < PERMITS) {
      const permits = this.#permitsOf(call, call.permitsHeld)
      if (!permits.tryTake()) {
        call.waitFor(permits)
        return
      }
      call.permitsHeld += 1
    }
    this.#invoke(call)
  }

  #permitsOf(call: Call, position: number): Permits {
    // Not looked up by the trigger's own bound: a newer wiring may have changed it.
    if (position === 0) return call.functionPermits as Permits
    return position === 1 ? this.#slots : this.#options.limits.total
  }

  #invoke(call: Call): void {
    const { trigger, flight } = call
    if (flight.delivery.mayInvoke?.() === false || this.#options.mayInvoke?.() === false) {
      call.state = 'invoking'
      this.#withdraw(flight)
      // Not at once: what it gives back lets the next one try, which may not either, and a thousand wait.
      queueMicrotask(() => this.#letGo(call, 'withdrawn'))
      return
    }
    const { message, signal, responseBytesMax } = flight.delivery
    call.state = 'invoking'
    call.invocations += 1
    const invocation = {
      function: trigger.function,
      mode: trigger.settings.mode,
      message,
      timeoutMs: trigger.settings.timeoutMs,
      callbackUrl: trigger.settings.callbackUrl,
      responseBytesMax: Math.max(responseBytesMax ?? 0, this.#options.loggedResponseBytesMax),
      signal,
    }
    // Never rejects, by the contract of Invoker.
    void this.#options.invoker.invoke(invocation).then((outcome) => this.#answered(call, outcome))
  }

  /** Gives back what an invocation holds; the lane stays until the call is done. */
  #releasePermits(call: Call): void {
    while (call.permitsHeld > 0) {
      call.permitsHeld -= 1
      this.#permitsOf(call, call.permitsHeld).release()
    }
    this.#wakeIfRoom()
  }

  // ── what became of it ──────────────────────────────────────────────────────────────────────────────────────────

  #answered(call: Call, outcome: Outcome): void {
    call.durationMs = outcome.durationMs
    call.status = outcome.kind === 'answered' ? outcome.status : outcome.kind === 'accepted' ? 202 : 0
    call.response = outcome.kind === 'answered' ? outcome.response : undefined
    this.#releasePermits(call)
    this.#report(call, outcome)
    // The drain gave it up while it was running.
    if (call.done) return
    const { events, source } = this.#options
    const verdict = decide(outcome, call.attempts - 1, call.trigger.settings.retry, this.#random)
    if (call.flight.leftToBroker && verdict.kind !== 'ack') {
      this.#end(call, 'returned', 'withdrawn')
      return
    }
    switch (verdict.kind) {
      case 'ack':
        this.#end(call, 'acked', '')
        break
      case 'wait':
        this.#waitForGateway(call, outcome)
        break
      case 'withdrawn':
        this.#abandon(call)
        break
      case 'reject':
        this.#bury(call, verdict.reason, 1)
        break
      case 'retry':
        events.retrying(
          source,
          call.trigger.function,
          call.flight.delivery.message,
          verdict.reason,
          verdict.delayMs,
          call.attempts,
        )
        this.#retry(call, verdict.delayMs, verdict.reason)
        break
    }
  }

  #report(call: Call, outcome: Outcome): void {
    const { events, source } = this.#options
    if (outcome.kind === 'unreachable' || outcome.kind === 'cancelled') return
    call.target.meter.finished(call.status, outcome.durationMs)
    const error = outcome.kind === 'interrupted' ? outcome.error : undefined
    if (error === undefined && call.status < 400 && !events.reportsSuccess) return
    events.invoked({
      source,
      function: call.trigger.function,
      message: call.flight.delivery.message,
      attempt: call.invocations,
      status: call.status,
      durationMs: outcome.durationMs,
      bodyBytes: outcome.kind === 'answered' ? outcome.bodyBytes : 0,
      error,
      responseBody: call.response?.body,
    })
  }

  /** Not the event's fault: the invocation is not counted, and the gate says when to go on. */
  #waitForGateway(call: Call, outcome: Outcome): void {
    const { gate, clock } = this.#options
    call.invocations -= 1
    if (outcome.kind === 'unreachable') gate.report(outcome.error)
    call.state = 'gated'
    if (this.#draining) {
      this.#abandon(call)
      return
    }
    const goOn = (): void => {
      if (call.state !== 'gated') return
      call.leaveGate = undefined
      call.timer = undefined
      this.#takePermits(call)
    }
    // A gate that is being closed for good no longer closes; a pause keeps that from becoming a spin.
    if (gate.open) call.timer = clock.after(BURY_BACKOFF.minWaitMs, goOn)
    else call.leaveGate = gate.whenOpen(goOn)
  }

  #retry(call: Call, delayMs: number, reason: string): void {
    const { capabilities, clock } = this.#options
    const { flight } = call
    // Handing an ordered event back would let the later ones of its key overtake it, and handing back a fan-out would
    // run the functions again that are done.
    const alone = flight.calls.length === 1 && flight.delivery.message.orderingKey === undefined
    if (alone && capabilities.retry === 'delayed') {
      this.#giveBack(call, delayMs, reason)
      return
    }
    call.state = 'held'
    flight.delivery.tried?.(call.attempts)
    if (this.#draining) {
      this.#abandon(call)
      return
    }
    call.heldFor = { reason, untilMs: clock.now() + delayMs }
    call.timer = clock.after(delayMs, () => {
      call.timer = undefined
      if (alone && capabilities.retry === 'immediate') this.#giveBack(call, 0, reason)
      else this.#takePermits(call)
    })
  }

  /** The only call of a delivery whose broker redelivers: its count and its delay survive our restart. */
  #giveBack(call: Call, delayMs: number, reason: string): void {
    this.#record(call, 'returned', reason)
    this.#leaveLane(call)
    void this.#settle(call.flight, { kind: 'retry', delayMs, reason }, 'returned')
  }

  /** The dead letter is durable before the delivery is settled; while it cannot be made so, the delivery stays. */
  #bury(call: Call, reason: string, tries: number): void {
    const { capabilities, deadLetters, events, clock, source } = this.#options
    const { flight, trigger } = call
    call.state = 'burying'
    const letter: DeadLetter = {
      message: flight.delivery.message,
      function: trigger.function,
      reason,
      attempts: call.attempts,
      failedAtMs: clock.now(),
      ...(call.status === 0 ? {} : { status: call.status }),
    }
    const buried = (): void => {
      if (call.done) return
      events.deadLettered(source, letter)
      this.#end(call, 'deadLettered', reason)
    }
    if ((flight.delivery.reject ?? capabilities.reject) === 'broker') {
      flight.letters.push(letter)
      buried()
      return
    }
    deadLetters.put(letter).then(buried, (error: unknown) => {
      if (call.done) return
      events.deadLetterFailed(source, letter, asHubError(error, 'HUB_DEAD_LETTER_FAILED', true))
      call.timer = clock.after(backoffMs(tries, BURY_BACKOFF, this.#random), () => this.#bury(call, reason, tries + 1))
    })
  }

  #end(call: Call, result: LedgerCall['result'], reason: string): void {
    this.#record(call, result, reason)
    this.#leaveLane(call)
    if (call.flight.open === 0) this.#finish(call.flight)
  }

  #record(call: Call, result: LedgerCall['result'], reason: string): void {
    call.state = 'done'
    call.flight.open -= 1
    call.result = {
      function: call.trigger.function,
      result,
      invocations: call.invocations,
      status: call.status,
      reason,
      durationMs: call.durationMs,
    }
  }

  #leaveLane(call: Call): void {
    if (!call.holdsLane) return
    call.holdsLane = false
    const next = call.target.leaveLane(call.flight.delivery.message.orderingKey as string)
    if (next === undefined) return
    next.holdsLane = true
    this.#takePermits(next)
  }

  // ── settling ───────────────────────────────────────────────────────────────────────────────────────────────────

  #finish(flight: Flight): void {
    if (flight.leftToBroker) {
      this.#close(flight, 'returned')
      return
    }
    const buried = flight.calls.find((call) => call.result?.result === 'deadLettered')
    if (buried !== undefined) {
      void this.#settle(
        flight,
        { kind: 'reject', reason: buried.result?.reason ?? '', letters: flight.letters },
        'deadLettered',
      )
      return
    }
    const acked = flight.calls.some((call) => call.result?.result === 'acked')
    void this.#settle(flight, { kind: 'ack' }, acked ? 'acked' : flight.calls.length === 0 ? 'unmatched' : 'filtered')
  }

  async #settle(flight: Flight, settlement: Settlement, end: DeliveryEnd): Promise<void> {
    const { delivery } = flight
    try {
      const wantsResults = (delivery.responseBytesMax ?? 0) > 0
      const result = await delivery.settle(settlement, wantsResults ? resultsOf(flight) : NO_RESULTS)
      this.#close(flight, result === 'stale' ? 'returned' : end)
    } catch (error) {
      this.#options.events.settleFailed(
        this.#options.source,
        delivery.message,
        asHubError(error, 'HUB_SOURCE_LOST', true),
      )
      this.#close(flight, 'returned')
    }
  }

  /** The flight's books are closed and its room is free. */
  #close(flight: Flight, end: DeliveryEnd): void {
    if (!this.#flights.delete(flight)) return
    const { delivery } = flight
    const { message } = delivery
    const { ledger, clock, source } = this.#options
    this.#unsettledBytes -= message.body.byteLength
    if (flight.onAbort !== undefined) delivery.signal?.removeEventListener('abort', flight.onAbort)
    if (this.#draining && flight.leftToBroker) this.#leftToBroker += 1
    ledger.ended({
      id: message.id,
      source,
      topic: message.topic,
      receivedAtMs: flight.receivedAtMs,
      durationMs: clock.monotonic() - flight.startedAt,
      end,
      calls: flight.calls.map((call) => call.result as LedgerCall),
    })
    this.#wakeIfRoom()
    if (this.#flights.size === 0) this.#onQuiet?.()
  }

  // ── letting go ─────────────────────────────────────────────────────────────────────────────────────────────────

  *#openCalls(): Iterable<Call> {
    for (const flight of this.#flights) for (const call of flight.calls) if (!call.done) yield call
  }

  /** The source wants it back: stop waiting for anything; running invocations are aborted by the same signal. */
  #withdraw(flight: Flight): void {
    flight.leftToBroker = true
    for (const call of flight.calls) if (call.state !== 'invoking') this.#letGo(call, 'withdrawn')
  }

  #abandonAll(which: (call: Call) => boolean): void {
    const leaving = [...this.#openCalls()].filter(which)
    // Out of every queue first: a lane or permit that one gives back must not start another that is leaving too.
    for (const call of leaving) if (call.state === 'in-lane' || call.state === 'limited') call.state = 'held'
    for (const call of leaving) if (!call.done) this.#abandon(call)
  }

  /** Shutting down: not invoked again by us. Running invocations are waited for, and aborted at the timeout. */
  #abandon(call: Call): void {
    if (call.state === 'burying' || (call.state === 'invoking' && call.permitsHeld > 0)) return
    if (this.#options.capabilities.durable) {
      call.flight.leftToBroker = true
      this.#letGo(call, 'shutdown')
      return
    }
    this.#stopWaiting(call)
    this.#bury(
      call,
      call.invocations === 0 ? 'shut down before it was invoked' : 'shut down before it could be retried',
      1,
    )
  }

  #letGo(call: Call, reason: string): void {
    if (call.done) return
    this.#stopWaiting(call)
    this.#end(call, 'returned', reason)
  }

  /** Leaves every queue and timer. A call that waits in a lane is skipped there once it is done. */
  #stopWaiting(call: Call): void {
    call.waitNoMore()
    call.timer?.cancel()
    call.timer = undefined
    call.leaveGate?.()
    call.leaveGate = undefined
    this.#releasePermits(call)
  }

  /** The drain is over its time: whatever is still open is let go, and said to be lost where nothing keeps it. */
  #giveUp(): void {
    const { capabilities, events, source } = this.#options
    for (const call of this.#openCalls()) {
      if (!capabilities.durable) events.lost(source, call.trigger.function, call.flight.delivery.message)
      call.flight.leftToBroker = true
      this.#letGo(call, 'shutdown')
    }
    // A settlement the broker does not answer must not keep the process.
    for (const flight of this.#flights) {
      flight.leftToBroker = true
      this.#close(flight, 'returned')
    }
  }
}

/** Of the functions whose filter let the event through: the others were not asked. */
function resultsOf(flight: Flight): readonly FunctionResult[] {
  const asked = flight.calls.filter(({ result }) => result?.result !== 'filtered')
  return asked.map(({ trigger, response, status, durationMs, attempts }) => ({
    function: trigger.function,
    status: status === 0 ? 503 : status,
    headers: response?.headers ?? [],
    // The log may have asked for more of it.
    body: response?.body.subarray(0, flight.delivery.responseBytesMax) ?? new Uint8Array(0),
    durationMs,
    retries: Math.max(0, attempts - 1),
    retriesMax: trigger.settings.retry.attempts,
  }))
}
