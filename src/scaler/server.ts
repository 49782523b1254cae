// KEDA's external-push scaler over gRPC: listens, hands calls to the service, counts them, and ends its streams in order. The
// gRPC library is loaded here, and so only where a scaler is wanted.

import { fileURLToPath } from 'node:url'

import type { Server, ServerCredentials, ServerUnaryCall, ServerWritableStream, ServiceDefinition, UntypedServiceImplementation, sendUnaryData } from '@grpc/grpc-js' // prettier-ignore

import { HubError, errorText, within } from '../sdk/index.ts'
import type { Clock, SourceLog } from '../sdk/index.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Certificates } from './certificates.ts'
import type { CertificateFiles } from './certificates.ts'
import { ScalerMetrics } from './metrics.ts'
import { RefusedCall } from './refused-call.ts'
import { ScalerService, statusOf } from './service.ts'
import type { IsActiveResponse, ScaledObjectRef, Watches } from './service.ts'

export interface ScalerOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** Undefined: plain text, for a network policy to guard. */
  readonly tls: CertificateFiles | undefined
  readonly watches: Watches
  readonly clock: Clock
  readonly log: SourceLog
  readonly metrics: Metrics
}

export interface ScalerServer {
  /** `127.0.0.1:9090`, with the port that it really has. */
  readonly address: string
  /** Ends streams with OK, waits a moment for calls that run. Idempotent, never rejects. */
  close(): Promise<void>
}

const PROTO = fileURLToPath(new URL('./externalscaler.proto', import.meta.url))
/** A request is the metadata of one ScaledObject. */
const REQUEST_BYTES_MAX = 64 * 1024
/** KEDA holds one for each ScaledObject. */
const STREAMS_MAX = 1000
/** A client that is gone without a word is noticed by then. */
const KEEPALIVE = { 'grpc.keepalive_time_ms': 60_000, 'grpc.keepalive_timeout_ms': 20_000 } as const
const CLOSE_MS = 1000

type Stream = ServerWritableStream<ScaledObjectRef, IsActiveResponse>

/** @throws HubError HUB_GATEWAY_LISTEN; HUB_CONFIG_INVALID for TLS files that cannot be used */
export async function startScaler(options: ScalerOptions): Promise<ScalerServer> {
  const { host, port, clock, log, watches, metrics } = options
  const [grpc, definition] = await Promise.all([import('@grpc/grpc-js'), loadDefinition()])
  const certificates = options.tls === undefined ? undefined : new Certificates(options.tls, clock, log)
  const streams = new Set<Stream>()
  const counts = new ScalerMetrics(metrics, watches, () => streams.size)
  const server = new grpc.Server({ 'grpc.max_receive_message_length': REQUEST_BYTES_MAX, 'grpc.max_concurrent_streams': STREAMS_MAX, 'grpc.enable_channelz': 0, ...KEEPALIVE }) // prettier-ignore
  server.addService(definition, handlers(new ScalerService(watches), counts, streams, log))
  // Its types have the arguments in another order than its code, which is the order here.
  const credentials = certificates === undefined ? grpc.ServerCredentials.createInsecure() : grpc.experimental.createCertificateProviderServerCredentials(certificates, options.tls?.clientCaFile === undefined ? null : certificates, true) // prettier-ignore
  const address = await bind(server, host, port, credentials).catch((error: unknown) => {
    certificates?.close()
    server.forceShutdown()
    throw new HubError('HUB_GATEWAY_LISTEN', `${host}:${port}: ${errorText(error)}`, { cause: error, hint: 'Set scaler.port to a free port, or 0 for any.' }) // prettier-ignore
  })
  const close = async (): Promise<void> => {
    certificates?.close()
    for (const stream of streams) stream.end()
    const done = new Promise<void>((resolve) => server.tryShutdown(() => resolve()))
    await within(clock, CLOSE_MS, done)
    server.forceShutdown()
  }
  let closing: Promise<void> | undefined
  return { address, close: () => (closing ??= close()) }
}

/** @returns `127.0.0.1:9090` or `[::1]:9090`, with the port that it really has. Rejects with the library's error */
async function bind(server: Server, host: string, port: number, credentials: ServerCredentials): Promise<string> {
  const at = host.includes(':') ? `[${host}]` : host
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`${at}:${port}`, credentials, (error, real) => (error === null ? resolve(real) : reject(error))),
  )
  return `${at}:${bound}`
}

async function loadDefinition(): Promise<ServiceDefinition> {
  const { loadSync } = await import('@grpc/proto-loader')
  const service = loadSync(PROTO, { longs: Number, defaults: true })['externalscaler.ExternalScaler']
  return service as ServiceDefinition
}

function handlers(
  service: ScalerService,
  counts: ScalerMetrics,
  streams: Set<Stream>,
  log: SourceLog,
): UntypedServiceImplementation {
  const refusal = (method: string, error: unknown): { readonly code: number; readonly details: string } => {
    const { name, code, details } = statusOf(error)
    counts.called(method, name)
    if (!(error instanceof RefusedCall)) log.error('scaler.failed', `${method}: ${errorText(error)}`)
    return { code, details }
  }
  const unary =
    <Request, Response>(method: string, answer: (request: Request) => Response) =>
    ({ request }: ServerUnaryCall<Request, Response>, reply: sendUnaryData<Response>): void => {
      let response: Response
      try {
        response = answer(request)
      } catch (error) {
        reply(refusal(method, error))
        return
      }
      counts.called(method, 'OK')
      reply(null, response)
    }
  return {
    IsActive: unary('IsActive', (request: ScaledObjectRef) => service.isActive(request)),
    GetMetricSpec: unary('GetMetricSpec', (request: ScaledObjectRef) => service.metricSpec(request)),
    GetMetrics: unary('GetMetrics', (request: Parameters<ScalerService['metrics']>[0]) => service.metrics(request)),
    StreamIsActive: (call: Stream): void => {
      try {
        if (streams.size >= STREAMS_MAX)
          throw new RefusedCall('RESOURCE_EXHAUSTED', `${STREAMS_MAX} streams are open already`)
        const stop = service.follow(call.request, (response) => void call.write(response))
        streams.add(call)
        counts.called('StreamIsActive', 'OK')
        const over = (): void => {
          streams.delete(call)
          stop()
        }
        for (const end of ['cancelled', 'close', 'error']) call.on(end, over)
      } catch (error) {
        call.emit('error', refusal('StreamIsActive', error))
      }
    },
  }
}
