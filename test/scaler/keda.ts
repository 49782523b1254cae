// KEDA's side of an external scaler: a real gRPC client that asks as its operator does.

import { join } from 'node:path'

import { Client, credentials, loadPackageDefinition, status } from '@grpc/grpc-js'
import type { ChannelCredentials, ClientReadableStream, GrpcObject, ServiceClientConstructor, ServiceError, StatusObject } from '@grpc/grpc-js' // prettier-ignore
import { loadSync } from '@grpc/proto-loader'

export type Metadata = Readonly<Record<string, string>>

export interface MetricSpec {
  readonly metricName: string
  readonly targetSize: number
  readonly targetSizeFloat: number
}

export interface MetricValue {
  readonly metricName: string
  readonly metricValue: number
  readonly metricValueFloat: number
}

/** What was refused: name of the gRPC status, and what it says. */
export interface Refusal {
  readonly status: string
  readonly details: string
}

const PROTO = join(import.meta.dirname, 'keda.proto')
const DEADLINE_MS = 30_000

type Unary = (request: object, options: { readonly deadline: number }, reply: (error: ServiceError | null, response: object) => void) => void // prettier-ignore

export class Keda implements Disposable {
  readonly #client: Client & Readonly<Record<string, unknown>>

  constructor(address: string, channel: ChannelCredentials = credentials.createInsecure()) {
    const loaded = loadPackageDefinition(loadSync(PROTO, { longs: Number, defaults: true }))
    const Scaler = (loaded['externalscaler'] as GrpcObject)['ExternalScaler'] as ServiceClientConstructor
    this.#client = new Scaler(address, channel)
  }

  async isActive(metadata: Metadata): Promise<boolean> {
    return ((await this.#ask('IsActive', ref(metadata))) as { result: boolean }).result
  }

  async metricSpecs(metadata: Metadata): Promise<readonly MetricSpec[]> {
    return ((await this.#ask('GetMetricSpec', ref(metadata))) as { metricSpecs: MetricSpec[] }).metricSpecs
  }

  async metrics(metadata: Metadata, metricName: string): Promise<readonly MetricValue[]> {
    const request = { scaledObjectRef: ref(metadata), metricName }
    return ((await this.#ask('GetMetrics', request)) as { metricValues: MetricValue[] }).metricValues
  }

  /** The metric of the one spec, as KEDA comes by it. */
  async lag(metadata: Metadata): Promise<number | undefined> {
    const [spec] = await this.metricSpecs(metadata)
    return (await this.metrics(metadata, spec?.metricName ?? ''))[0]?.metricValueFloat
  }

  stream(metadata: Metadata, method = 'StreamIsActive'): Following {
    const open = this.#client[method] as (request: object) => ClientReadableStream<{ readonly result: boolean }>
    return new Following(open.call(this.#client, ref(metadata)))
  }

  [Symbol.dispose](): void {
    this.#client.close()
  }

  #ask(method: string, request: object): Promise<object> {
    return new Promise((resolve, reject) => {
      const call = this.#client[method] as Unary
      call.call(this.#client, request, { deadline: Date.now() + DEADLINE_MS }, (error, response) =>
        error === null ? resolve(response) : reject(error),
      )
    })
  }
}

/** An open StreamIsActive. */
export class Following {
  readonly said: boolean[] = []
  /** How it ended. */
  readonly ended: Promise<Refusal>
  readonly #call: ClientReadableStream<{ readonly result: boolean }>

  constructor(call: ClientReadableStream<{ readonly result: boolean }>) {
    this.#call = call
    call.on('data', ({ result }: { readonly result: boolean }) => void this.said.push(result))
    // Its status says the same.
    call.on('error', () => undefined)
    this.ended = new Promise((resolve) => call.on('status', ({ code, details }: StatusObject) => resolve({ status: status[code], details }))) // prettier-ignore
  }

  cancel(): void {
    this.#call.cancel()
  }
}

/** What a call was refused with; undefined when it was answered. */
export async function refusalOf(call: Promise<unknown>): Promise<Refusal | undefined> {
  try {
    await call
    return undefined
  } catch (error) {
    const { code, details } = error as ServiceError
    return { status: status[code], details }
  }
}

function ref(metadata: Metadata): object {
  // With what KEDA always sends of its own.
  return { name: 'orders', namespace: 'openfaas', scalerMetadata: { scalerAddress: 'scaler:9090', ...metadata } }
}
