// What a process that is started for one call is told about it: the `Http_*` variables of OpenFaaS's watchdogs, and the JSON
// form of the classic one.

import { percentDecoded } from '../../sdk/index.ts'
import { canonicalName, headerOf } from '../headers.ts'
import type { RuntimeRequest } from './runtime.ts'

/** Every header under its canonical name, `-` as `_`, first value only; method, path and query. Of both watchdogs. */
export function httpEnvironment({ method, path, headers, body }: RuntimeRequest): Record<string, string> {
  const environment: Record<string, string> = {}
  for (let index = 0; index < headers.length; index += 2)
    environment[`Http_${canonicalName(headers[index] as string).replaceAll('-', '_')}`] ??= headers[index + 1] as string
  const mark = path.indexOf('?')
  if (isChunked(headers, body)) environment['Http_Transfer_Encoding'] = 'chunked'
  environment['Http_Method'] = method
  environment['Http_Path'] = decoded(mark === -1 ? path : path.slice(0, mark))
  if (mark !== -1 && mark < path.length - 1) environment['Http_Query'] = path.slice(mark + 1)
  return environment
}

/** What only the classic watchdog adds: the host and both spellings of the length, -1 where it is not known. */
export function classicEnvironment(request: RuntimeRequest): Record<string, string> {
  const { headers, body } = request
  const length = isChunked(headers, body) ? '-1' : (headerOf(headers, 'content-length') ?? '0')
  return {
    ...httpEnvironment(request),
    Http_ContentLength: length,
    Http_Content_Length: length,
    Http_Host: headerOf(headers, 'host') ?? '',
  }
}

/** The stdin of a function with `marshal_request`: headers by canonical name, the body in base64. */
export function marshalled({ headers }: RuntimeRequest, body: Uint8Array): string {
  // Without a prototype: `__proto__` is a name like any other.
  const header = Object.create(null) as Record<string, string[]>
  for (let index = 0; index < headers.length; index += 2)
    (header[canonicalName(headers[index] as string)] ??= []).push(headers[index + 1] as string)
  return JSON.stringify({ header, body: { raw: Buffer.from(body).toString('base64') } })
}

function isChunked(headers: readonly string[], body: unknown): boolean {
  return body !== undefined && headerOf(headers, 'content-length') === undefined
}

/** Percent-decoded, as Go has it; as it is where it cannot be, or where no variable could hold it. */
function decoded(path: string): string {
  const text = percentDecoded(path) ?? path
  return text.includes('\0') ? path : text
}
