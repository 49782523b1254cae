// Everything the hub reports while it runs: one method an event, which writes the log line and moves the metric.
// Nobody else logs or counts, so that log and metrics cannot disagree.

import { RepeatGuard, formatDuration } from '../sdk/index.ts'
import type { Clock, DeadLetter, EventMessage, HubError, LogFields, SourceCounter, SourceLog } from '../sdk/index.ts'
import type { LogLevel, Logger } from './logger.ts'
import type { InvocationMeter, Metrics } from './metrics.ts'

/** One finished invocation, for a person. */
export interface InvocationReport {
  readonly source: string
  readonly function: string
  readonly message: EventMessage
  /** Invocations of this function with this event by this process, from 1. */
  readonly attempt: number
  /** HTTP status; 0 where there was no answer. */
  readonly status: number
  readonly durationMs: number
  readonly bodyBytes: number
  readonly error: HubError | undefined
  /** Only kept when response bodies are printed. */
  readonly responseBody: Uint8Array | undefined
}

/** What the dispatcher reports. */
export interface DeliveryEvents {
  /** Counts the invocations of one function; kept by the caller, so that counting needs no look-up. */
  meter(source: string, functionName: string): InvocationMeter
  /** False: successful invocations need no report, only the meter. */
  readonly reportsSuccess: boolean
  invoked(report: InvocationReport): void
  retrying(
    source: string,
    functionName: string,
    message: EventMessage,
    reason: string,
    delayMs: number,
    retry: number,
  ): void
  deadLettered(source: string, letter: DeadLetter): void
  deadLetterFailed(source: string, letter: DeadLetter, error: HubError): void
  filterFailed(source: string, functionName: string, message: EventMessage, reason: string): void
  settleFailed(source: string, message: EventMessage, error: HubError): void
  lost(source: string, functionName: string, message: EventMessage): void
}

/** `standby`: another replica has the turn. */
export type ConnectorState = 'pending' | 'failing' | 'standby' | 'active' | 'draining' | 'closed'

export interface EventsOptions {
  readonly logger: Logger
  readonly metrics: Metrics
  readonly clock: Clock
  /** OpenFaaS `print_response`: a line for every answer. */
  readonly printResponse: boolean
  /** OpenFaaS `print_response_body`. */
  readonly printResponseBody: boolean
  /** OpenFaaS `print_request_body`. */
  readonly printRequestBody: boolean
}

export class HubEvents implements DeliveryEvents {
  readonly reportsSuccess: boolean
  readonly #options: EventsOptions
  readonly #repeats: RepeatGuard

  constructor(options: EventsOptions) {
    this.#options = options
    this.#repeats = new RepeatGuard(options.clock)
    this.reportsSuccess =
      options.printResponse || options.printResponseBody || options.printRequestBody || options.logger.enabled('debug')
  }

  // ── deliveries ───────────────────────────────────────────────────────────────────────────────────────────────────

  meter(source: string, functionName: string): InvocationMeter {
    return this.#options.metrics.invocationMeter(source, functionName)
  }

  invoked(report: InvocationReport): void {
    const { source, function: name, message, attempt, status, durationMs, bodyBytes, error } = report
    const fields = {
      connector: source,
      topic: message.topic,
      function: name,
      messageId: message.id,
      attempt,
      status,
      durationMs,
      code: error?.code,
    }
    const failed = error !== undefined || status >= 400
    const what =
      error === undefined
        ? `[${status}] ${message.topic} => ${name} (${bodyBytes} bytes)`
        : `${message.topic} => ${name}: ${error.message}`
    const bodies = {
      ...(this.#options.printRequestBody ? { requestBody: text(message.body) } : {}),
      ...(this.#options.printResponseBody && report.responseBody !== undefined
        ? { responseBody: text(report.responseBody) }
        : {}),
    }
    if (failed)
      this.#repeated('warn', 'invocation.failed', `${source} ${name} ${status}`, what, { ...fields, ...bodies })
    else {
      // Whoever asks for bodies only must not have to lower the level as well.
      const { printResponse, printResponseBody, printRequestBody } = this.#options
      const level = printResponse || printResponseBody || printRequestBody ? 'info' : 'debug'
      this.#log(level, 'invocation.answered', what, { ...fields, ...bodies })
    }
  }

  retrying(
    source: string,
    functionName: string,
    message: EventMessage,
    reason: string,
    delayMs: number,
    retry: number,
  ): void {
    this.#options.metrics.retries.inc({ connector: source, function: functionName })
    const line = `${functionName} ${reason}; retry ${retry} in ${formatDuration(delayMs)}`
    this.#repeated('info', 'delivery.retry', `${source} ${functionName}`, line, {
      connector: source,
      topic: message.topic,
      function: functionName,
      messageId: message.id,
    })
  }

  deadLettered(source: string, letter: DeadLetter): void {
    this.#options.metrics.deadLetters.inc({ connector: source, function: letter.function })
    this.#log(
      'warn',
      'delivery.dead-lettered',
      `${letter.function} will not get ${letter.message.id}: ${letter.reason}; kept as a dead letter`,
      {
        connector: source,
        topic: letter.message.topic,
        function: letter.function,
        messageId: letter.message.id,
        attempt: letter.attempts,
        status: letter.status,
      },
    )
  }

  deadLetterFailed(source: string, letter: DeadLetter, error: HubError): void {
    this.#options.metrics.deadLetterFailures.inc({ connector: source })
    this.#failure(
      'delivery.dead-letter-failed',
      error,
      `${source} ${letter.function}`,
      `The dead letter of ${letter.message.id} for ${letter.function} could not be stored, so the event stays unsettled: ${error.message}`,
      {
        connector: source,
        topic: letter.message.topic,
        function: letter.function,
        messageId: letter.message.id,
      },
    )
  }

  filterFailed(source: string, functionName: string, message: EventMessage, reason: string): void {
    this.#options.metrics.filterErrors.inc({ connector: source, function: functionName })
    this.#repeated(
      'warn',
      'delivery.filter-failed',
      `${source} ${functionName}`,
      `The filter of ${functionName} could not be evaluated, so the event was left out: ${reason}`,
      {
        connector: source,
        topic: message.topic,
        function: functionName,
        messageId: message.id,
      },
    )
  }

  settleFailed(source: string, message: EventMessage, error: HubError): void {
    this.#options.metrics.settleFailures.inc({ connector: source })
    this.#failure(
      'delivery.settle-failed',
      error,
      source,
      `The broker could not be told about ${message.id} and will deliver it again: ${error.message}`,
      { connector: source, topic: message.topic, messageId: message.id },
    )
  }

  lost(source: string, functionName: string, message: EventMessage): void {
    this.#options.metrics.lost.inc({ connector: source, function: functionName })
    this.#log(
      'error',
      'delivery.lost',
      `${message.id} was not delivered to ${functionName} and could not be kept: its broker does not deliver again and the dead letter could not be stored in time`,
      {
        connector: source,
        topic: message.topic,
        function: functionName,
        messageId: message.id,
      },
    )
  }

  // ── gateway ──────────────────────────────────────────────────────────────────────────────────────────────────────

  gatewayUnreachable(error: HubError): void {
    this.#options.metrics.gatewayUp.set(0)
    this.#log(
      'error',
      'gateway.unreachable',
      `Deliveries wait, no attempts are used up: ${error.message}. ${error.hint}`,
      { code: error.code },
    )
  }

  gatewayReachable(outageMs: number): void {
    this.#options.metrics.gatewayUp.set(1)
    this.#log(
      'info',
      'gateway.reachable',
      `The gateway answers again after ${formatDuration(outageMs)}; deliveries go on`,
      { durationMs: outageMs },
    )
  }

  // ── connectors ───────────────────────────────────────────────────────────────────────────────────────────────────

  connectorState(connector: string, state: ConnectorState, detail: string, error?: HubError): void {
    this.#options.metrics.connectorState(connector, state)
    const level = state === 'failing' ? (error?.canRetry === true ? 'warn' : 'error') : 'info'
    this.#log(level, `connector.${state}`, `${connector}: ${detail}`, { connector, code: error?.code })
  }

  connectorRetry(connector: string, error: HubError, tries: number, delayMs: number): void {
    this.#options.metrics.reconnects.inc({ connector })
    this.#repeated(
      'warn',
      'connector.retry',
      `${connector} ${error.code}`,
      `${connector}: ${error.message}. ${error.hint} Trying again in ${formatDuration(delayMs)}`,
      { connector, code: error.code, attempt: tries },
    )
  }

  // ── turns ────────────────────────────────────────────────────────────────────────────────────────────────────────

  turnBegan(connector: string, epoch: number): void {
    this.#options.metrics.turn(connector, epoch)
    this.#log('info', 'turn.began', `${connector}: this replica has the turn, epoch ${epoch}`, { connector, epoch })
  }

  turnEnded(connector: string, epoch: number, why: string): void {
    this.#options.metrics.turn(connector, undefined)
    this.#log('info', 'turn.ended', `${connector}: the turn is over, epoch ${epoch}: ${why}`, { connector, epoch })
  }

  turnOf(connector: string, holder: string): void {
    this.#log('info', 'turn.follows', `${connector}: ${holder} has the turn`, { connector, holder })
  }

  /** Neither read nor written; it is tried again. @param what e.g. `the Lease` */
  turnFailed(connector: string, what: string, error: HubError): void {
    this.#options.metrics.turnFailures.inc({ connector })
    this.#failure('turn.failed', error, `${connector} ${what}`, `${connector}: ${what} cannot be kept: ${error.message}`, { connector }) // prettier-ignore
  }

  closeFailed(connector: string, error: HubError): void {
    const line = `${connector}: ${error.message}; the broker takes back what was unsettled`
    this.#log('warn', 'connector.close-failed', line, { connector, code: error.code })
  }

  drained(connector: string, unsettled: number, durationMs: number): void {
    const left =
      unsettled === 0 ? 'everything was settled' : `${unsettled} left to the broker, which delivers them again`
    this.#log(
      unsettled === 0 ? 'info' : 'warn',
      'connector.drained',
      `${connector}: drained in ${formatDuration(durationMs)}, ${left}`,
      { connector, durationMs },
    )
  }

  // ── discovery ────────────────────────────────────────────────────────────────────────────────────────────────────

  wired(functions: number, triggers: number, changes: string): void {
    this.#options.metrics.wiredFunctions.set(functions)
    this.#options.metrics.wiredTriggers.set(triggers)
    this.#log('info', 'wiring.changed', changes, { functions, triggers })
  }

  discoveryFailed(code: string, message: string, lastGoodAgeMs: number | undefined): void {
    this.#options.metrics.discoveryFailures.inc()
    const kept =
      lastGoodAgeMs === undefined
        ? 'no functions are known yet'
        : `the wiring of ${formatDuration(lastGoodAgeMs)} ago stays in force`
    this.#repeated('warn', 'discovery.failed', code, `${message}; ${kept}`, { code })
  }

  discoveryRecovered(): void {
    this.#log('info', 'discovery.recovered', 'The list of functions can be read again')
  }

  finding(level: 'error' | 'warning', code: string, functionName: string, annotation: string, message: string): void {
    this.#log(level === 'error' ? 'error' : 'warn', 'annotation.invalid', message, {
      code,
      function: functionName,
      annotation,
    })
  }

  // ── connectors' own voice ────────────────────────────────────────────────────────────────────────────────────────

  /** The log of one source: every line carries its connector. */
  sourceLog(connector: string): SourceLog {
    const at =
      (level: LogLevel) =>
      (event: string, line: string, fields?: LogFields): void =>
        this.#log(level, event, line, { connector, ...fields })
    const guarded =
      (level: LogLevel) =>
      (event: string, line: string, fields?: LogFields): void =>
        this.#repeated(level, event, connector, line, { connector, ...fields })
    return { debug: at('debug'), info: at('info'), warn: guarded('warn'), error: guarded('error') }
  }

  sourceCounter(connector: string, name: string, help: string, labels: readonly string[]): SourceCounter {
    return this.#options.metrics.sourceCounter(connector, name, help, labels)
  }

  /** Lines of the process itself: started, listening, stopping. */
  note(level: LogLevel, event: string, line: string, fields?: LogFields): void {
    this.#log(level, event, line, fields)
  }

  #log(level: LogLevel, event: string, line: string, fields?: LogFields): void {
    this.#options.logger.log(level, event, line, fields)
  }

  #failure(event: string, error: HubError, key: string, line: string, fields: LogFields): void {
    this.#repeated('error', event, key, `${line}. ${error.hint}`, { ...fields, code: error.code })
  }

  #repeated(level: LogLevel, event: string, key: string, line: string, fields: LogFields): void {
    if (!this.#options.logger.enabled(level)) return
    const suppressed = this.#repeats.pass(`${event} ${key}`)
    if (suppressed === undefined) return
    this.#log(level, event, suppressed === 0 ? line : `${line} (and ${suppressed} more like it)`, fields)
  }
}

const PRINTED_BYTES_MAX = 64 * 1024

function text(body: Uint8Array): string {
  return Buffer.from(body.buffer, body.byteOffset, Math.min(body.byteLength, PRINTED_BYTES_MAX)).toString('utf8')
}
