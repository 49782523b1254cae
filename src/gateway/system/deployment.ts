// The body of a deployment as OpenFaaS's clients send it, checked and without its way of running. Pure; whether its
// namespace, secrets and image exist is asked by deployments.ts.

import type { FunctionSpec, Resources } from '../function-spec.ts'
import type { Fields } from './fields.ts'
import { Refused } from './refused.ts'

export type Deployment = Omit<FunctionSpec, 'runtime'>

/** RFC 1123, as function and namespace names are in Kubernetes. */
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const DNS_LABEL_MAX = 63
/** As Kubernetes takes them; anything else could not be handed to a process. */
const VARIABLE_NAME = /^[-._a-zA-Z][-._a-zA-Z0-9]*$/

export function isDnsLabel(text: string): boolean {
  return text.length <= DNS_LABEL_MAX && DNS_LABEL.test(text)
}

/**
 * @param namespace of a body that names none
 * @throws Refused (400) `validation failed: …`
 */
export function readDeployment(fields: Fields, namespace: string): Deployment {
  const deployment: Deployment = {
    name: fields.text('service'),
    namespace: fields.text('namespace') || namespace,
    image: fields.text('image'),
    envProcess: fields.text('envProcess'),
    envVars: fields.map('envVars'),
    labels: fields.map('labels'),
    annotations: fields.map('annotations'),
    secrets: fields.texts('secrets'),
    constraints: fields.texts('constraints'),
    limits: readResources(fields.object('limits')),
    requests: readResources(fields.object('requests')),
    readOnlyRootFilesystem: fields.flag('readOnlyRootFilesystem'),
  }
  const problem = problemOf(deployment)
  if (problem !== undefined) throw new Refused(400, `validation failed: ${problem}`)
  return deployment
}

function readResources(fields: Fields): Resources {
  const [memory, cpu] = [fields.text('memory'), fields.text('cpu')]
  return { ...(memory === '' ? {} : { memory }), ...(cpu === '' ? {} : { cpu }) }
}

function problemOf({ name, image, namespace, envProcess, envVars }: Deployment): string | undefined {
  if (name === '') return 'service: is required'
  if (!isDnsLabel(name)) return `service: (${name}) is invalid, must be a valid DNS entry`
  if (image === '') return 'image: is required'
  if (!isDnsLabel(namespace)) return `namespace: (${namespace}) is invalid, must be a valid DNS entry`
  if (envProcess.includes('\0')) return 'envProcess: has a NUL character'
  for (const [variable, value] of Object.entries(envVars)) {
    if (!VARIABLE_NAME.test(variable)) return `envVars: (${variable}) is not the name of an environment variable`
    if (value.includes('\0')) return `envVars: ${variable} has a NUL character`
  }
  return undefined
}
