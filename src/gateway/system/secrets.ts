// `/system/secrets` (OpenFaaS contract, secrets). A value comes in and never goes out: not in an answer, not in a log.

import { sendEmpty, sendJson } from '../http.ts'
import { isSecretName } from '../secret-store.ts'
import { namespaceOf } from './call.ts'
import type { SystemCall } from './call.ts'
import { readFields } from './fields.ts'
import type { Fields } from './fields.ts'
import { Refused } from './refused.ts'

const VALUE_BYTES_MAX = 1024 * 1024
/** A value comes as text, with up to six characters for a byte, and once more in base64. */
const BODY_BYTES_MAX = 8 * VALUE_BYTES_MAX
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

export function listSecrets(call: SystemCall): void {
  const namespace = namespaceOf(call)
  const names = call.deployments.secretNames(namespace)
  sendJson(
    call.response,
    200,
    names.map((name) => ({ name, namespace })),
  )
}

export async function createSecret(call: SystemCall): Promise<void> {
  const { fields, namespace, name } = await readSecret(call)
  await call.deployments.createSecret(namespace, name, valueOf(fields))
  sendEmpty(call.response, 202)
}

export async function updateSecret(call: SystemCall): Promise<void> {
  const { fields, namespace, name } = await readSecret(call)
  await call.deployments.updateSecret(namespace, name, valueOf(fields))
  sendEmpty(call.response, 202)
}

export async function removeSecret(call: SystemCall): Promise<void> {
  const { namespace, name } = await readSecret(call)
  await call.deployments.removeSecret(namespace, name)
  sendEmpty(call.response, 202)
}

async function readSecret(
  call: SystemCall,
): Promise<{ readonly fields: Fields; readonly namespace: string; readonly name: string }> {
  const fields = await readFields(call.request, BODY_BYTES_MAX)
  const name = fields.text('name')
  if (name === '') throw new Refused(400, 'name may not be empty')
  if (!isSecretName(name))
    throw new Refused(400, 'the name of a secret is lower-case letters, digits, - and . between them')
  return { fields, namespace: fields.text('namespace') || namespaceOf(call), name }
}

/** rawValue, where it is not empty; else value, which may be. @throws Refused */
function valueOf(fields: Fields): Uint8Array {
  const raw = fields.text('rawValue')
  const text = fields.text('value')
  if (raw !== '' && !BASE64.test(raw)) throw new Refused(400, 'rawValue is not base64')
  const value = raw === '' ? Buffer.from(text, 'utf8') : Buffer.from(raw, 'base64')
  if (value.byteLength > VALUE_BYTES_MAX) throw new Refused(400, `the secret is larger than ${VALUE_BYTES_MAX} bytes`)
  return value
}
