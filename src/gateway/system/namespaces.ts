// `/system/namespaces` and `/system/namespace/…` (OpenFaaS contract, namespaces).

import type { Namespace } from '../deployment-store.ts'
import { sendEmpty, sendJson } from '../http.ts'
import type { SystemCall } from './call.ts'
import { isDnsLabel } from './deployment.ts'
import { readFields } from './fields.ts'
import type { Fields } from './fields.ts'
import { Refused } from './refused.ts'

const BODY_BYTES_MAX = 256 * 1024
/** What makes a namespace one of OpenFaaS's. */
const MARKER = 'openfaas'

export function listNamespaces({ deployments, response }: SystemCall): void {
  sendJson(
    response,
    200,
    deployments.namespaces().map(({ name }) => name),
  )
}

export function describeNamespace({ deployments, response, name }: SystemCall): void {
  const found = deployments.namespaces().find((namespace) => namespace.name === name)
  if (found === undefined) throw new Refused(404, name === '' ? 'name: is required' : `namespace ${name} not found`)
  sendJson(response, 200, found)
}

export async function createNamespace(call: SystemCall): Promise<void> {
  const fields = await readFields(call.request, BODY_BYTES_MAX)
  const namespace = namespaceOf(fields, call.name)
  if (!isDnsLabel(namespace.name))
    throw new Refused(400, namespace.name === '' ? 'name: is required' : `name: (${namespace.name}) is invalid, must be a valid DNS entry`) // prettier-ignore
  requireMarker(namespace)
  await call.deployments.createNamespace(namespace)
  sendEmpty(call.response, 201)
}

export async function updateNamespace(call: SystemCall): Promise<void> {
  const namespace = namespaceOf(await readFields(call.request, BODY_BYTES_MAX), call.name)
  requireMarker(namespace)
  await call.deployments.updateNamespace(namespace)
  sendEmpty(call.response, 202)
}

/** Its body repeats the name, and may be missing. */
export async function removeNamespace(call: SystemCall): Promise<void> {
  await call.deployments.removeNamespace(call.name)
  call.request.resume()
  sendEmpty(call.response, 202)
}

/** @throws Refused (400) when body and path name different ones */
function namespaceOf(fields: Fields, pathName: string): Namespace {
  const name = fields.text('name') || pathName
  if (pathName !== '' && name !== pathName) throw new Refused(400, `name: (${name}) is not the namespace of the path`)
  return { name, labels: fields.map('labels'), annotations: fields.map('annotations') }
}

function requireMarker({ labels, annotations }: Namespace): void {
  if (labels[MARKER] !== '1' && annotations[MARKER] !== '1')
    throw new Refused(400, `the label or annotation ${MARKER}: "1" is required`)
}
