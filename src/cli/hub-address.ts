// The admin server of a running hub, as commands name it. For `tail` and `explain --event`.

import { request } from 'undici'
import type { Dispatcher } from 'undici'

import type { OpenWork } from '../hub/admin.ts'
import { HubError, errorText, redactUrl } from '../sdk/index.ts'

/** A stream has a sign of life every 15 seconds. */
const SILENCE_MAX_MS = 45_000
const SAID_CHARS_MAX = 500

/** `GET /events` with these parameters; undefined ones are left out. @throws HubError HUB_USAGE, HUB_SOURCE_UNREACHABLE */
export function getEvents(
  hub: string,
  parameters: Readonly<Record<string, string | undefined>>,
  contentType: string,
  signal?: AbortSignal,
): Promise<Dispatcher.ResponseData['body']> {
  return get(hub, 'events', parameters, contentType, signal)
}

/** What the hub has not settled, and why. @throws HubError HUB_USAGE, HUB_SOURCE_UNREACHABLE */
export async function getOpenWork(hub: string): Promise<OpenWork> {
  const body = await get(hub, 'open', {}, 'application/json')
  return (await body.json()) as OpenWork
}

async function get(
  hub: string,
  path: string,
  parameters: Readonly<Record<string, string | undefined>>,
  contentType: string,
  signal?: AbortSignal,
): Promise<Dispatcher.ResponseData['body']> {
  const fail = (what: string, cause?: unknown): HubError => new HubError('HUB_SOURCE_UNREACHABLE', `${redactUrl(hub)}: ${what}`, { cause, hint: 'Name the admin address of a running hub, which it logs as it starts: --hub http://127.0.0.1:8081.' }) // prettier-ignore
  if (!URL.canParse(hub)) throw new HubError('HUB_USAGE', `--hub ${hub} is not a URL`, { hint: 'Write for example --hub http://127.0.0.1:8081.' }) // prettier-ignore
  const url = new URL(path, hub.endsWith('/') ? hub : `${hub}/`)
  for (const [key, value] of Object.entries(parameters)) if (value !== undefined) url.searchParams.set(key, value)
  let response: Dispatcher.ResponseData
  try {
    // Not fetch, which does not speak to every port.
    response = await request(url, { bodyTimeout: SILENCE_MAX_MS, ...(signal === undefined ? {} : { signal }) })
  } catch (error) {
    throw fail(errorText(error), error)
  }
  if (response.statusCode === 200 && response.headers['content-type'] === contentType) return response.body
  // Only a hub has something to say about what it was asked for.
  if (response.statusCode === 400) throw new HubError('HUB_USAGE', (await response.body.text()).trim().slice(0, SAID_CHARS_MAX)) // prettier-ignore
  if (response.statusCode === 503) throw fail((await response.body.text()).trim().slice(0, SAID_CHARS_MAX))
  await response.body.dump()
  throw fail(`it answered ${response.statusCode} and is no hub`)
}
