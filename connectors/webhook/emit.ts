// Test events for a hook: requests to the running hub, proven as its callers prove theirs. Called by tools.ts.

import { randomUUID } from 'node:crypto'
import { validateHeaderName, validateHeaderValue } from 'node:http'

import { HubError, errorText, nearest, sleep } from '../../src/sdk/index.ts'
import type { Emitter, OutgoingEvent, ToolContext } from '../../src/sdk/index.ts'
import { Caller } from './caller.ts'
import type { Answered } from './caller.ts'
import { NOT_PASSED_ON } from './event.ts'
import type { HookConfig, WebhookConfig } from './hooks.ts'
import { isKnownBySignature, ownIdHeader, signedHeaders } from './signing.ts'

/** Functions that are waited for may take their time at once: requests have no order that could be lost. */
const WAITING_MAX = 16

/** @throws HubError HUB_USAGE when it is not known where the hub listens; HUB_SOURCE_TLS */
export function openEmitter(config: WebhookConfig, context: ToolContext, signal: AbortSignal): Emitter {
  const inFlightMax = config.respond === 'function' ? WAITING_MAX : 1
  const caller = new Caller(config, inFlightMax)
  const seconds = new Seconds(context, signal)
  return {
    place: `the hub at ${caller.address}${config.path}/`,
    // Without waiting for functions one after the other is quick, and arrives as it was sent.
    inFlightMax,
    emit: async (event) => {
      const { hook, kind } = targetOf(event, config)
      const { id, headers } = givenOf(event, hook)
      const body = Buffer.from(event.body)
      const isDistinct = config.replayWindow > 0 && isKnownBySignature(hook)
      const nowMs = isDistinct ? await seconds.next(hook) : context.clock.now()
      const ours = signedHeaders(hook, { body, event: kind, id, nowMs })
      refuseOwn(headers, ours, hook)
      const contentType = event.contentType === undefined ? {} : { 'content-type': event.contentType }
      return outcome(await caller.post(hook.name, { ...headers, ...valid(contentType), ...valid(ours) }, body, signal), event, config) // prettier-ignore
    },
    [Symbol.asyncDispose]: () => Promise.resolve(caller.close()),
  }
}

function targetOf(
  { topic, key }: OutgoingEvent,
  { hooks }: WebhookConfig,
): { readonly hook: HookConfig; readonly kind: string | undefined } {
  const [name = '', kind] = topic.split(':', 2)
  const hook = hooks.find((one) => one.name === name)
  const names = hooks.map((one) => one.name)
  if (hook === undefined)
    throw usage(`no hook is called ${name}`, `The hooks are ${names.join(', ')}; did you mean ${nearest(name, names) ?? names[0]}?`) // prettier-ignore
  if (kind !== undefined && !/^[A-Za-z0-9._-]+$/.test(kind))
    throw usage(`${topic} is no topic of one event`, `Write ${name}, or ${name}:push for an event of it.`)
  if (key !== undefined) throw usage('a webhook has no key', 'Leave out --key: requests have no order.')
  return { hook, kind }
}

/** What the person gives, with names in lower case, and the id: a new one each time where it is not among them. */
function givenOf(
  { headers }: OutgoingEvent,
  hook: HookConfig,
): { readonly id: string; readonly headers: Readonly<Record<string, string>> } {
  const given = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  for (const name of Object.keys(given)) {
    if (name === 'content-type') throw usage('the content type is no header of its own', 'Set it with --content-type.')
    if (NOT_PASSED_ON.has(name)) throw usage(`a function does not get the header ${name} of a webhook`, 'Leave it out.')
  }
  const idHeader = ownIdHeader(hook)
  const { [idHeader ?? '']: id = randomUUID(), ...rest } = valid(given)
  return { id, headers: rest }
}

function refuseOwn(
  given: Readonly<Record<string, string>>,
  ours: Readonly<Record<string, string>>,
  { name, scheme }: HookConfig,
): void {
  const [twice] = Object.keys(given).filter((header) => header in ours)
  if (twice !== undefined)
    throw usage(`the header ${twice} is set by emit, as the scheme ${scheme} of the hook ${name} asks for`, 'Leave it out; an event is named by the topic, <hook>:<event>.') // prettier-ignore
}

function valid(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  for (const [name, value] of Object.entries(headers))
    try {
      validateHeaderName(name)
      validateHeaderValue(name, value)
    } catch (error) {
      throw usage(`HTTP cannot carry the header ${name}: ${errorText(error)}`, 'Use letters, digits and - in names, and no line breaks and nothing beyond Latin-1 in values.') // prettier-ignore
    }
  return headers
}

function usage(message: string, hint: string): HubError {
  return new HubError('HUB_USAGE', message, { hint })
}

/** Where it is now. @throws HubError HUB_EMIT_FAILED when the hub has not taken it */
function outcome({ status, headers, text }: Answered, { topic }: OutgoingEvent, config: WebhookConfig): string {
  const id = headers['x-webhook-id']
  if (status === 202 && typeof id === 'string') {
    if (!text.startsWith('accepted before')) return `${id} (202 ${text})`
    throw refusal(`the hub has taken ${id} before, and does not take it again within replayWindow`, 'Give the event an id of its own, or another body where the signature is its id.') // prettier-ignore
  }
  const answered = headers['x-function-name']
  if (typeof answered === 'string') return `${topic} (${answered} answered ${status})`
  if (status === 204 && config.respond === 'function') return `${topic} (204: every function filters it out)`
  if (status === 200 && text.startsWith('no function has the topic')) return `nowhere (200 ${text})`
  const said = text === '' ? '' : `: ${text}`
  throw refusal(`the hub answered ${status} to an event of ${topic}${said}`, hintOf(status, headers, config))
}

function hintOf(status: number, headers: Answered['headers'], { listen, rateLimit }: WebhookConfig): string {
  switch (status) {
    case 401:
      return 'The running hub has another secret for this hook, or another clock: restart it with this configuration.'
    case 404:
      return 'The running hub has no such hook: restart it with this configuration, and check path.'
    case 413:
      return `Send less than listen.bodyMax (${listen.bodyMax} bytes), or raise it and restart the hub.`
    case 429:
      return `Send at most rateLimit.perSecond (${rateLimit.perSecond}) with --rate, or raise it; there is room again in ${String(headers['retry-after'])} s.` // prettier-ignore
    case 503:
      return 'See why the functions do not take what waits; raise limits.inboxMax where the disk has room.'
    case 500:
      return 'See the log of the hub.'
    default:
      return 'Check that what listens there is the hub, with this configuration.'
  }
}

function refusal(message: string, hint: string): HubError {
  return new HubError('HUB_EMIT_FAILED', message, { hint })
}

/**
 * Times for hooks that know a request by its signature: equal bodies of one second would be one event. Each gets a second
 * of its own, ahead of the clock as far as half of the hook's tolerance, and then as the seconds pass.
 */
class Seconds {
  readonly #context: ToolContext
  readonly #signal: AbortSignal
  readonly #last = new Map<string, number>()

  constructor(context: ToolContext, signal: AbortSignal) {
    this.#context = context
    this.#signal = signal
  }

  async next({ name, tolerance }: HookConfig): Promise<number> {
    const { clock } = this.#context
    const secondMs = Math.max(Math.floor(clock.now() / 1000), (this.#last.get(name) ?? 0) + 1) * 1000
    this.#last.set(name, secondMs / 1000)
    const aheadMs = secondMs - clock.now() - tolerance / 2
    if (aheadMs > 0) await sleep(clock, aheadMs, this.#signal)
    return secondMs
  }
}
