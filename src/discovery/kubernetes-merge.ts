// One list of functions from Function resources and Deployments, of the namespaces that count. Pure; called by the watcher
// and by the one-shot listing.

import type { Finding } from './finding.ts'
import type { FunctionInfo } from './function.ts'
import type { ClusterFunction } from './kubernetes-objects.ts'
import { byFullName, listedTwice, listingFinding } from './listed-function.ts'
import { differingAnnotations } from './cross-check.ts'

export interface ClusterState {
  readonly functions: Iterable<ClusterFunction>
  readonly deployments: Iterable<ClusterFunction>
  /** Of the functions of a namespace: whether they count. */
  readonly isWanted: (namespace: string) => boolean
  /** That any namespace counts at all. */
  readonly hasNamespaces: boolean
}

export interface MergedFunctions {
  /** Sorted by full name. */
  readonly functions: readonly FunctionInfo[]
  readonly findings: readonly Finding[]
  /** By function: what its Function and its Deployment do not agree on. For a moment after each change that is as it must be. */
  readonly differences: ReadonlyMap<string, Finding>
}

/** A function that is both is one, and its Function resource counts: the operator makes the Deployment from it. */
export function mergeFunctions(state: ClusterState): MergedFunctions {
  const byName = new Map<string, FunctionInfo>()
  const findings: Finding[] = []
  const differences = new Map<string, Finding>()
  const wanted = function* (all: Iterable<ClusterFunction>): Generator<FunctionInfo> {
    for (const { info, findings: found } of all) {
      if (info !== undefined && !state.isWanted(info.namespace)) continue
      findings.push(...found)
      if (info !== undefined) yield info
    }
  }
  for (const info of wanted(state.functions))
    if (byName.has(info.fullName)) findings.push(listedTwice(info.fullName, info.name))
    else byName.set(info.fullName, info)
  for (const info of wanted(state.deployments)) {
    const resource = byName.get(info.fullName)
    if (resource === undefined) {
      byName.set(info.fullName, info)
      continue
    }
    const keys = differingAnnotations(resource, info)
    if (keys.length > 0) differences.set(info.fullName, differs(info.fullName, keys))
  }
  if (!state.hasNamespaces)
    findings.push(
      listingFinding(
        'no namespace of the cluster is one of OpenFaaS and allowed, so no function is called',
        'Annotate namespaces of functions with openfaas=1, and check gateway.namespaces.',
      ),
    )
  return { functions: [...byName.values()].sort(byFullName), findings: sorted(findings), differences }
}

function differs(fullName: string, keys: readonly string[]): Finding {
  return {
    level: 'warning',
    code: 'HUB_DISCOVERY_DIFFERS',
    function: fullName,
    annotation: keys[0] ?? '',
    message: `${fullName}: its Function and its Deployment differ in ${keys.join(', ')}; the Function counts`,
    hint: "See why OpenFaaS's operator does not update the Deployment, or delete the Function that is no longer used.",
  }
}

/** Lists come in any order, and the same findings in another order are not news. */
function sorted(findings: readonly Finding[]): readonly Finding[] {
  const place = ({ function: name, annotation, message }: Finding): string => `${name}\0${annotation}\0${message}`
  return [...findings].sort((left, right) => (place(left) < place(right) ? -1 : 1))
}
