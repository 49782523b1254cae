// What emit signs is what the providers' own examples have, and what a hook of every scheme takes for proven.

import { describe, expect, test } from 'vitest'

import { HubError } from '../../src/sdk/index.ts'
import { createHook } from './hooks.ts'
import { SECRET, SLACK, configOf, hmac } from './rig.ts'
import { signedHeaders } from './signing.ts'

const NOW = 1_767_225_600_000

describe('examples of the providers', () => {
  test('GitHub: "Validating webhook deliveries"', () => {
    const hook = configOf({ scheme: 'github', secret: "It's a Secret to Everybody" })
    const request = { body: Buffer.from('Hello, World!'), event: 'push', id: '72d3162e', nowMs: NOW }
    expect(signedHeaders(hook, request)).toEqual({
      'x-hub-signature-256': 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
      'x-github-event': 'push',
      'x-github-delivery': '72d3162e',
    })
  })

  test('Slack: "Verifying requests from Slack", as a generic HMAC', () => {
    const { body, headers } = SLACK
    const hook = configOf(SLACK.hook)
    expect(signedHeaders(hook, { body, event: undefined, id: 'unused', nowMs: 1_531_420_618_999 })).toEqual(headers)
  })

  test('Standard Webhooks: the vector of the reference libraries, and of Svix', () => {
    const hook = configOf({ scheme: 'standard', secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' })
    const request = { body: Buffer.from('{"test": 2432232314}'), event: undefined, id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', nowMs: 1_614_265_330_000 } // prettier-ignore
    expect(signedHeaders(hook, request)).toEqual({
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    })
  })

  test('Stripe: "Verify webhook signatures manually", over timestamp, dot and body', () => {
    const hook = configOf({ scheme: 'stripe', secret: 'whsec_test' })
    const body = '{"id":"evt_1NG8Du2eZvKYlo2CUI79vXWy","object":"event","type":"invoice.paid"}'
    expect(signedHeaders(hook, { body: Buffer.from(body), event: 'invoice.paid', id: 'unused', nowMs: NOW })).toEqual({
      'stripe-signature': `t=1767225600,v1=${hmac(`1767225600.${body}`, 'whsec_test')}`,
    })
  })
})

const HOOKS: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['github', { scheme: 'github' }],
  ['gitlab', { scheme: 'gitlab' }],
  ['standard', { scheme: 'standard', secret: `whsec_${Buffer.from(SECRET).toString('base64')}`, eventHeader: 'X-Event' }], // prettier-ignore
  ['bearer', { scheme: 'bearer', eventHeader: 'X-Event', idHeader: 'X-Id' }],
  ['basic', { scheme: 'basic', username: 'me', eventHeader: 'X-Event', idHeader: 'X-Id' }],
  ['none', { scheme: 'none', secret: undefined, eventHeader: 'X-Event', idHeader: 'X-Id' }],
  ['hmac of every part', { scheme: 'hmac', signed: '{id}.{timestamp}.{body}!', timestampHeader: 'X-Time', idHeader: 'X-Id', eventHeader: 'X-Event', algorithm: 'sha512', encoding: 'base64', signaturePrefix: 'v1=' }], // prettier-ignore
]

describe('a hook takes for proven', () => {
  test.each(HOOKS)('what is signed for %s, with its event and its id', (name, config) => {
    const hook = configOf({ secret: SECRET, ...config })
    const body = Buffer.from([0, 255, 10, 13])
    const headers = signedHeaders(hook, { body, event: 'merge_request', id: 'id-1', nowMs: NOW })
    const event = name === 'gitlab' ? 'merge request' : 'merge_request'
    expect(createHook(hook).prove(headers, body, NOW)).toEqual({ ok: true, event, id: 'id-1' })
    const other = createHook(configOf({ ...config, secret: name === 'standard' ? 'whsec_AAAA' : 'other' })) // prettier-ignore
    expect(other.prove(headers, body, NOW).ok).toBe(name === 'none')
  })

  test('the spelling of GitLab', () => {
    const hook = configOf({ scheme: 'gitlab', secret: SECRET })
    const headers = signedHeaders(hook, { body: Buffer.alloc(0), event: 'merge_request', id: '1', nowMs: NOW })
    expect(headers['x-gitlab-event']).toBe('Merge Request Hook')
  })
})

describe('is refused', () => {
  const refusal = (config: Readonly<Record<string, unknown>>, body: string, event: string | undefined): HubError => {
    try {
      signedHeaders(configOf({ secret: SECRET, ...config }), { body: Buffer.from(body), event, id: '1', nowMs: NOW })
    } catch (error) {
      if (error instanceof HubError) return error
      throw error
    }
    throw new Error('it was signed')
  }

  test('an event for a hook that reads none', () => {
    const error = refusal({ scheme: 'bearer' }, '', 'push')
    expect([error.code, error.hint]).toEqual(['HUB_USAGE', 'Emit to hook alone, or set eventHeader of the hook.'])
  })

  test.each([
    ['', 'invoice.paid', 'JSON with an id and a type'],
    ['{"id":"evt_1"}', undefined, 'JSON with an id and a type'],
    ['{"id":"evt_1","type":"invoice.paid"}', 'invoice.created', 'the type in the body is invoice.paid'],
  ])('of Stripe the body %j on an event %s', (body, event, message) => {
    const error = refusal({ scheme: 'stripe' }, body, event)
    expect(error.code).toBe('HUB_USAGE')
    expect(error.message).toContain(message)
    expect(error.hint).toContain('--data')
  })
})
