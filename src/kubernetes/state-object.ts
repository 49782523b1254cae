// A connector's keyed state as a ConfigMap: who wrote it last, and the values. Pure but for compressing; called by cluster-state.ts.

import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'

import { HubError, errorText, formatSize, isRecord, recordOf } from '../sdk/index.ts'
import type { KubernetesAnswer } from './api.ts'

/** Of whom the state is. */
export interface Fence {
  readonly epoch: number
  readonly holder: string
  /** Counts the holder's writes, so that it knows one again whose answer was lost. */
  readonly write: number
}

export interface StateObject {
  /** resourceVersion; undefined: there is no such object yet. */
  readonly version: string | undefined
  /** As the server has it, with what others have put there. */
  readonly object: KubernetesAnswer
  readonly fence: Fence | undefined
  readonly values: ReadonlyMap<string, string>
}

export const NO_STATE: StateObject = { version: undefined, object: {}, fence: undefined, values: new Map() }

const FENCE = 'fence'
const STATE = 'state'
const COMPRESSED = 'state.gz'
/** Below this it can be read with kubectl. */
const PLAIN_BYTES_MAX = 128 * 1024
/** The API server's bound on the values of a ConfigMap is 1 MiB. */
const BYTES_MAX = 1_000_000
/** What a compressed one may become; far more than what fits. */
const INFLATED_BYTES_MAX = 64 * 1024 * 1024

const compress = promisify(gzip)
const inflate = promisify(gunzip)

export function configMapPath(namespace: string, name?: string): string {
  const maps = `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps`
  return name === undefined ? maps : `${maps}/${encodeURIComponent(name)}`
}

/** @throws HubError HUB_STATE_UNUSABLE when it is not what `stateObject` makes */
export async function readState(object: KubernetesAnswer): Promise<StateObject> {
  const metadata = recordOf(object['metadata'])
  const data = recordOf(object['data'])
  const version = metadata['resourceVersion']
  try {
    const values = await valuesOf(data[STATE], recordOf(object['binaryData'])[COMPRESSED])
    return { version: typeof version === 'string' ? version : undefined, object, fence: fenceOf(data[FENCE]), values }
  } catch (error) {
    throw new HubError('HUB_STATE_UNUSABLE', `the ConfigMap ${String(metadata['name'])} is not the state of a connector: ${errorText(error)}`, { cause: error, canRetry: true, hint: 'Give leader.lease a name that nothing else has, or delete the ConfigMap: its connector then begins anew.' }) // prettier-ignore
  }
}

/** @throws HubError HUB_STATE_UNUSABLE when it is more than a ConfigMap holds */
export async function stateObject(
  { version, object }: StateObject,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  fence: Fence,
  values: ReadonlyMap<string, string>,
): Promise<object> {
  const text = JSON.stringify(Object.fromEntries(values), null, 1)
  const plain = Buffer.byteLength(text) <= PLAIN_BYTES_MAX
  const packed = plain ? undefined : await compress(text)
  if (packed !== undefined && packed.byteLength > BYTES_MAX)
    throw new HubError('HUB_STATE_UNUSABLE', `the state of ${values.size} keys takes ${formatSize(packed.byteLength)}, and a ConfigMap holds ${formatSize(BYTES_MAX)}`, { hint: 'Spread the functions over several connectors or namespaces.' }) // prettier-ignore
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata:
      version === undefined ? { name, namespace } : { ...recordOf(object['metadata']), resourceVersion: version },
    data: { [FENCE]: JSON.stringify(fence), ...(packed === undefined ? { [STATE]: text } : {}) },
    ...(packed === undefined ? {} : { binaryData: { [COMPRESSED]: packed.toString('base64') } }),
  }
}

async function valuesOf(plain: unknown, packed: unknown): Promise<ReadonlyMap<string, string>> {
  const text = typeof packed === 'string' ? String(await inflate(Buffer.from(packed, 'base64'), { maxOutputLength: INFLATED_BYTES_MAX })) : plain // prettier-ignore
  if (typeof text !== 'string') return new Map()
  const values: unknown = JSON.parse(text)
  if (!isRecord(values)) throw new Error('its state is no object')
  return new Map(Object.entries(values).map(([key, value]) => [key, String(value)]))
}

function fenceOf(text: unknown): Fence | undefined {
  if (typeof text !== 'string') return undefined
  const fence: unknown = JSON.parse(text)
  if (!isRecord(fence)) throw new Error('its fence is no object')
  const { epoch, holder, write } = fence
  if (typeof epoch !== 'number' || typeof holder !== 'string' || typeof write !== 'number')
    throw new Error('its fence has no epoch, holder and write')
  return { epoch, holder, write }
}
