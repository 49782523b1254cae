// One look at the functions of a cluster, without watching. Called by commands; the watcher has collections of its own.

import type { KubernetesApi, ListOptions } from '../kubernetes/index.ts'
import { NOT_FOUND, listAll, statusOf } from '../kubernetes/index.ts'
import { shownDifferences } from './cross-check.ts'
import type { Finding } from './finding.ts'
import type { FunctionInfo } from './function.ts'
import { mergeFunctions } from './kubernetes-merge.ts'
import { readDeployment, readFunction, readNamespace, type ClusterFunction } from './kubernetes-objects.ts'
import { FUNCTION_QUERY, kubernetesScope, type KubernetesScopeOptions } from './kubernetes-scope.ts'

/**
 * All or nothing, but for Function resources that are not installed.
 * @throws KubernetesError, HubError HUB_CONFIG_INVALID or HUB_CONFIG_UNREADABLE, the reason of the signal
 */
export async function listKubernetes(
  api: KubernetesApi,
  options: KubernetesScopeOptions,
  signal: AbortSignal,
): Promise<{ readonly functions: readonly FunctionInfo[]; readonly findings: readonly Finding[] }> {
  const scope = kubernetesScope(options)
  const marked = new Map<string, true>()
  if (scope.namespaces !== undefined)
    for (const [name] of (await listAll(api, scope.namespaces, { signal }, readNamespace)).items) marked.set(name, true)
  const functions: ClusterFunction[] = []
  for (const path of scope.functions) functions.push(...(await functionsAt(api, path, { signal })))
  const deployments: ClusterFunction[] = []
  for (const path of scope.deployments) {
    const { items } = await listAll(api, path, { signal, query: FUNCTION_QUERY }, (object, metadata) => readDeployment(object, metadata, undefined)) // prettier-ignore
    deployments.push(...items.values())
  }
  const isWanted = (namespace: string): boolean => scope.isWanted(namespace, marked)
  const hasNamespaces = scope.namespaces === undefined ? scope.functions.length > 0 : true
  const merged = mergeFunctions({ functions, deployments, isWanted, hasNamespaces })
  return {
    functions: merged.functions,
    findings: [...merged.findings, ...shownDifferences([...merged.differences.values()])],
  }
}

async function functionsAt(api: KubernetesApi, path: string, options: ListOptions): Promise<Iterable<ClusterFunction>> {
  try {
    return (await listAll(api, path, options, (object, metadata) => readFunction(object, metadata, undefined))).items.values() // prettier-ignore
  } catch (error) {
    if (statusOf(error) === NOT_FOUND) return []
    throw error
  }
}
