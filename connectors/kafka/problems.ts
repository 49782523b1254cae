// What went wrong at a broker, as the hub's errors. Called wherever the client library throws.

import { GenericError } from '@platformatic/kafka'

import { HubError, errorChain, errorText, isTlsFailure } from '../../src/sdk/index.ts'

/** Kafka's names of errors (protocol guide, "Error Codes") that mean that the login was refused. */
const AUTH_IDS = new Set(['SASL_AUTHENTICATION_FAILED', 'UNSUPPORTED_SASL_MECHANISM', 'ILLEGAL_SASL_STATE'])
const FORBIDDEN_IDS = new Set([
  'TOPIC_AUTHORIZATION_FAILED',
  'GROUP_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'INVALID_GROUP_ID',
])
const PROTOCOL_IDS = new Set(['UNSUPPORTED_VERSION', 'INCONSISTENT_GROUP_PROTOCOL', 'UNSUPPORTED_FOR_MESSAGE_FORMAT'])
/** The library's words for a plain port met with TLS and the other way round; it has no class for them. */
const TLS_TEXT = /^(TLS handshake failed|Broker requires TLS)/

const HINTS: Readonly<Record<string, string>> = {
  INCONSISTENT_GROUP_PROTOCOL:
    'The group has members of another kind (only cooperative-sticky assignment can be shared). Stop them, or choose another group.',
  GROUP_AUTHORIZATION_FAILED: grantHint('Read', 'group', '<group>'),
  TOPIC_AUTHORIZATION_FAILED: grantHint('Read', 'topic', '<topic>'),
  UNSUPPORTED_SASL_MECHANISM: 'Set saslMechanism to one that this listener of the broker offers.',
} // prettier-ignore

/** Kafka's names of all errors in it: `NOT_COORDINATOR`. */
export function errorIds(error: unknown): readonly string[] {
  return errorChain(error).flatMap((one) => (one instanceof GenericError && typeof one['apiId'] === 'string' ? [one['apiId']] : [])) // prettier-ignore
}

/**
 * The answer, also where the library throws it because parts of it are errors; then with that error.
 * @throws what the library throws when there was no answer
 */
export async function answerOf<T>(asked: Promise<T>): Promise<{ readonly answer: T; readonly error: unknown }> {
  try {
    return { answer: await asked, error: undefined }
  } catch (error) {
    const partial = errorChain(error).find((one) => 'response' in one && one.response !== undefined)
    if (partial === undefined) throw error
    return { answer: (partial as unknown as { readonly response: T }).response, error }
  }
}

/** @param where address or what was being done, without secrets */
export function kafkaProblem(error: unknown, where: string): HubError {
  const chain = errorChain(error)
  const own = chain.find((one) => one instanceof HubError)
  if (own !== undefined) return own
  const ids = errorIds(error)
  const texts = [...new Set(chain.map((one) => errorText(one).replace(/\.+$/, '')).filter((text) => text !== ''))]
  const text = `${where}: ${[...texts, ...ids.slice(0, 1)].join(': ')}`
  const hint = ids.map((id) => HINTS[id]).find((one) => one !== undefined)
  const options = { cause: error, ...(hint === undefined ? {} : { hint }) }
  if (ids.some((id) => AUTH_IDS.has(id)) || chain.some((one) => (one as { code?: string }).code === 'PLT_KFK_AUTHENTICATION'))
    return new HubError('HUB_SOURCE_AUTH', text, options) // prettier-ignore
  if (chain.some((one) => isTlsFailure(one) || TLS_TEXT.test(one.message)))
    return new HubError('HUB_SOURCE_TLS', text, options)
  if (ids.some((id) => FORBIDDEN_IDS.has(id))) return new HubError('HUB_SOURCE_FORBIDDEN', text, options)
  if (ids.some((id) => PROTOCOL_IDS.has(id))) return new HubError('HUB_SOURCE_PROTOCOL', text, options)
  return new HubError('HUB_SOURCE_UNREACHABLE', text, { ...options, canRetry: true })
}

/** An instruction. Read and Write imply Describe. */
export function grantHint(operation: 'Read' | 'Write', kind: 'topic' | 'group', name: string): string {
  return `Allow it to the connector's user: kafka-acls --add --allow-principal User:<name> --operation ${operation} --${kind} ${name} --bootstrap-server <broker>.`
}

export function createHint(topic: string): string {
  return `Create it: kafka-topics --create --topic ${topic} --bootstrap-server <broker>.`
}
