// Metrics on a port of their own, as OpenFaaS's gateway has them on 8082, where no call is served. The routes of the gateway
// itself answer `/metrics` in the same way. Started by gateway.ts where it is asked for.

import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'

import type { Registry } from '@prometheus-io/client'

import { HubError, errorText, listenAt } from '../sdk/index.ts'
import { notFound, sendEmpty, sendText } from './http.ts'
import { requestTarget } from './request-target.ts'

export interface MetricsServer extends AsyncDisposable {
  /** e.g. `http://127.0.0.1:8082`. */
  readonly address: string
}

const HEADERS_TIMEOUT_MS = 10_000
const CONNECTIONS_MAX = 100

/** @param port 0: any free one. @throws HubError HUB_GATEWAY_LISTEN */
export async function startMetricsServer(registry: Registry, host: string, port: number): Promise<MetricsServer> {
  const server = createServer(
    { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: HEADERS_TIMEOUT_MS },
    (request, response) => {
      response.on('error', () => {})
      const { path } = requestTarget(request.url ?? '/')
      if (path !== '/metrics' && path !== '/healthz') notFound(response)
      else if (request.method !== 'GET') sendEmpty(response, 405)
      else if (path === '/healthz') sendText(response, 200, 'OK')
      else void sendMetrics(response, registry)
    },
  )
  server.maxConnections = CONNECTIONS_MAX
  const bound = await listenAt(server, host, port).catch((error: unknown) => {
    throw new HubError('HUB_GATEWAY_LISTEN', `${host}:${port}: ${errorText(error)}`, {
      cause: error,
      hint: 'Choose another port with --metrics-port, or stop what is using it.',
    })
  })
  return {
    address: `http://${bound}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

/** Prometheus's text format. Never rejects. */
export async function sendMetrics(response: ServerResponse, registry: Registry): Promise<void> {
  try {
    const text = await registry.metrics()
    response.writeHead(200, { 'Content-Type': registry.contentType }).end(text)
  } catch (error) {
    sendText(response, 500, `${errorText(error)}\n`)
  }
}
