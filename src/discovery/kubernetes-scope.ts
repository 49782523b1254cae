// Which collections of the cluster are read for which namespaces, and what rights that takes. Pure; called by the watcher, the
// one-shot listing and `doctor`.

import { HubError } from '../sdk/index.ts'
import type { MissingRule } from '../kubernetes/index.ts'
import { FUNCTION_LABEL } from './kubernetes-objects.ts'
import { NAMED_NAMESPACES_MAX, namedNamespaces, namespaceTest, type NamespaceRules } from './namespace-filter.ts'

export interface KubernetesScopeOptions {
  /** Names alone are read one by one, which Roles allow; with a glob, or none at all, the whole cluster is read. */
  readonly namespaces: NamespaceRules
  /** OpenFaaS's own, which needs no mark. */
  readonly functionNamespace: string
}

export interface KubernetesScope {
  /** Collections of Function resources; they may not be installed. */
  readonly functions: readonly string[]
  /** Collections of Deployments, by FUNCTION_QUERY. */
  readonly deployments: readonly string[]
  /** The collection of namespaces, where it says which of them are OpenFaaS's. */
  readonly namespaces: string | undefined
  /** @param marked namespaces that OpenFaaS may use */
  isWanted(namespace: string, marked: ReadonlyMap<string, unknown>): boolean
}

export const FUNCTION_QUERY = { labelSelector: FUNCTION_LABEL } as const

const FUNCTIONS = { group: 'openfaas.com', version: 'v1', resource: 'functions' } as const
const DEPLOYMENTS = { group: 'apps', version: 'v1', resource: 'deployments' } as const

/** @throws HubError HUB_CONFIG_INVALID for more names than can be watched one by one */
export function kubernetesScope({ namespaces: rules, functionNamespace }: KubernetesScopeOptions): KubernetesScope {
  const isAllowed = namespaceTest(rules)
  const named = boundedNames(rules)
  if (named === undefined)
    return {
      functions: [pathOf(FUNCTIONS)],
      deployments: [pathOf(DEPLOYMENTS)],
      namespaces: '/api/v1/namespaces',
      isWanted: (namespace, marked) =>
        isAllowed(namespace) && (namespace === functionNamespace || marked.has(namespace)),
    }
  const each = named.filter(isAllowed)
  return {
    functions: each.map((namespace) => pathOf(FUNCTIONS, namespace)),
    deployments: each.map((namespace) => pathOf(DEPLOYMENTS, namespace)),
    namespaces: undefined,
    isWanted: isAllowed,
  }
}

/** Every right that discovery needs, each by itself, as a Role grants it. */
export function neededRules({ functions, deployments, namespaces }: KubernetesScope): readonly MissingRule[] {
  const paths = [...(namespaces === undefined ? [] : [namespaces]), ...functions, ...deployments]
  return paths.flatMap((path) => {
    const [, , ...rest] = path.split('/')
    const group = path.startsWith('/api/') ? '' : (rest[0] as string)
    const namespace = rest.at(-3) === 'namespaces' ? rest.at(-2) : undefined
    return ['list', 'watch'].map((verb) => ({ verb, group, resource: rest.at(-1) as string, namespace }))
  })
}

/** @throws HubError HUB_CONFIG_INVALID, where nobody has checked hub.yaml */
function boundedNames(rules: NamespaceRules): readonly string[] | undefined {
  const names = namedNamespaces(rules)
  if (names === undefined || names.length <= NAMED_NAMESPACES_MAX) return names
  throw new HubError('HUB_CONFIG_INVALID', `gateway.namespaces names ${names.length} namespaces, and at most ${NAMED_NAMESPACES_MAX} can be watched one by one`, {
    hint: 'Use a glob such as team-*, which watches the whole cluster and needs a ClusterRole.',
  }) // prettier-ignore
}

function pathOf(
  { group, version, resource }: { readonly group: string; readonly version: string; readonly resource: string },
  namespace?: string,
): string {
  const within = namespace === undefined ? '' : `namespaces/${encodeURIComponent(namespace)}/`
  return `/apis/${group}/${version}/${within}${resource}`
}
