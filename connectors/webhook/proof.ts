// What a request proves and what it says of itself, and reading its headers.

import type { EndpointRequest } from '../../src/sdk/index.ts'

export type Headers = EndpointRequest['headers']

export type Proof =
  | { readonly ok: true; readonly event?: string; readonly id?: string }
  /** `reason` is for the caller and for the log; it holds nothing that was sent. */
  | { readonly ok: false; readonly status: 400 | 401; readonly reason: string }

export type Proven = Extract<Proof, { readonly ok: true }>
export type Refused = Extract<Proof, { readonly ok: false }>

export function refused(reason: string, status: Refused['status'] = 401): Refused {
  return { ok: false, status, reason }
}

/** One value; undefined when it is not there, or empty. */
export function text(headers: Headers, name: string): string | undefined {
  const value = headers[name.toLowerCase()]
  const one = Array.isArray(value) ? value[0] : value
  return one === '' ? undefined : one
}
