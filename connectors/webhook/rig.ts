// What the tests of this connector share: hooks from a configuration, a source that listens, and requests to it.

import { createHmac } from 'node:crypto'

import { parseConfig } from '../../src/sdk/index.ts'
import { SourceRig } from '../../test/source-rig.ts'
import type { RigOptions } from '../../test/source-rig.ts'
import connector from './connector.ts'
import { createHook } from './hooks.ts'
import type { Hook, HookConfig } from './hooks.ts'
import { manifest } from './manifest.ts'
import { WebhookSource } from './webhook-source.ts'

export { ack, until } from '../../test/source-rig.ts'

export const SECRET = 'hook-s3cret'

/** "Verifying requests from Slack", as a generic HMAC. */
export const SLACK = {
  hook: {
    scheme: 'hmac',
    secret: '8f742231b10e8888abcd99yyyzzz85a5',
    signatureHeader: 'X-Slack-Signature',
    signaturePrefix: 'v0=',
    signed: 'v0:{timestamp}:{body}',
    timestampHeader: 'X-Slack-Request-Timestamp',
  },
  body: Buffer.from(
    'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar' +
      '&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com' +
      '%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c',
  ),
  headers: {
    'x-slack-signature': 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
    'x-slack-request-timestamp': '1531420618',
  },
}

/** The first hook of a configuration, as it stands there. */
export function configOf(config: Readonly<Record<string, unknown>>): HookConfig {
  const [hook] = parseConfig(manifest.fields, { hooks: [{ name: 'hook', ...config }] }).hooks
  if (hook === undefined) throw new Error('one was configured')
  return hook
}

export function hookOf(config: Readonly<Record<string, unknown>>): Hook {
  return createHook(configOf(config))
}

export function hmac(body: string | Buffer, secret = SECRET, encoding: 'hex' | 'base64' = 'hex'): string {
  return createHmac('sha256', secret).update(body).digest(encoding)
}

export class Hooks implements AsyncDisposable {
  readonly rig: SourceRig

  private constructor(rig: SourceRig) {
    this.rig = rig
  }

  /** Connected on a free port of the loopback interface, and subscribed. */
  static async open(
    config: Readonly<Record<string, unknown>>,
    topics: readonly string[],
    options?: RigOptions,
  ): Promise<Hooks> {
    const { listen = {}, ...rest } = config
    const rig = new SourceRig(connector, { listen: { host: '127.0.0.1', port: 0, ...(listen as object) }, ...rest }, options) // prettier-ignore
    return new Hooks(await rig.opened(topics))
  }

  get address(): string {
    const { source } = this.rig
    if (!(source instanceof WebhookSource) || source.address === undefined) throw new Error('it does not listen')
    return source.address
  }

  post(path: string, body: string | Buffer, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return fetch(`${this.address}${path}`, { method: 'POST', body, headers })
  }

  /** To a hook of the scheme github. */
  github(event: string, body: string, delivery: string, secret = SECRET): Promise<Response> {
    return this.post('/hooks/github', body, {
      'Content-Type': 'application/json',
      'X-GitHub-Event': event,
      'X-GitHub-Delivery': delivery,
      'X-Hub-Signature-256': `sha256=${hmac(body, secret)}`,
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.rig[Symbol.asyncDispose]()
  }
}
