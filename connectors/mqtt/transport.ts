// Opens the byte stream to a broker: TCP, TLS or WebSocket. Knows nothing of MQTT. There is no fallback from TLS.

import { connect as connectTcp } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'

import { createWebSocketStream, WebSocket } from 'ws'

import { HubError, errorText, redactUrl, tlsSettings } from '../../src/sdk/index.ts'
import type { ConfigOf, tlsFields } from '../../src/sdk/index.ts'

export interface TransportOptions {
  readonly url: string
  readonly tls: ConfigOf<typeof tlsFields>
}

const PORTS: Readonly<Record<string, number>> = {
  'mqtt:': 1883,
  'tcp:': 1883,
  'mqtts:': 8883,
  'ssl:': 8883,
  'tls:': 8883,
}
const SECURE = new Set(['mqtts:', 'ssl:', 'tls:', 'wss:'])
/** The address is at fault, not the certificates. */
const UNREACHABLE = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT'])
/** Ended in the middle of the TLS handshake: a listener without TLS, or a server that is just going down. */
const HUNG_UP = new Set(['ECONNRESET', 'EPIPE'])

/**
 * Resolves with a stream that is connected and, for TLS, verified.
 * @throws HubError HUB_SOURCE_UNREACHABLE or HUB_SOURCE_TLS; the signal's reason when aborted
 */
export function openTransport(options: TransportOptions, signal: AbortSignal): Promise<Duplex> {
  const url = new URL(options.url)
  const secure = isSecure(options.url)
  return new Promise((resolve, reject) => {
    let stream: Duplex
    let ready: 'connect' | 'secureConnect' | 'open' = 'connect'
    let opening: { once(event: string, listener: (...args: never[]) => void): unknown }
    try {
      const tls = secure ? tlsOptions(options, url) : undefined
      if (url.protocol === 'ws:' || url.protocol === 'wss:') {
        const bare = new URL(options.url)
        bare.username = ''
        bare.password = ''
        const socket = new WebSocket(bare, 'mqtt', { ...tls, perMessageDeflate: false })
        stream = createWebSocketStream(socket)
        opening = socket
        ready = 'open'
      } else {
        const host = url.hostname.replace(/^\[|\]$/g, '')
        const port = url.port === '' ? (PORTS[url.protocol] as number) : Number(url.port)
        const socket = tls === undefined ? connectTcp({ host, port }) : connectTls({ ...tls, host, port })
        socket.setNoDelay()
        if (tls !== undefined) ready = 'secureConnect'
        stream = socket
        opening = socket
      }
    } catch (error) {
      reject(failure(options.url, secure, error))
      return
    }
    const abort = (): void => {
      stream.destroy()
      reject(signal.reason as Error)
    }
    const fail = (error: Error): void => {
      signal.removeEventListener('abort', abort)
      stream.destroy()
      reject(failure(options.url, secure, error))
    }
    stream.once('error', fail)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    opening.once(ready, () => {
      signal.removeEventListener('abort', abort)
      stream.off('error', fail)
      resolve(stream)
    })
  })
}

export function isSecure(url: string): boolean {
  return SECURE.has(new URL(url).protocol)
}

/** @throws HubError HUB_SOURCE_TLS when a file cannot be read */
function tlsOptions({ tls }: TransportOptions, url: URL): ConnectionOptions {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const isAddress = /^[\d.]+$|:/.test(host)
  return { ...(isAddress ? {} : { servername: host }), ...tlsSettings(tls) }
}

function failure(address: string, secure: boolean, error: unknown): HubError {
  if (error instanceof HubError) return error
  const { code = '' } = error as NodeJS.ErrnoException
  const text = `${redactUrl(address)}: ${errorText(error)}`
  // An HTTP answer that is no WebSocket has no code.
  if (!secure || UNREACHABLE.has(code) || code === '' || code.startsWith('WS_ERR'))
    return new HubError('HUB_SOURCE_UNREACHABLE', text, { cause: error, canRetry: true })
  return new HubError('HUB_SOURCE_TLS', text, { cause: error, canRetry: HUNG_UP.has(code) })
}
