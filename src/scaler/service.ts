// KEDA's questions and their answers, without gRPC: what each call says for each instance, and the streams that are told of
// changes. Called by server.ts.

import { RefusedCall, STATUS } from './refused-call.ts'
import type { StatusName } from './refused-call.ts'
import type { LagWatch } from './lag-watch.ts'
import { readScaledObject } from './scaled-object.ts'
import type { ScaledObject } from './scaled-object.ts'
import { activity, lagEvents } from './verdict.ts'
import type { Verdict } from './verdict.ts'

// The messages of externalscaler.proto.
export interface ScaledObjectRef {
  readonly scalerMetadata: Readonly<Record<string, string>>
}

export interface IsActiveResponse {
  readonly result: boolean
}

export interface GetMetricSpecResponse {
  readonly metricSpecs: readonly { readonly metricName: string; readonly targetSize: number; readonly targetSizeFloat: number }[] // prettier-ignore
}

export interface GetMetricsRequest {
  readonly scaledObjectRef: ScaledObjectRef | null
  readonly metricName: string
}

export interface GetMetricsResponse {
  readonly metricValues: readonly { readonly metricName: string; readonly metricValue: number; readonly metricValueFloat: number }[] // prettier-ignore
}

/** By instance; `untold`: its broker does not tell how much waits. */
export type Watches = ReadonlyMap<string, LagWatch | 'untold'>

const METRIC = 'connector-hub-lag-'

export class ScalerService {
  readonly #watches: Watches

  constructor(watches: Watches) {
    this.#watches = watches
  }

  /** @throws RefusedCall; UNAVAILABLE while it is not known, upon which KEDA leaves the replicas as they are */
  isActive({ scalerMetadata }: ScaledObjectRef): IsActiveResponse {
    const { watch, object } = this.#find(scalerMetadata)
    return { result: told(activity(watch.reading, object.activationLag)) }
  }

  /**
   * Says whether there is work, at once where it is known and then whenever that changes; nothing while it is not known.
   * @returns what ends that
   * @throws RefusedCall
   */
  follow({ scalerMetadata }: ScaledObjectRef, say: (response: IsActiveResponse) => void): () => void {
    const { watch, object } = this.#find(scalerMetadata)
    let said: boolean | undefined
    const look = (): void => {
      const verdict = activity(watch.reading, object.activationLag)
      if ('problem' in verdict || verdict.value === said) return
      said = verdict.value
      say({ result: said })
    }
    look()
    return watch.onReading(look)
  }

  /** @throws RefusedCall */
  metricSpec({ scalerMetadata }: ScaledObjectRef): GetMetricSpecResponse {
    const { object } = this.#find(scalerMetadata)
    const { connector, targetLag } = object
    return { metricSpecs: [{ metricName: METRIC + connector, targetSize: Math.ceil(targetLag), targetSizeFloat: targetLag }] } // prettier-ignore
  }

  /** @throws RefusedCall; UNAVAILABLE while it is not known */
  metrics({ scaledObjectRef, metricName }: GetMetricsRequest): GetMetricsResponse {
    const { watch, object } = this.#find(scaledObjectRef?.scalerMetadata ?? {})
    const expected = METRIC + object.connector
    if (metricName !== expected) throw new RefusedCall('INVALID_ARGUMENT', `there is no metric ${JSON.stringify(metricName)} of this trigger; GetMetricSpec names ${expected}`) // prettier-ignore
    const events = told(lagEvents(watch.reading))
    return { metricValues: [{ metricName, metricValue: events, metricValueFloat: events }] }
  }

  #find(metadata: Readonly<Record<string, string>>): { readonly watch: LagWatch; readonly object: ScaledObject } {
    const object = readScaledObject(metadata)
    const watch = this.#watches.get(object.connector)
    if (watch === undefined)
      throw new RefusedCall('NOT_FOUND', `there is no connector ${JSON.stringify(object.connector)} here. Set metadata.connector to one of: ${[...this.#watches.keys()].join(', ')}`) // prettier-ignore
    if (watch === 'untold')
      throw new RefusedCall('FAILED_PRECONDITION', `the broker of ${object.connector} does not tell how much waits there. Scale it by another trigger of KEDA, such as cpu or prometheus`) // prettier-ignore
    return { watch, object }
  }
}

function told<T>(verdict: Verdict<T>): T {
  if ('value' in verdict) return verdict.value
  const { code, message, hint } = verdict.problem
  throw new RefusedCall('UNAVAILABLE', `${code}: ${message}. ${hint}`)
}

/** What a client is told of anything that was thrown; of a bug not more than that it is one. */
export function statusOf(error: unknown): {
  readonly name: StatusName
  readonly code: number
  readonly details: string
} {
  // prettier-ignore
  const refused = error instanceof RefusedCall ? error : new RefusedCall('INTERNAL', 'a bug in the hub; see its log')
  return { name: refused.status, code: STATUS[refused.status], details: refused.message }
}
