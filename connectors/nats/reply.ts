// The functions' answers to a message that has a reply subject. Called by core-source.ts.

import { STATUS_CODES } from 'node:http'

import { errors, headers as newHeaders } from '@nats-io/transport-node'
import type { MsgHdrs, NatsConnection } from '@nats-io/transport-node'

import type { FunctionResult } from '../../src/sdk/index.ts'

/** Set here, or a matter of the connection that the answer came over. */
const NOT_COPIED = new Set([
  'connection', 'content-length', 'date', 'keep-alive', 'nats-service-error', 'nats-service-error-code', 'trailer',
  'transfer-encoding', 'upgrade', 'x-duration-seconds', 'x-function-name', 'x-function-status',
]) // prettier-ignore

/** Subjects of the server itself: an answer there would be a command, such as the acknowledgement of a push consumer. */
export function mayAnswer(reply: string | undefined): reply is string {
  return reply !== undefined && reply !== '' && !reply.startsWith('$')
}

/**
 * Publishes what one function answered, with its headers and those of an OpenFaaS callback; failures, and answers that the
 * server would not take, with the error headers of NATS services (ADR-32).
 * @throws Error when the connection is closed
 */
export function answer(nats: NatsConnection, reply: string, result: FunctionResult): 'sent' | 'too-large' {
  const { status, body } = result
  try {
    const headers = headersOf(result)
    for (const [name, value] of copied(result.headers)) headers.append(name, value)
    if (status >= 400) setError(headers, status, STATUS_CODES[status] ?? `answered ${status}`)
    nats.publish(reply, body, { headers })
    return 'sent'
  } catch (error) {
    // The client's way to say that headers and body together are beyond max_payload.
    if (!(error instanceof errors.InvalidArgumentError)) throw error
    const headers = headersOf(result)
    setError(headers, 500, `the answer of the function is larger than max_payload (${nats.info?.max_payload} bytes)`)
    nats.publish(reply, undefined, { headers })
    return 'too-large'
  }
}

function headersOf(result: FunctionResult): MsgHdrs {
  const headers = newHeaders()
  headers.set('X-Function-Name', result.function)
  headers.set('X-Function-Status', String(result.status))
  headers.set('X-Duration-Seconds', (result.durationMs / 1000).toFixed(6))
  return headers
}

function setError(headers: MsgHdrs, code: number, text: string): void {
  headers.set('Nats-Service-Error-Code', String(code))
  headers.set('Nats-Service-Error', text)
}

function* copied(headers: readonly string[]): Iterable<readonly [string, string]> {
  for (let index = 0; index < headers.length; index += 2) {
    const [name, value] = headers.slice(index, index + 2) as [string, string]
    // NATS tells upper case from lower case, HTTP does not: as people write them.
    if (!NOT_COPIED.has(name.toLowerCase())) yield [name.replaceAll(/(?<=^|-)[a-z]/g, (letter) => letter.toUpperCase()), value] // prettier-ignore
  }
}
