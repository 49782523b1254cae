// A Lease as JSON of the API (coordination.k8s.io/v1), read and written. Pure; called by lease-election.ts.

import { recordOf } from '../sdk/index.ts'
import type { KubernetesAnswer } from './api.ts'
import type { LeaseRecord, LeaseWish } from './lease-candidate.ts'
import { metadataOf } from './list.ts'

/** `spec.leaseDurationSeconds` of a Lease that says none; client-go's default. */
const DURATION_SECONDS = 15
/** What a released one says: the API takes no 0. */
const RELEASED_SECONDS = 1

export function leasePath(namespace: string, name?: string): string {
  const leases = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`
  return name === undefined ? leases : `${leases}/${encodeURIComponent(name)}`
}

export function readLease(object: KubernetesAnswer): LeaseRecord {
  const spec = recordOf(object['spec'])
  const seconds = spec['leaseDurationSeconds']
  const transitions = spec['leaseTransitions']
  return {
    holder: typeof spec['holderIdentity'] === 'string' ? spec['holderIdentity'] : '',
    durationMs: (typeof seconds === 'number' ? seconds : DURATION_SECONDS) * 1000,
    transitions: typeof transitions === 'number' ? transitions : 0,
    version: metadataOf(object).resourceVersion,
  }
}

export interface LeaseWriting {
  readonly namespace: string
  readonly name: string
  readonly durationMs: number
  /** For people who look at it; nobody goes by it. Unix milliseconds. */
  readonly nowMs: number
}

/** The object that makes the wish true. What others have put into it, such as labels, stays. @param before of the wish's version */
export function leaseObject(before: KubernetesAnswer | undefined, wish: LeaseWish, writing: LeaseWriting): object {
  const { namespace, name, durationMs, nowMs } = writing
  const now = microTime(nowMs)
  const metadata = recordOf(before?.['metadata'])
  const spec = recordOf(before?.['spec'])
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: wish.version === undefined ? { name, namespace } : { ...metadata, resourceVersion: wish.version },
    spec: {
      ...spec,
      holderIdentity: wish.holder,
      // Whole seconds only, and the others must not wait for less than we trust in.
      leaseDurationSeconds: wish.holder === '' ? RELEASED_SECONDS : Math.ceil(durationMs / 1000),
      leaseTransitions: wish.transitions,
      renewTime: now,
      acquireTime: wish.acquires ? now : (spec['acquireTime'] ?? now),
    },
  }
}

/** Kubernetes's MicroTime: six digits, no more and no fewer. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z')
}
