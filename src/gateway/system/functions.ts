// `/system/functions`, `/system/function/…` and `/system/scale-function/…` (OpenFaaS contract, function objects).

import { fullNameOf } from '../function-spec.ts'
import { sendEmpty, sendJson } from '../http.ts'
import { fullNameAsked, namespaceOf } from './call.ts'
import type { SystemCall } from './call.ts'
import { readDeployment } from './deployment.ts'
import type { Deployment } from './deployment.ts'
import { readFields } from './fields.ts'
import { Refused } from './refused.ts'
import { functionStatus } from './status.ts'

/** Of a deployment or a request about one. */
const BODY_BYTES_MAX = 1024 * 1024

/** Of a namespace that nobody has: none, as where functions could be. */
export function listFunctions(call: SystemCall): void {
  const { functions, metrics, response } = call
  const namespace = namespaceOf(call)
  const listed = []
  for (const deployed of functions.all)
    if (deployed.spec.namespace === namespace)
      listed.push(functionStatus(deployed, { invocationCount: metrics.invocations(deployed.fullName) }))
  sendJson(response, 200, listed)
}

export async function createFunction(call: SystemCall): Promise<void> {
  await call.deployments.create(await deploymentOf(call))
  sendEmpty(call.response, 202)
}

export async function updateFunction(call: SystemCall): Promise<void> {
  const deployment = await deploymentOf(call)
  await call.deployments.update(deployment)
  // Whoever calls it next is answered by what they have deployed.
  await call.functions.serving(fullNameOf(deployment))
  sendEmpty(call.response, 202)
}

export async function removeFunction(call: SystemCall): Promise<void> {
  const fields = await readFields(call.request, BODY_BYTES_MAX)
  const name = fields.text('functionName')
  if (name === '') throw new Refused(400, 'functionName: is required')
  const fullName = fullNameAsked(call, name, fields.text('namespace'))
  await call.deployments.remove(fullName)
  call.usage.forget(fullName)
  sendEmpty(call.response, 202)
}

export async function describeFunction(call: SystemCall): Promise<void> {
  const { functions, usage, query, response } = call
  const found = functions.find(fullNameAsked(call, call.name))
  if (found === undefined) return sendEmpty(response, 404)
  const isMeasured = ['1', 'true'].includes(query.get('usage') ?? '')
  const measured = isMeasured ? { usage: await usage.measure(found.fullName, found.replicas.pids) } : {}
  sendJson(response, 200, functionStatus(found, measured))
}

/** The name of the path counts; `serviceName` repeats it. */
export async function scaleFunction(call: SystemCall): Promise<void> {
  const fields = await readFields(call.request, BODY_BYTES_MAX)
  const said = fields.text('serviceName')
  const replicas = fields.integer('replicas')
  if (replicas === undefined) throw new Refused(400, 'replicas: is required')
  const fullName = fullNameAsked(call, call.name, fields.text('namespace'))
  if (said !== '' && fullNameAsked(call, said, fields.text('namespace')) !== fullName)
    throw new Refused(400, `serviceName: (${said}) is not the function of the path`)
  await call.deployments.scale(fullName, replicas)
  sendEmpty(call.response, 202)
}

async function deploymentOf(call: SystemCall): Promise<Deployment> {
  return readDeployment(await readFields(call.request, BODY_BYTES_MAX), namespaceOf(call))
}
