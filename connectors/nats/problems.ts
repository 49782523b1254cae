// What goes wrong on the way to a server, as errors that say what to do. Pure; called by both sources and what they use.

import { errors } from '@nats-io/transport-node'

import { HubError, errorChain, errorText, isTlsFailure, redactUrl } from '../../src/sdk/index.ts'

/** Without credentials, for messages. */
export function addressesOf(servers: readonly string[]): string {
  return servers.map((server) => (URL.canParse(server) ? redactUrl(server) : server)).join(', ')
}

export function lostProblem(addresses: string, text: string, cause?: unknown): HubError {
  return new HubError('HUB_SOURCE_LOST', `${addresses}: ${text}`, {
    canRetry: true,
    ...(cause === undefined ? {} : { cause }),
  })
}

/** Of a seed that is none; the client does not export its class. */
const NKEYS_ERROR = 'NKeysError'
/** What the client says of a server without TLS; it has no class of its own. */
const NO_TLS = /does not support 'tls'|'?tls'? is not available/

export function dialProblem(error: unknown, addresses: string): HubError {
  if (error instanceof HubError) return error
  const chain: unknown[] = []
  for (let at: unknown = error; at instanceof Error; at = at.cause) chain.push(at)
  const text = `${addresses}: ${chain.map(errorText).join(': ')}`
  const isAuth = chain.some((at) => at instanceof errors.AuthorizationError || at instanceof errors.UserAuthenticationExpiredError || at?.constructor.name === NKEYS_ERROR) // prettier-ignore
  if (isAuth) return new HubError('HUB_SOURCE_AUTH', text, { cause: error })
  const isTls = chain.some((at) => isTlsFailure(at) || NO_TLS.test(errorText(at))) // prettier-ignore
  if (isTls) return new HubError('HUB_SOURCE_TLS', text, { cause: error })
  return new HubError('HUB_SOURCE_UNREACHABLE', text, { cause: error, canRetry: true })
}

/** What the server does not let the user do, where that is why something failed. */
export function violationOf(error: unknown): InstanceType<typeof errors.PermissionViolationError> | undefined {
  return errorChain(error).find((one) => one instanceof errors.PermissionViolationError)
}

/** Undefined where something else went wrong. */
export function forbiddenProblem(error: unknown, addresses: string): HubError | undefined {
  const violation = violationOf(error)
  if (violation === undefined) return undefined
  const { operation, subject, queue } = violation
  // The client's own inbox is another one each time.
  const what = operation === 'publish' ? `publish to ${subject}` : `subscribe to ${subject.replace(/^_INBOX\..*/, '_INBOX.>')}` // prettier-ignore
  const where = queue === undefined ? '' : ` in the queue group ${queue}`
  return new HubError('HUB_SOURCE_FORBIDDEN', `${addresses}: the user may not ${what}${where}`, {
    cause: error,
    hint: `Allow the user to ${what}${where}.`,
  })
}

/**
 * Nothing that is wanted can be read: thrown. Some of it: logged, and the rest works.
 * @throws HubError the first problem, when there are as many as topics
 */
export function reportRefusals(
  problems: readonly HubError[],
  topics: number,
  log: { error(event: string, text: string, fields: { readonly code: string }): void },
): void {
  const [problem] = problems
  if (problem === undefined) return
  if (problems.length === topics) throw problem
  for (const { code, message, hint } of problems) log.error('nats.refused', `${message}. ${hint}`, { code })
}
