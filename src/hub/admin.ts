// The hub's own HTTP server: liveness, readiness with the reason, metrics, what becomes of events. Never exposes a
// configuration value or a body.

import { createServer } from 'node:http'

import type { OpenDelivery } from '../delivery/flight.ts'
import type { Ledger } from '../delivery/ledger.ts'
import type { DiscoveryStatus } from '../discovery/index.ts'
import { HubError, errorText, listenAt } from '../sdk/index.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { EventStreams, entriesOf } from './event-stream.ts'
import type { SupervisorStatus } from './supervisor.ts'

export interface AdminOptions {
  readonly host: string
  readonly port: number
  readonly metrics: Metrics
  readonly connectors: () => readonly SupervisorStatus[]
  /** Ready only while all of them are active. Default true. */
  readonly needsConnectors?: boolean
  readonly discovery: () => DiscoveryStatus
  readonly ledgers: () => ReadonlyMap<string, Ledger>
  readonly open: () => OpenWork
}

/** What a running hub is about, for `explain`. Names, times and states, never a body. */
export interface OpenWork {
  readonly gatewayReachable: boolean
  readonly connectors: readonly SupervisorStatus[]
  readonly deliveries: readonly OpenDelivery[]
}

export interface AdminServer {
  /** e.g. `http://127.0.0.1:8081`. */
  readonly address: string
  close(): Promise<void>
}

/** @throws HubError HUB_GATEWAY_LISTEN */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const streams = new EventStreams()
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0]
    const send = (status: number, contentType: string, body: string): void => {
      // RFC 9110 §15.5.6: a 405 says what is allowed.
      const allow = status === 405 ? { Allow: 'GET, HEAD' } : {}
      response
        .writeHead(status, { 'Content-Type': contentType, ...allow })
        .end(request.method === 'HEAD' ? undefined : body)
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') send(405, 'text/plain; charset=utf-8', 'only GET\n')
    else if (path === '/healthz') send(200, 'text/plain; charset=utf-8', 'OK\n')
    else if (path === '/readyz') {
      const connectors = options.connectors()
      const discovery = options.discovery()
      // Readiness gates roll-outs and says why; liveness stays 200, because a restart would not bring a broker back.
      const ready = discovery.lastGoodAtMs !== undefined && (options.needsConnectors === false || connectors.every(({ state }) => isWell(state))) // prettier-ignore
      send(ready ? 200 : 503, 'application/json', `${JSON.stringify({ ready, discovery, connectors }, null, 2)}\n`)
    } else if (path === '/metrics') {
      options.metrics.registry.metrics().then(
        (text) => send(200, options.metrics.registry.contentType, text),
        (error: unknown) => send(500, 'text/plain; charset=utf-8', `${errorText(error)}\n`),
      )
    } else if (path === '/events') {
      const asked = new URL(request.url ?? '/', 'http://hub').searchParams
      const id = asked.get('id')
      const value = (name: string): string | undefined => asked.get(name) ?? undefined
      if (id !== null)
        send(200, 'application/json', `${JSON.stringify({ deliveries: entriesOf(id, options.ledgers()) }, null, 2)}\n`)
      else if (request.method === 'HEAD') send(200, 'text/event-stream', '')
      else
        streams.stream(
          request,
          response,
          { connector: value('connector'), function: value('function'), outcome: value('outcome') },
          options.ledgers(),
        )
    } else if (path === '/open') send(200, 'application/json', `${JSON.stringify(options.open(), null, 2)}\n`)
    else send(404, 'text/plain; charset=utf-8', 'try /healthz, /readyz, /metrics, /events or /open\n')
  })
  const bound = await listenAt(server, options.host, options.port).catch((error: unknown) => {
    const hint = 'Set admin.port to a free port, or 0 for any.'
    throw new HubError('HUB_GATEWAY_LISTEN', `${options.host}:${options.port}: ${errorText(error)}`, { cause: error, hint }) // prettier-ignore
  })
  return {
    address: `http://${bound}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** One that stands by does all that is wanted of it, so that replicas can be replaced one after another. */
function isWell(state: SupervisorStatus['state']): boolean {
  return state === 'active' || state === 'standby'
}
