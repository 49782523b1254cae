// A token for SASL/OAUTHBEARER (RFC 7628): from a file, or from an endpoint with client credentials (RFC 6749 §4.4).
// Called for each login, and by the library before a token's session ends.

import { readFileSync } from 'node:fs'

import { HubError, errorText, redactUrl } from '../../src/sdk/index.ts'
import type { KafkaConfig } from './dial.ts'

/** @throws HubError HUB_SOURCE_AUTH */
export async function fetchToken(oauth: KafkaConfig['oauth'], timeoutMs: number): Promise<string> {
  const { tokenFile, tokenEndpoint } = oauth
  if (tokenFile !== undefined) return readToken(tokenFile)
  const endpoint = tokenEndpoint ?? ''
  let response: Response
  try {
    response = await fetch(endpoint, {
      method: 'POST',
      headers: { authorization: basic(oauth), 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        ...(oauth.scope === undefined ? {} : { scope: oauth.scope }),
      }).toString(),
      signal: AbortSignal.timeout(timeoutMs),
    })
  } catch (error) {
    throw noToken(`${redactUrl(endpoint)} does not answer: ${errorText(error)}`, error, true)
  }
  // What it says may hold the credentials; its status is enough.
  const answer = (await response.json().catch(() => undefined)) as { access_token?: unknown } | undefined
  if (!response.ok) throw noToken(`${redactUrl(endpoint)} answered ${response.status}`)
  if (typeof answer?.access_token !== 'string') throw noToken(`${redactUrl(endpoint)} answered without access_token`)
  return answer.access_token
}

function readToken(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw noToken(`oauth.tokenFile cannot be read: ${errorText(error)}`, error)
  }
}

/** RFC 6749 §2.3.1: both are form-encoded before they are joined. */
function basic({ clientId, clientSecret }: KafkaConfig['oauth']): string {
  const encode = (text: string): string => new URLSearchParams({ '': text }).toString().slice(1)
  return `Basic ${Buffer.from(`${encode(clientId ?? '')}:${encode(clientSecret?.reveal() ?? '')}`).toString('base64')}`
}

function noToken(text: string, cause?: unknown, canRetry = false): HubError {
  return new HubError('HUB_SOURCE_AUTH', text, {
    canRetry,
    hint: "Check the connector's oauth settings: tokenFile, or tokenEndpoint with clientId and clientSecret.",
    ...(cause === undefined ? {} : { cause }),
  })
}
