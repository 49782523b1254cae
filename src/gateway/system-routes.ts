// `/system/…`: what is deployed, as OpenFaaS lists it. Authorised by the caller's credentials; reads only.

import type { IncomingMessage, ServerResponse } from 'node:http'

import { VERSION } from '../telemetry/version.ts'
import type { DeployedFunction, Functions } from './functions.ts'
import { authorize, isFunctionName, notFound, sendEmpty, sendJson } from './http.ts'
import type { Credentials } from './http.ts'
import type { GatewayMetrics } from './metrics.ts'

export interface SystemOptions {
  readonly functions: Functions
  readonly metrics: GatewayMetrics
  /** Namespace of requests that name none. */
  readonly namespace: string
  readonly auth: Credentials | undefined
}

type Show = (query: URLSearchParams, options: SystemOptions) => unknown

const ROUTES: Readonly<Record<string, Show>> = {
  '/system/functions': listFunctions,
  '/system/namespaces': listNamespaces,
  '/system/info': info,
}
const FUNCTION_ROUTE = '/system/function/'

/** An unknown path is a 404 before it is a 401: what exists is no secret, and scripts tell the two apart. */
export function system(
  request: IncomingMessage,
  response: ServerResponse,
  url: { readonly path: string; readonly query: string },
  options: SystemOptions,
): void {
  const show = Object.hasOwn(ROUTES, url.path) ? ROUTES[url.path] : undefined
  const name = url.path.startsWith(FUNCTION_ROUTE) ? url.path.slice(FUNCTION_ROUTE.length) : undefined
  if (show === undefined && (name === undefined || !isFunctionName(name))) return notFound(response)
  if (!authorize(request, response, options.auth)) return
  if (request.method !== 'GET') return sendEmpty(response, 405)
  const query = new URLSearchParams(url.query)
  const shown = show === undefined ? describe(name as string, query, options) : show(query, options)
  if (shown === undefined) return sendEmpty(response, 404)
  sendJson(response, 200, shown)
}

function listFunctions(query: URLSearchParams, options: SystemOptions): unknown {
  const namespace = query.get('namespace') || options.namespace
  const shown = []
  for (const deployed of options.functions.all)
    if (deployed.spec.namespace === namespace)
      shown.push(status(deployed, options.metrics.invocations(deployed.fullName)))
  return shown
}

function listNamespaces(_query: URLSearchParams, { functions, namespace }: SystemOptions): unknown {
  return [...new Set([namespace, ...Array.from(functions.all, ({ spec }) => spec.namespace)])]
}

function describe(name: string, query: URLSearchParams, { functions, namespace }: SystemOptions): unknown {
  const found = functions.find(name.includes('.') ? name : `${name}.${query.get('namespace') || namespace}`)
  return found === undefined ? undefined : status(found, 0)
}

/** The status object: what is empty is left out, and so is a count of 0. */
function status({ spec, createdAt, replicas: set }: DeployedFunction, invocationCount: number): unknown {
  const { name, namespace, image, envProcess, envVars, labels, annotations } = spec
  return {
    name,
    image,
    namespace,
    ...(envProcess === '' ? {} : { envProcess }),
    ...unlessEmpty({ envVars, labels, annotations }),
    ...(invocationCount > 0 ? { invocationCount } : {}),
    // A function whose process is not started is ready all the same: the next call starts it.
    ...(set.replicas > 0 ? { replicas: set.replicas } : {}),
    ...(set.availableReplicas > 0 ? { availableReplicas: set.availableReplicas } : {}),
    createdAt,
  }
}

function unlessEmpty(maps: Readonly<Record<string, Readonly<Record<string, string>>>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(maps).filter(([, map]) => Object.keys(map).length > 0))
}

function info(): unknown {
  const version = { sha: 'local', release: VERSION }
  return {
    arch: process.arch === 'x64' ? 'x86_64' : process.arch,
    provider: { provider: 'connector-hub', orchestration: 'process', version },
    version,
  }
}
