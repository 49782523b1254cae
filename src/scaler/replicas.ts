// What the replicas of a hub have and have not settled, asked of each by its admin server. For brokers that do not tell it, so
// that a hub is not taken away in the middle of its work. Called by the hub's scaler.

import { lookup } from 'node:dns/promises'

import { request } from 'undici'

import { HubError, errorText, readWithin, recordOf } from '../sdk/index.ts'

const ANSWER_MS = 3000
/** More than one answer of the admin server holds. */
const ANSWER_BYTES_MAX = 1024 * 1024

/**
 * The sum over every address that the name stands for; a name that stands for none has no replicas, and so nothing.
 * @throws HubError HUB_SOURCE_UNREACHABLE when one of them does not say
 */
export async function heldByReplicas(
  url: string,
  connector: string,
  signal: AbortSignal,
  resolve: Resolve = resolveAll,
): Promise<number> {
  const { hostname, port } = new URL(url)
  const addresses = await addressesOf(hostname.replace(/^\[|\]$/g, ''), url, resolve)
  const held = await Promise.all(addresses.map((address) => heldAt(`${address.includes(':') ? `[${address}]` : address}:${port || 80}`, connector, signal))) // prettier-ignore
  return held.reduce((sum, one) => sum + one, 0)
}

/** Every address of a name. @throws an error with the code ENOTFOUND when there is none */
export type Resolve = (host: string) => Promise<readonly string[]>

const resolveAll: Resolve = async (host) => (await lookup(host, { all: true })).map(({ address }) => address)

async function addressesOf(host: string, url: string, resolve: Resolve): Promise<readonly string[]> {
  try {
    return [...new Set(await resolve(host))]
  } catch (error) {
    // A headless Service without a pod that is there.
    if ((error as NodeJS.ErrnoException).code === 'ENOTFOUND') return []
    throw unasked(url, error)
  }
}

async function heldAt(at: string, connector: string, signal: AbortSignal): Promise<number> {
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)])
    // It says the same, ready or not.
    const { body } = await request(`http://${at}/readyz`, { signal: limit })
    const answer = await readWithin(body, ANSWER_BYTES_MAX)
    if (answer === undefined) throw new Error('its answer is longer than that of a hub')
    return unsettledIn(JSON.parse(answer.toString()), connector)
  } catch (error) {
    throw unasked(at, error)
  }
}

/** @throws Error for what no hub answers */
function unsettledIn(answer: unknown, connector: string): number {
  const connectors = recordOf(answer)['connectors']
  if (!Array.isArray(connectors)) throw new Error('it does not answer as a hub')
  const found = connectors.map(recordOf).find((one) => one['connector'] === connector)
  const unsettled = found?.['unsettled'] ?? 0
  if (typeof unsettled !== 'number') throw new Error('it does not answer as a hub')
  return unsettled
}

function unasked(at: string, cause: unknown): HubError {
  return new HubError('HUB_SOURCE_UNREACHABLE', `${at} does not say what it has: ${errorText(cause)}`, {
    cause,
    canRetry: true,
    hint: 'Set scaler.hub to the admin port of the replicas, and let the scaler reach it (network policy).',
  })
}
