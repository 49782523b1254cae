// The API server of Kubernetes by the configuration: who we are there, and which namespaces count. For discovery and for
// whoever else speaks to it.

import type { KubernetesScopeOptions } from '../discovery/kubernetes.ts'
import { KubernetesApi, openAccess } from '../kubernetes/index.ts'
import type { Clock } from '../sdk/index.ts'
import { VERSION } from '../telemetry/version.ts'
import type { Environment, HubSettings } from './config.ts'

/**
 * @param timeoutMsMax of a request, where the configuration allows more
 * @param signal ends what a kubeconfig runs to log in
 * @throws HubError HUB_CONFIG_UNREADABLE, HUB_CONFIG_INVALID, HUB_KUBERNETES_UNAUTHORIZED
 */
export async function openCluster(
  { kubernetes }: HubSettings,
  clock: Clock,
  env: Environment,
  timeoutMsMax: number = Number.POSITIVE_INFINITY,
  signal?: AbortSignal,
): Promise<KubernetesApi> {
  const { kubeconfig, context, timeout } = kubernetes
  const access = await openAccess({ env, clock, kubeconfig, context, signal })
  const timeoutMs = Math.min(timeout, timeoutMsMax)
  return new KubernetesApi({ access, clock, userAgent: `connector-hub/${VERSION}`, timeoutMs })
}

export function clusterScope({ gateway, kubernetes }: HubSettings): KubernetesScopeOptions {
  return {
    namespaces: { allow: gateway.namespaces, deny: gateway.namespacesExcluded },
    functionNamespace: kubernetes.functionNamespace,
  }
}
