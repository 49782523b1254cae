// What goes wrong at MinIO, as errors that say what to do. Pure; called wherever MinIO is asked something.

import { HubError, errorChain, errorText, isTlsFailure } from '../../src/sdk/index.ts'

/** S3's names of errors that mean that the login was refused. */
const AUTH = new Set([
  'InvalidAccessKeyId', 'SignatureDoesNotMatch', 'InvalidTokenId', 'InvalidToken', 'ExpiredToken', 'ExpiredTokenException',
  'AuthorizationHeaderMalformed', 'InvalidSecurity', 'XMinioInvalidIAMCredentials',
]) // prettier-ignore

const ARN_TEXT = /destination ARN/

/** What is being asked of which bucket, for messages and hints. */
export interface Asked {
  /** Of MinIO, without credentials. */
  readonly at: string
  readonly bucket?: string
  /** Policy action that the user needs. */
  readonly action?: string
  readonly targetArn?: string
}

/** An answer of MinIO that is an error: its name (`NoSuchBucket`) and its words. */
export class S3Refusal extends Error {
  readonly status: number

  constructor(name: string, message: string, status: number) {
    super(message)
    this.name = name
    this.status = status
  }
}

export function minioProblem(error: unknown, asked: Asked): HubError {
  if (error instanceof HubError) return error
  const { at, bucket, action, targetArn } = asked
  const chain = errorChain(error)
  const name = nameOf(error)
  const texts = [...new Set(chain.map((one) => errorText(one).trim()).filter((text) => text !== '' && text !== 'UnknownError'))]
  const where = bucket === undefined ? at : `${at}, bucket ${bucket}`
  const text = `${where}: ${[...(name === undefined ? [] : [name]), ...texts].join(': ')}`
  const failed = (code: ConstructorParameters<typeof HubError>[0], hint?: string, canRetry = false): HubError =>
    new HubError(code, text, { cause: error, canRetry, ...(hint === undefined ? {} : { hint }) })

  if (name !== undefined && AUTH.has(name)) return failed('HUB_SOURCE_AUTH', "Check the connector's accessKey and secretKey (or secretKeyFile).")
  if (name === 'AccessDenied')
    return failed('HUB_SOURCE_FORBIDDEN', action === undefined ? undefined : `Give the user a policy that allows ${action}${bucket === undefined ? '' : ` on the bucket ${bucket}`}.`)
  if (bucket !== undefined && (name === 'NoSuchBucket' || name === 'NotFound'))
    return failed('HUB_SOURCE_FORBIDDEN', `Create the bucket (mc mb <alias>/${bucket}), or correct the topic.`)
  if (targetArn !== undefined && texts.some((one) => ARN_TEXT.test(one)))
    return failed('HUB_SOURCE_FORBIDDEN', `MinIO has no target ${targetArn}: declare it (MINIO_NOTIFY_WEBHOOK_ENABLE_<id>=on, MINIO_NOTIFY_WEBHOOK_ENDPOINT_<id>=<where the hub listens>) and restart MinIO, or set targetArn to the one that mc admin info --json lists.`)
  if (chain.some(isTlsFailure)) return failed('HUB_SOURCE_TLS')
  const status = statusOf(error)
  // 4xx: what MinIO understands and refuses will be refused again. All else may be better in a moment.
  if (status !== undefined && status >= 400 && status < 500 && status !== 408 && status !== 429) return failed('HUB_SOURCE_PROTOCOL')
  return failed('HUB_SOURCE_UNREACHABLE', undefined, true)
} // prettier-ignore

export function isMissingBucket({ cause }: HubError): boolean {
  return cause instanceof Error && cause.name === 'NoSuchBucket'
}

/** Of an answer by MinIO; undefined for what never got one. */
function nameOf(error: unknown): string | undefined {
  return statusOf(error) !== undefined && error instanceof Error ? error.name : undefined
}

function statusOf(error: unknown): number | undefined {
  if (error instanceof S3Refusal) return error.status
  return (error as { readonly $metadata?: { readonly httpStatusCode?: number } } | undefined)?.$metadata?.httpStatusCode
}

/** MinIO took the request to listen, and not even a sign of life came. */
export function silentProblem(at: string, bucket: string, cause: Error): HubError {
  const hint = 'Some builds of MinIO do not flush the listen API, so that events come late or never (its last commit, of February 2026, is one): use another release, or receive: webhook.' // prettier-ignore
  return new HubError('HUB_SOURCE_UNREACHABLE', `${at}, bucket ${bucket}: it sends nothing to those who listen`, { cause, canRetry: true, hint, details: { isSilent: true } }) // prettier-ignore
}

/** A build of MinIO that cannot be listened to, as `silentProblem` has it. */
export function isSilent({ details }: HubError): boolean {
  return details['isSilent'] === true
}

export function lostProblem(at: string, text: string, cause?: unknown): HubError {
  return new HubError('HUB_SOURCE_LOST', `${at}: ${text}`, {
    canRetry: true,
    ...(cause === undefined ? {} : { cause }),
  })
}

/**
 * Nothing that is wanted can be read: thrown. Some of it: logged, and the rest works.
 * @throws HubError the first problem, when there are as many as topics or buckets
 */
export function reportRefusals(
  problems: readonly HubError[],
  wanted: number,
  log: { error(event: string, text: string, fields: { readonly code: string }): void },
): void {
  const [problem] = problems
  if (problem === undefined) return
  if (problems.length >= wanted) throw problem
  for (const { code, message, hint } of problems) log.error('minio.refused', `${message}. ${hint}`, { code })
}
