// The status object of a function as OpenFaaS has it: everything that was deployed is echoed, what is empty or 0 is left out.

import type { DeployedFunction } from '../functions.ts'
import type { Usage } from './usage.ts'

export interface Measured {
  readonly invocationCount?: number
  readonly usage?: Usage
}

export function functionStatus(
  { spec, createdAt, replicas: set }: DeployedFunction,
  { invocationCount = 0, usage }: Measured,
): Readonly<Record<string, unknown>> {
  const { name, image, namespace, envProcess, envVars, constraints, secrets, labels, annotations } = spec
  const { limits, requests, readOnlyRootFilesystem } = spec
  return {
    name,
    image,
    namespace,
    ...unlessEmpty({ envProcess, envVars, constraints, secrets, labels, annotations, limits, requests }),
    ...(readOnlyRootFilesystem ? { readOnlyRootFilesystem } : {}),
    ...(invocationCount > 0 ? { invocationCount } : {}),
    ...(set.replicas > 0 ? { replicas: set.replicas } : {}),
    // A function whose process is not started is ready all the same: the next call starts it.
    ...(set.availableReplicas > 0 ? { availableReplicas: set.availableReplicas } : {}),
    createdAt,
    ...(usage === undefined ? {} : { usage }),
  }
}

function unlessEmpty(parts: Readonly<Record<string, string | object>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(parts).filter(([, part]) => (typeof part === 'string' ? part : Object.keys(part)).length > 0),
  )
}
