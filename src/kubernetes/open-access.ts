// Which of the two ways to the API server there is: the service account of a pod, or a kubeconfig. Called by the composition
// root and by commands.

import type { Clock } from '../sdk/index.ts'
import { isInPod, podAccess } from './access.ts'
import type { Access, AccessEnvironment } from './access.ts'

export interface OpenAccessOptions {
  readonly env: AccessEnvironment
  readonly clock: Clock
  /** A file or context asks for a kubeconfig, in a pod, too. */
  readonly kubeconfig?: string | undefined
  readonly context?: string | undefined
  /** Where the service account is mounted; default: where Kubernetes does. */
  readonly serviceAccount?: string
  /** Ends a login program that runs, now or later. */
  readonly signal?: AbortSignal | undefined
}

/** @throws HubError HUB_CONFIG_UNREADABLE, HUB_CONFIG_INVALID, HUB_KUBERNETES_UNAUTHORIZED */
export async function openAccess({
  env,
  clock,
  kubeconfig,
  context,
  serviceAccount,
  signal,
}: OpenAccessOptions): Promise<Access> {
  const asksFile = kubeconfig !== undefined || context !== undefined
  if (!asksFile && isInPod(env, serviceAccount)) return await podAccess(env, clock, serviceAccount)
  const { kubeconfigAccess } = await import('./kubeconfig.ts')
  return await kubeconfigAccess({
    env,
    clock,
    signal,
    ...(kubeconfig === undefined ? {} : { file: kubeconfig }),
    ...(context === undefined ? {} : { context }),
  })
}
