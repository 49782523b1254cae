// What the metadata of a KEDA trigger says of one instance. Pure; called by the service with every request.

import { nearest } from '../sdk/index.ts'
import { RefusedCall } from './refused-call.ts'

export interface ScaledObject {
  readonly connector: string
  /** Events for each replica. */
  readonly targetLag: number
  /** Below this and at it, there is nothing to do. */
  readonly activationLag: number
}

const TARGET_LAG = 100
const ACTIVATION_LAG = 0
const OURS = ['connector', 'targetLag', 'activationLag'] as const
/** KEDA takes this for the value of an environment variable of the scaled container, and leaves it at the key. */
const FROM_ENV = 'FromEnv'
/** Half-way to what a double counts exactly. */
const NUMBER_MAX = 1e12

/** The keys that are KEDA's own pass, whatever they are. @throws RefusedCall INVALID_ARGUMENT */
export function readScaledObject(metadata: Readonly<Record<string, string>>): ScaledObject {
  refuseSlips(metadata)
  const text = (key: (typeof OURS)[number]): string => (metadata[key] ?? metadata[`${key}${FROM_ENV}`] ?? '').trim()
  const connector = text('connector')
  if (connector === '')
    throw invalid('metadata.connector is required: the name of an instance under connectors in hub.yaml')
  const targetLag = numberOf('targetLag', text('targetLag'), TARGET_LAG)
  if (targetLag === 0)
    throw invalid(`metadata.targetLag must be above 0: the events that one replica may have, such as "${TARGET_LAG}"`)
  return { connector, targetLag, activationLag: numberOf('activationLag', text('activationLag'), ACTIVATION_LAG) }
}

/** A key that is not ours but nearly is would be passed over in silence. */
function refuseSlips(metadata: Readonly<Record<string, string>>): void {
  const known = new Set<string>(OURS.flatMap((key) => [key, `${key}${FROM_ENV}`]))
  for (const key of Object.keys(metadata)) {
    const near = known.has(key) ? undefined : nearest(key, OURS)
    if (near !== undefined) throw invalid(`metadata.${key} is not known; did you mean ${near}?`)
  }
}

function numberOf(key: string, text: string, initial: number): number {
  if (text === '') return initial
  const number = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN
  if (number <= NUMBER_MAX) return number
  throw invalid(`metadata.${key} is ${JSON.stringify(text)} and must be a number of events in quotes, such as "${initial}"`) // prettier-ignore
}

function invalid(message: string): RefusedCall {
  return new RefusedCall('INVALID_ARGUMENT', message)
}
