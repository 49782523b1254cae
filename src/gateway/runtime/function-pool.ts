// Connections to a function that serves HTTP, wherever it is: limits of time are those of each call, not of the connection.

import { Pool } from 'undici'

const CONNECTIONS_MAX = 256
const HEADER_BYTES_MAX = 64 * 1024

/** @param more what only some functions need: a socket, time to connect */
export function functionPool(origin: string, more: Pool.Options = {}): Pool {
  return new Pool(origin, {
    connections: CONNECTIONS_MAX,
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    maxHeaderSize: HEADER_BYTES_MAX,
    ...more,
  })
}
