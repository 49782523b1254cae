// What goes wrong at the server or on the way to it, as errors that say what to do. Pure; called by sqs-source.ts and what
// it owns.

import { HubError, errorChain, errorText, isTlsFailure } from '../../src/sdk/index.ts'

const MISSING = /NonExistentQueue|QueueDoesNotExist/
const FORBIDDEN = /^(AccessDenied|KmsAccessDenied|KmsDisabled|KmsNotFound|KmsInvalidState|KmsOptInRequired)/
const EXPIRED = /^ExpiredToken/
/** AWS compares times: a clock that is wrong makes good credentials bad. */
const SKEWED = /^(RequestTimeTooSkewed|RequestExpired|RequestInTheFuture)/
const WRONG_KEY = /^(InvalidClientTokenId|UnrecognizedClient|InvalidAccessKeyId|SignatureDoesNotMatch|InvalidSignature|IncompleteSignature|MissingAuthenticationToken|AuthFailure|NotAuthorized|InvalidSecurity|CredentialsProviderError|TokenProviderError)/ // prettier-ignore
const THROTTLED = /Throttl|^TooManyRequests|^SlowDown|^OverLimit|^RequestLimitExceeded|^BandwidthLimitExceeded/
const NO_REGION = /Region is missing/
const TEXT_CHARS_MAX = 300

export function isMissing(error: unknown): boolean {
  return MISSING.test(codeOf(error))
}

/** Recognised, and not allowed. */
export function isForbidden(error: unknown): boolean {
  return FORBIDDEN.test(codeOf(error))
}

/** The code of an entry of a batch, or of an error. */
export function isThrottled(code: string): boolean {
  return THROTTLED.test(code)
}

/** Of anything but one certain queue. @param about address, or what was asked for */
export function sqsProblem(error: unknown, about: string): HubError {
  if (error instanceof HubError) return error
  const code = codeOf(error)
  const text = `${about}: ${detailOf(error, code)}`
  const make = (...[hubCode, hint, canRetry = false]: readonly [HubError['code'], string?, boolean?]): HubError =>
    new HubError(hubCode, text, { cause: error, canRetry, ...(hint === undefined ? {} : { hint }) })
  if (EXPIRED.test(code)) return make('HUB_SOURCE_AUTH', 'Get new temporary credentials; or use a role or web identity, which renew themselves.') // prettier-ignore
  if (SKEWED.test(code)) return make('HUB_SOURCE_AUTH', 'Set the clock of this machine: AWS takes requests of the last five minutes only.', true) // prettier-ignore
  if (WRONG_KEY.test(code)) return make('HUB_SOURCE_AUTH', AUTH_HINT)
  if (isForbidden(error)) return make('HUB_SOURCE_FORBIDDEN', ALLOW_HINT)
  if (isThrottled(code) || statusOf(error) === 429) return make('HUB_SOURCE_THROTTLED', undefined, true)
  if (NO_REGION.test(errorText(error))) return make('HUB_CONFIG_INVALID', 'Set region, or AWS_REGION in the environment.') // prettier-ignore
  if (errorChain(error).some(isTlsFailure)) return make('HUB_SOURCE_TLS')
  if (error instanceof SyntaxError)
    return make(
      'HUB_SOURCE_PROTOCOL',
      'Check that endpoint is that of an SQS server, and one that speaks the JSON protocol: ElasticMQ from 1.5, LocalStack from 3.0.',
    )
  const status = statusOf(error)
  if (status === undefined) return make('HUB_SOURCE_UNREACHABLE', 'Check endpoint and region, and that the network lets us reach it.', true) // prettier-ignore
  if (status >= 500) return make('HUB_SOURCE_LOST', undefined, true)
  return make('HUB_SOURCE_PROTOCOL', undefined, true)
}

const AUTH_HINT =
  'Check the access key and its secret, and that they are of the account and partition of the region; without them AWS_ACCESS_KEY_ID, AWS_SHARED_CREDENTIALS_FILE or a role of the machine.'
const ALLOW_HINT =
  'Allow sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility, sqs:GetQueueUrl and sqs:GetQueueAttributes on the queue, and kms:Decrypt where it is encrypted.'

/** Of a queue that a function wants. */
export function queueProblem(error: unknown, at: string, queue: string): HubError {
  if (error instanceof HubError) return error
  const about = `${at}: queue ${queue}`
  if (!isMissing(error)) return sqsProblem(error, about)
  const name = queue.split('/').at(-1) ?? queue
  const attributes = name.endsWith('.fifo') ? ' --attributes FifoQueue=true' : ''
  return new HubError('HUB_SOURCE_FORBIDDEN', `${about} does not exist here`, {
    cause: error,
    canRetry: true,
    hint: `Create it: aws sqs create-queue --queue-name ${name}${attributes}. If it is in another region or account, check region, or list its URL under queues.`,
  })
}

/** It could be reached before. */
export function asLost(problem: HubError): HubError {
  if (problem.code !== 'HUB_SOURCE_UNREACHABLE') return problem
  return new HubError('HUB_SOURCE_LOST', problem.message, { cause: problem, canRetry: true })
}

/** As the service names it; the names of the two protocols differ in a prefix. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  return error.name.replace(/^AWS\.SimpleQueueService\./, '')
}

/** Undefined where no answer came. */
function statusOf(error: unknown): number | undefined {
  return (error as { readonly $metadata?: { readonly httpStatusCode?: number } } | undefined)?.$metadata?.httpStatusCode
}

/** AWS explains a wrong signature with the whole signed request, session token included: the first line is enough. */
function detailOf(error: unknown, code: string): string {
  const [line = ''] = errorText(error).split(/[\r\n]/)
  const text = line.length > TEXT_CHARS_MAX ? `${line.slice(0, TEXT_CHARS_MAX)}…` : line
  return code === '' || code === 'Error' || text.includes(code) ? text : `${code}: ${text}`
}
