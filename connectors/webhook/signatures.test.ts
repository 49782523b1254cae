// Signatures as the providers document them, and everything that is almost one.

import { describe, expect, test } from 'vitest'

import { hmac, hookOf, SECRET, SLACK } from './rig.ts'

const NOW_S = 1_767_225_600
const NOW = NOW_S * 1000

describe('examples of the providers', () => {
  test('GitHub: "Validating webhook deliveries", testing the webhook payload validation', () => {
    const hook = hookOf({ scheme: 'github', secret: "It's a Secret to Everybody" })
    const headers = {
      'x-hub-signature-256': 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
      'x-github-event': 'push',
      'x-github-delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958',
    }
    expect(hook.prove(headers, Buffer.from('Hello, World!'), NOW)).toEqual({
      ok: true,
      event: 'push',
      id: '72d3162e-cc78-11e3-81ab-4c9367dc0958',
    })
    expect(hook.prove(headers, Buffer.from('Hello, world!'), NOW)).toMatchObject({ ok: false, status: 401 })
  })

  test('Slack: "Verifying requests from Slack", as a generic HMAC', () => {
    const { body, headers } = SLACK
    const hook = hookOf(SLACK.hook)
    expect(hook.prove(headers, body, 1_531_420_618_000)).toMatchObject({ ok: true })
    expect(hook.prove(headers, body, 1_531_420_618_000 + 301_000)).toEqual({ ok: false, status: 401, reason: 'the time stamp is 301 s old, and 300 s are allowed' }) // prettier-ignore
  })

  test('Standard Webhooks: the vector of the reference libraries, and of Svix', () => {
    const hook = hookOf({ scheme: 'standard', secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' })
    const body = Buffer.from('{"test": 2432232314}')
    const values = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestamp: '1614265330', signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=' } // prettier-ignore
    for (const prefix of ['webhook', 'svix']) {
      const headers = Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}-${name}`, value]))
      expect(hook.prove(headers, body, 1_614_265_330_000)).toEqual({ ok: true, id: values.id })
      const several = { ...headers, [`${prefix}-signature`]: `v1a,other v1,wrong ${values.signature}` }
      expect(hook.prove(several, body, 1_614_265_330_000)).toMatchObject({ ok: true })
    }
  })

  test('Stripe: "Verify webhook signatures manually", a header of that form over timestamp, dot and body', () => {
    const hook = hookOf({ scheme: 'stripe', secret: 'whsec_test' })
    const body = '{"id":"evt_1NG8Du2eZvKYlo2CUI79vXWy","object":"event","type":"invoice.paid"}'
    const v0 = '6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39'
    const signed = (timestamp: number): string => `t=${timestamp},v1=${hmac(`${timestamp}.${body}`, 'whsec_test')},v0=${v0}` // prettier-ignore
    const prove = (header: string, text = body) => hook.prove({ 'stripe-signature': header }, Buffer.from(text), NOW)
    expect(prove(signed(NOW_S))).toEqual({ ok: true, id: 'evt_1NG8Du2eZvKYlo2CUI79vXWy', event: 'invoice.paid' })
    expect(prove(`t=${NOW_S},v1=${'0'.repeat(64)},v1=${hmac(`${NOW_S}.${body}`, 'whsec_test')}`)).toMatchObject({ ok: true }) // prettier-ignore
    expect(prove(signed(NOW_S - 300))).toMatchObject({ ok: true })
    expect(prove(signed(NOW_S - 301))).toMatchObject({ ok: false, reason: expect.stringContaining('301 s old') as string }) // prettier-ignore
    expect(prove(signed(NOW_S + 301))).toMatchObject({ ok: false, reason: expect.stringContaining('301 s ahead') as string }) // prettier-ignore
    expect(prove(signed(NOW_S), `${body} `)).toMatchObject({ ok: false, status: 401 })
    // A signature of the old scheme alone is none.
    expect(prove(`t=${NOW_S},v0=${hmac(`${NOW_S}.${body}`, 'whsec_test')}`)).toMatchObject({ ok: false })
    expect(prove(`v1=${hmac(`.${body}`, 'whsec_test')}`)).toMatchObject({ ok: false, reason: 'the time stamp is not in Unix seconds' }) // prettier-ignore
    const other = '[1]'
    expect(prove(`t=${NOW_S},v1=${hmac(`${NOW_S}.${other}`, 'whsec_test')}`, other)).toEqual({ ok: false, status: 400, reason: 'the body is not an event of Stripe' }) // prettier-ignore
  })

  test.each([
    ['Push Hook', 'push'],
    ['Merge Request Hook', 'merge request'],
    ['System Hook', 'system'],
  ])('GitLab: its token, its event %j and its Idempotency-Key', (event, named) => {
    const hook = hookOf({ scheme: 'gitlab', secret: SECRET })
    const headers = { 'x-gitlab-token': SECRET, 'x-gitlab-event': event, 'idempotency-key': 'f5e4' }
    expect(hook.proveByHeaders(headers)).toEqual({ ok: true, event: named, id: 'f5e4' })
    expect(hook.proveByHeaders({ ...headers, 'x-gitlab-token': `${SECRET}x` })).toMatchObject({
      ok: false,
      status: 401,
    })
    expect(hook.proveByHeaders({ 'x-gitlab-event': event })).toMatchObject({ ok: false })
  })
})

describe('a generic HMAC', () => {
  const BODY = Buffer.from([0, 255, 10, 13])

  test.each([
    ['hex in SHA-256', {}, hmac(BODY)],
    ['base64, as Shopify has it', { encoding: 'base64' }, hmac(BODY, SECRET, 'base64')],
    ['with a prefix', { signaturePrefix: 'sha256=' }, `sha256=${hmac(BODY)}`],
    ['of the previous secret', { secret: 'new', previousSecret: SECRET }, hmac(BODY)],
  ])('%s', (_, config, signature) => {
    const hook = hookOf({ scheme: 'hmac', secret: SECRET, ...config })
    const prove = (given: string) => hook.prove({ 'x-signature': given }, BODY, NOW)
    expect(prove(signature)).toEqual({ ok: true })
    expect(hook.proveByHeaders({ 'x-signature': signature })).toBeUndefined()
    const last = signature.at(-1) === '0' ? '1' : '0'
    for (const wrong of [signature.slice(0, -2), `${signature}00`, '', `${signature.slice(0, -1)}${last}`])
      expect(prove(wrong)).toMatchObject({ ok: false, status: 401 })
  })

  test.each(['sha1', 'sha384', 'sha512'])('%s', async (algorithm) => {
    const { createHmac } = await import('node:crypto')
    const signature = createHmac(algorithm, SECRET).update(BODY).digest('hex')
    const hook = hookOf({ scheme: 'hmac', secret: SECRET, algorithm })
    expect(hook.prove({ 'x-signature': signature }, BODY, NOW)).toEqual({ ok: true })
    expect(hook.prove({ 'x-signature': hmac(BODY) }, BODY, NOW)).toMatchObject({ ok: false })
  })

  test('over id, time stamp and body: none of them can be changed', () => {
    const hook = hookOf({
      scheme: 'hmac',
      secret: SECRET,
      signed: '{id}.{timestamp}.{body}!',
      timestampHeader: 'X-Time',
      idHeader: 'X-Id',
      eventHeader: 'X-Event',
    })
    const headers = { 'x-id': '$&', 'x-time': String(NOW_S), 'x-event': 'made', 'x-signature': hmac(`$&.${NOW_S}.body!`) } // prettier-ignore
    expect(hook.prove(headers, Buffer.from('body'), NOW)).toEqual({ ok: true, id: '$&', event: 'made' })
    for (const changed of [{ 'x-id': 'other' }, { 'x-time': String(NOW_S + 1) }, { 'x-signature': hmac('body') }])
      expect(hook.prove({ ...headers, ...changed }, Buffer.from('body'), NOW)).toMatchObject({ ok: false })
    for (const name of Object.keys(headers).filter((one) => one !== 'x-event'))
      expect(hook.prove({ ...headers, [name]: undefined }, Buffer.from('body'), NOW)).toMatchObject({ ok: false, reason: expect.stringMatching(new RegExp(`the header ${name} is missing`, 'i')) as string }) // prettier-ignore
  })

  test('whose time is signed is its own id, so that a recorded one is known', () => {
    const hook = hookOf({ scheme: 'hmac', secret: SECRET, signed: '{timestamp}{body}', timestampHeader: 'X-Time' })
    const signature = hmac(`${NOW_S}body`)
    expect(hook.prove({ 'x-time': String(NOW_S), 'x-signature': signature }, Buffer.from('body'), NOW)).toEqual({ ok: true, id: signature }) // prettier-ignore
  })

  test('is the same request however its hexadecimal digits are written', () => {
    const hook = hookOf({ scheme: 'hmac', secret: SECRET, signed: '{timestamp}{body}', timestampHeader: 'X-Time' })
    const signature = hmac(`${NOW_S}body`)
    const recorded = { 'x-time': String(NOW_S), 'x-signature': signature.toUpperCase() }
    expect(hook.prove(recorded, Buffer.from('body'), NOW)).toEqual({ ok: true, id: signature })
  })
})

describe('credentials', () => {
  test('a bearer token', () => {
    const hook = hookOf({ scheme: 'bearer', secret: SECRET, previousSecret: 'old', idHeader: 'X-Id' })
    expect(hook.proveByHeaders({ authorization: `Bearer ${SECRET}`, 'x-id': '1' })).toEqual({ ok: true, id: '1' })
    expect(hook.proveByHeaders({ authorization: 'Bearer old' })).toEqual({ ok: true })
    for (const authorization of ['Bearer other', `Basic ${SECRET}`, undefined])
      expect(hook.proveByHeaders({ authorization })).toEqual({ ok: false, status: 401, reason: 'the bearer token is missing or wrong' }) // prettier-ignore
    expect(hook.challenge).toBe('Bearer')
  })

  test('a user and a password', () => {
    const hook = hookOf({ scheme: 'basic', username: 'me', secret: SECRET })
    const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`
    expect(hook.proveByHeaders({ authorization: basic(`me:${SECRET}`) })).toEqual({ ok: true })
    for (const text of [`you:${SECRET}`, 'me:', 'me', ''])
      expect(hook.proveByHeaders({ authorization: basic(text) })).toMatchObject({ ok: false, status: 401 })
  })

  test('none, when that is what was asked for', () => {
    expect(hookOf({ scheme: 'none', eventHeader: 'X-Event' }).proveByHeaders({ 'x-event': 'made' })).toEqual({ ok: true, event: 'made' }) // prettier-ignore
  })
})
