// What counts of the objects of Kubernetes: OpenFaaS's Function resources, the Deployments of functions, and namespaces.
// Pure; called for each object that the watcher and the one-shot listing see.

import { recordOf } from '../sdk/index.ts'
import type { KubernetesAnswer, ObjectMetadata } from '../kubernetes/index.ts'
import { isHubAnnotation } from './annotation-table.ts'
import { sameFindings, type Finding } from './finding.ts'
import { fullFunctionName, isRoutableName, sameAnnotations, type FunctionInfo } from './function.ts'
import { refusedName, shownName, textAnnotations } from './listed-function.ts'

/** A Function or a Deployment, with the annotations that the hub reads and no others. */
export interface ClusterFunction {
  readonly kind: 'Function' | 'Deployment'
  /** Undefined for a name that cannot be invoked. */
  readonly info: FunctionInfo | undefined
  readonly findings: readonly Finding[]
}

/** faas-netes puts it on every Deployment of a function, with the function's name. */
export const FUNCTION_LABEL = 'faas_function'
/** By which OpenFaaS knows the namespaces of functions, as annotation or label. */
const NAMESPACE_MARK = 'openfaas'

type Given = Readonly<Record<string, unknown>>

/** A `functions.openfaas.com/v1`: what counts stands in its spec, as for OpenFaaS's operator. */
export function readFunction(
  object: KubernetesAnswer,
  { name: resource, namespace, annotations: misplaced }: ObjectMetadata,
  previous: ClusterFunction | undefined,
): ClusterFunction {
  const spec = recordOf(object['spec'])
  const name = typeof spec['name'] === 'string' && spec['name'] !== '' ? spec['name'] : resource
  const given = hubAnnotations(spec['annotations'])
  const findings: Finding[] = []
  const fullName = fullFunctionName(name, namespace)
  for (const key of Object.keys(hubAnnotations(misplaced)))
    if (given[key] === undefined)
      findings.push(
        annotationWarning(
          fullName,
          key,
          `stands in metadata.annotations of the Function ${shownName(resource)}, where OpenFaaS does not read it`,
          'Move it to spec.annotations.',
        ),
      )
  return clusterFunction('Function', { name, namespace, fullName }, given, findings, previous)
}

/**
 * A Deployment with the label of functions. OpenFaaS writes the same annotations to it and to its pod template, and its
 * gateway lists those of the template: they win; those of the Deployment alone count, too.
 */
export function readDeployment(
  object: KubernetesAnswer,
  { name, namespace, annotations }: ObjectMetadata,
  previous: ClusterFunction | undefined,
): ClusterFunction {
  const template = recordOf(recordOf(object['spec'])['template'])
  const onPods = hubAnnotations(recordOf(template['metadata'])['annotations'])
  const onDeployment = hubAnnotations(annotations)
  const fullName = fullFunctionName(name, namespace)
  const findings = Object.keys(onDeployment)
    .filter((key) => onPods[key] !== undefined && onPods[key] !== onDeployment[key])
    .map((key) =>
      annotationWarning(
        fullName,
        key,
        'is another one on the Deployment than on its pod template, and that of the pod template counts',
        'Change both, or deploy the function again by OpenFaaS.',
      ),
    )
  const given = { ...onDeployment, ...onPods }
  return clusterFunction('Deployment', { name, namespace, fullName }, given, findings, previous)
}

/** True for a namespace that OpenFaaS may use, undefined for all others. */
export function readNamespace(_object: KubernetesAnswer, { annotations, labels }: ObjectMetadata): true | undefined {
  const marks = [annotations[NAMESPACE_MARK], labels[NAMESPACE_MARK]]
  return marks.includes('1') || marks.includes('true') ? true : undefined
}

function clusterFunction(
  kind: ClusterFunction['kind'],
  { name, namespace, fullName }: Omit<FunctionInfo, 'annotations'>,
  given: Given,
  findings: Finding[],
  previous: ClusterFunction | undefined,
): ClusterFunction {
  const annotations = textAnnotations(fullName, name, given, findings)
  const isRoutable = isRoutableName(name)
  if (!isRoutable)
    findings.push(
      refusedName(
        fullName,
        name,
        `function name "${shownName(name)}" cannot stand in a route; the function is left out`,
      ),
    )
  const last = previous?.info
  const isSame = last?.name === name && sameAnnotations(last.annotations, annotations)
  const info = !isRoutable ? undefined : isSame ? last : { name, namespace, fullName, annotations }
  if (previous?.info === info && previous !== undefined && sameFindings(previous.findings, findings)) return previous
  return { kind, info, findings }
}

/** In the order of their keys, because maps of Go have none. */
function hubAnnotations(given: unknown): Given {
  const kept = Object.entries(recordOf(given)).filter(([key]) => isHubAnnotation(key))
  return Object.fromEntries(kept.sort(([left], [right]) => (left < right ? -1 : 1)))
}

function annotationWarning(fullName: string, key: string, what: string, hint: string): Finding {
  return {
    level: 'warning',
    code: 'HUB_ANNOTATION_INVALID',
    function: shownName(fullName),
    annotation: key,
    message: `${shownName(fullName)}: ${key} ${what}`,
    hint,
  }
}
