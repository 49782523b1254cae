// What can go wrong between us and an API server, as one error with the server's own status and reason. Made by api.ts.

import { HubError, printableText, recordOf } from '../sdk/index.ts'
import type { ErrorCode, HubErrorOptions } from '../sdk/index.ts'

/** `status` 0: there was no answer. */
export class KubernetesError extends HubError {
  /** HTTP status, or the code of a watch's ERROR event. */
  readonly status: number
  /** The machine-readable reason of the server's Status object: `Conflict`, `AlreadyExists`, `Expired`, …; '' without one. */
  readonly reason: string

  constructor(
    code: ErrorCode,
    message: string,
    { status, reason, ...options }: HubErrorOptions & { readonly status: number; readonly reason: string },
  ) {
    super(code, message, options)
    this.status = status
    this.reason = reason
  }
}

/** Answers that callers decide by. */
export const NOT_FOUND = 404
export const CONFLICT = 409

/** Of the server's answer, 0 without one; undefined for what is no error of its. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof KubernetesError ? error.status : undefined
}

/** What the request was about, for messages; never what was sent or answered. */
export interface RequestSubject {
  /** e.g. `GET https://10.0.0.1:443/apis/apps/v1/deployments`. */
  readonly shown: string
  /** RBAC's word: get, list, watch, create or update. */
  readonly verb: string
  readonly path: string
}

/** The error of an answer that is not 2xx, or of a watch's ERROR event. @param answer parsed, or undefined when it is not JSON */
export function statusError(subject: RequestSubject, httpStatus: number, answer: unknown): KubernetesError {
  const told = recordOf(answer)
  const status = httpStatus === 200 && typeof told['code'] === 'number' ? told['code'] : httpStatus
  const reason = typeof told['reason'] === 'string' ? told['reason'] : ''
  const said = typeof told['message'] === 'string' ? `: ${printableText(told['message'])}` : ''
  const what = `${subject.shown} answered ${status}${reason === '' ? '' : ` ${printableText(reason)}`}${said}`
  const canRetry =
    status === 401 || status === 403 || status === 408 || status === 410 || status === 429 || status >= 500
  const hint = status === 403 ? { hint: grantHint(subject) } : {}
  return new KubernetesError(codeOf(status), what, { status, reason, canRetry, ...hint })
}

function codeOf(status: number): ErrorCode {
  if (status === 401) return 'HUB_KUBERNETES_UNAUTHORIZED'
  return status === 403 ? 'HUB_KUBERNETES_FORBIDDEN' : 'HUB_KUBERNETES_FAILED'
}

/** Which rule is missing, as it stands in a Role. */
export interface MissingRule {
  readonly verb: string
  /** '' for the core group. */
  readonly group: string
  /** With its subresource: `deployments/scale`. */
  readonly resource: string
  /** Undefined: of the whole cluster. */
  readonly namespace: string | undefined
  /** Of one object; undefined: of all. */
  readonly name?: string
}

/** Undefined for a path that is none of a resource, such as `/version`. */
export function ruleOf(verb: string, path: string): MissingRule | undefined {
  const parts =
    path
      .split('?')[0]
      ?.split('/')
      .filter((part) => part !== '') ?? []
  const [kind, first = ''] = parts
  if (kind !== 'api' && kind !== 'apis') return undefined
  const rest = parts.slice(kind === 'api' ? 2 : 3)
  const namespace = rest[0] === 'namespaces' && rest.length > 2 ? rest[1] : undefined
  const [resource, , subresource] = namespace === undefined ? rest : rest.slice(2)
  if (resource === undefined) return undefined
  return {
    verb,
    group: kind === 'api' ? '' : first,
    resource: subresource === undefined ? resource : `${resource}/${subresource}`,
    namespace,
  }
}

/** An instruction: the rule, and where it belongs. */
export function grantText({ verb, group, resource, namespace, name }: MissingRule): string {
  const place = namespace === undefined ? 'a ClusterRole' : `a Role in namespace ${namespace}`
  return `Grant the service account by ${place}: apiGroups ["${group}"], resources ["${resource}"], ${name === undefined ? '' : `resourceNames ["${name}"], `}verbs ["${verb}"]`
}

function grantHint({ verb, path }: RequestSubject): string {
  const rule = ruleOf(verb, path)
  return rule === undefined ? `Grant the service account the verb ${verb} for this address.` : `${grantText(rule)}.`
}
