// The source over real HTTP: what is taken, what is refused and how, and what becomes an event.

import { request } from 'node:http'
import { mkdtempDisposableSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { HubError, ManualClock } from '../../src/sdk/index.ts'
import type { FunctionResult } from '../../src/sdk/index.ts'
import { SourceRig } from '../../test/source-rig.ts'
import connector from './connector.ts'
import { Hooks, SECRET, ack, hmac } from './rig.ts'

const GITHUB = { name: 'github', scheme: 'github', secret: SECRET }
const OPEN = { name: 'open', scheme: 'none' }

const said = async (response: Response): Promise<unknown> => [response.status, (await response.text()).trim()]

describe('a request', () => {
  test('becomes an event of its hook and its kind, with everything but its secrets', async () => {
    await using hooks = await Hooks.open({ hooks: [GITHUB] }, ['github'])
    const body = '{"ref":"refs/heads/main"}'
    const response = await hooks.post('/hooks/github?from=org', body, {
      'Content-Type': 'application/json',
      'X-GitHub-Event': 'push',
      'X-GitHub-Delivery': '72d3162e',
      'X-Hub-Signature-256': `sha256=${hmac(body)}`,
      'User-Agent': 'GitHub-Hookshot/044aadd',
      Authorization: 'Bearer of-somebody-else',
      Cookie: 'session=1',
      'X-Forwarded-For': '10.0.0.1',
      'X-Callback-Url': 'http://elsewhere/',
    })
    expect(await said(response)).toEqual([202, 'accepted'])
    expect(response.headers.get('x-webhook-id')).toBe('webhook:github/72d3162e')
    const [delivery] = await hooks.rig.arrived(1)
    const { body: bytes, headers, timestampMs, ...message } = delivery?.message ?? { body: [], headers: {}, timestampMs: 0 } // prettier-ignore
    expect(message).toEqual({
      id: 'webhook:github/72d3162e',
      source: 'webhook',
      topic: 'github:push',
      contentType: 'application/json',
      attempt: 1,
      path: '?from=org',
    })
    expect(Buffer.from(bytes).toString()).toBe(body)
    expect(Math.abs(timestampMs - Date.now())).toBeLessThan(60_000)
    expect(headers).toEqual({
      'X-Webhook-Hook': 'github',
      'X-Webhook-Event': 'push',
      'X-Webhook-Id': '72d3162e',
      'X-Webhook-Caller': '127.0.0.1',
      'x-github-event': 'push',
      'x-github-delivery': '72d3162e',
      'x-hub-signature-256': `sha256=${hmac(body)}`,
      'X-Webhook-user-agent': 'GitHub-Hookshot/044aadd',
      'accept-language': '*',
      'sec-fetch-mode': 'cors',
    })
    expect(await ack(delivery)).toBe('settled')
  })

  test('whose event is not fit for a topic is, after all', async () => {
    await using hooks = await Hooks.open({ hooks: [{ name: 'lab', scheme: 'gitlab', secret: SECRET }] }, ['lab:merge_request']) // prettier-ignore
    await hooks.post('/hooks/lab', '{}', { 'X-Gitlab-Token': SECRET, 'X-Gitlab-Event': 'Merge Request Hook' })
    const [delivery] = await hooks.rig.arrived(1)
    expect(delivery?.message.topic).toBe('lab:merge_request')
    expect(JSON.stringify(delivery?.message.headers)).not.toContain(SECRET)
  })

  test('whose id is not fit for a header is answered all the same', async () => {
    const clock = new ManualClock(Date.UTC(2026, 0, 1))
    const seconds = clock.now() / 1000
    await using hooks = await Hooks.open({ hooks: [{ name: 'stripe', scheme: 'stripe', secret: SECRET }] }, ['stripe'], { clock }) // prettier-ignore
    const body = '{"id":"evt \u2713\\n","type":"paid"}'
    const response = await hooks.post('/hooks/stripe', body, { 'Stripe-Signature': `t=${seconds},v1=${hmac(`${seconds}.${body}`)}` }) // prettier-ignore
    const id = Buffer.from('webhook:stripe/evt \u2713\n').toString('base64')
    expect([response.status, response.headers.get('x-webhook-id'), response.headers.get('x-webhook-id-enc')]).toEqual([202, id, 'b64']) // prettier-ignore
    await hooks.rig.arrived(1)
  })

  test('that no function wants is answered so, and not kept', async () => {
    await using hooks = await Hooks.open({ hooks: [GITHUB] }, ['github:push'])
    expect(await said(await hooks.github('ping', '{}', '1'))).toEqual([200, 'no function has the topic github:ping'])
    await hooks.rig.subscribe(['github:push', 'github:*'])
    expect(await said(await hooks.github('ping', '{}', '1'))).toEqual([202, 'accepted'])
    await hooks.rig.subscribe([])
    expect(await said(await hooks.github('push', '{}', '2'))).toEqual([200, 'no function has the topic github:push'])
    await hooks.rig.arrived(1)
    expect(hooks.rig.gauges['webhook_stored_events']?.()).toEqual([{ labels: [], value: 1 }])
  })

  test.each([
    ['another hook', 'POST', '/hooks/gitlab', 404, 'there is no such hook'],
    ['below a hook', 'POST', '/hooks/github/../../system/functions', 404, 'there is no such hook'],
    ['with an escaped name', 'POST', '/hooks/%67ithub', 404, 'there is no such hook'],
    ['elsewhere', 'POST', '/', 404, 'there is no such hook'],
    ['read', 'GET', '/hooks/github', 405, 'only POST'],
    ['without a signature', 'POST', '/hooks/github', 401, 'the header X-Hub-Signature-256 is missing'],
  ])('%s is refused', async (_, method, path, status, line) => {
    await using hooks = await Hooks.open({ hooks: [GITHUB] }, ['github'])
    // Not by fetch, which tidies the path up.
    const answer = await new Promise<[number, string, unknown]>((resolve, reject) => {
      const call = request({ port: new URL(hooks.address).port, host: '127.0.0.1', method, path }, (response) => {
        let text = ''
        response.on('data', (chunk) => (text += String(chunk))).on('end', () => resolve([response.statusCode ?? 0, text.trim(), response.headers.allow ?? response.headers['www-authenticate']])) // prettier-ignore
      })
      call.on('error', reject)
      call.end()
    })
    expect(answer).toEqual([status, line, status === 405 ? 'POST' : status === 401 ? 'Signature' : undefined])
    expect(hooks.rig.arrivals).toEqual([])
  })

  test('over the bound is refused with 413, whatever it proves', async () => {
    await using hooks = await Hooks.open({ hooks: [GITHUB], listen: { bodyMax: '100B' } }, ['github'])
    expect((await hooks.github('push', 'x'.repeat(101), '1')).status).toBe(413)
    expect((await hooks.github('push', 'x'.repeat(100), '2')).status).toBe(202)
  })

  test('with wrong credentials may not even send its body', async () => {
    await using hooks = await Hooks.open({ hooks: [{ name: 'b', scheme: 'bearer', secret: SECRET }], listen: { bodyMax: '100B' } }, ['b']) // prettier-ignore
    const response = await hooks.post('/hooks/b', 'x'.repeat(101), { Authorization: 'Bearer wrong' })
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
    expect(hooks.rig.log.lines.join('\n')).toContain('a request of 127.0.0.1 is refused: the bearer token is missing or wrong') // prettier-ignore
  })

  test('refused is a line a minute, with how many there were', async () => {
    const clock = new ManualClock()
    await using hooks = await Hooks.open({ hooks: [GITHUB] }, ['github'], { clock })
    const lines = (): readonly string[] => hooks.rig.log.lines.filter((line) => line.includes('webhook.refused'))
    for (let round = 0; round < 3; round++) expect((await hooks.github('push', '{}', '1', 'wrong')).status).toBe(401)
    expect(lines()).toHaveLength(1)
    await clock.advance(60_000)
    await hooks.github('push', '{}', '1', 'wrong')
    expect(lines()).toHaveLength(2)
    expect(lines()[1]).toContain('(and 2 before it)')
    expect(hooks.rig.counts['webhook_requests_total']).toBe(4)
  })
})

describe('sent again', () => {
  test('it is taken once within the replay window, and again after it', async () => {
    const clock = new ManualClock(Date.UTC(2026, 0, 1))
    await using hooks = await Hooks.open({ hooks: [GITHUB], replayWindow: '10m' }, ['github'], { clock })
    hooks.rig.ackAll = true
    expect(await said(await hooks.github('push', '{}', 'one'))).toEqual([202, 'accepted'])
    await hooks.rig.arrived(1)
    expect(await said(await hooks.github('push', '{}', 'one'))).toEqual([202, 'accepted before'])
    expect(await said(await hooks.github('push', '{}', 'two'))).toEqual([202, 'accepted'])
    await hooks.rig.arrived(2)
    await clock.advance(600_000)
    expect(await said(await hooks.github('push', '{}', 'one'))).toEqual([202, 'accepted'])
    await hooks.rig.arrived(3)
  })

  test.each([
    ['without an id', { hooks: [OPEN] }],
    ['with the window closed', { hooks: [{ ...OPEN, idHeader: 'X-Id' }], replayWindow: '0s' }],
  ])('%s it is taken every time', async (_, config) => {
    await using hooks = await Hooks.open(config, ['open'])
    for (let round = 0; round < 2; round++) await hooks.post('/hooks/open', 'same', { 'X-Id': '1' })
    const arrivals = await hooks.rig.arrived(2)
    expect(arrivals.map(({ message }) => message.topic)).toEqual(['open', 'open'])
  })
})

describe('limits', () => {
  test('a caller that sends too much is told when to come again, and others are served', async () => {
    const clock = new ManualClock()
    const config = {
      hooks: [OPEN, { ...OPEN, name: 'other' }],
      rateLimit: { perSecond: 2, burst: 3 },
      trustedProxies: 1,
    }
    await using hooks = await Hooks.open(config, ['open', 'other'], { clock })
    const from = async (caller: string, hook = 'open'): Promise<unknown> => {
      const { status, headers } = await hooks.post(`/hooks/${hook}`, '', { 'X-Forwarded-For': `spoofed, ${caller}` })
      return status === 429 ? [status, headers.get('retry-after')] : status
    }
    expect([await from('a'), await from('a'), await from('a')]).toEqual([202, 202, 202])
    expect(await from('a')).toEqual([429, '1'])
    expect([await from('b'), await from('a', 'other')]).toEqual([202, 202])
    await clock.advance(500)
    expect(await from('a')).toBe(202)
    expect(await from('a')).toEqual([429, '1'])
    const [delivery] = await hooks.rig.arrived(1)
    expect(delivery?.message.headers['X-Webhook-Caller']).toBe('a')
  })

  test('when the disk has had enough, the caller is to come later, and it is not taken for known then', async () => {
    await using hooks = await Hooks.open({ hooks: [GITHUB] }, ['github'], { inboxMax: 1000 })
    expect((await hooks.github('push', 'x'.repeat(600), 'one')).status).toBe(202)
    const full = await hooks.github('push', 'x'.repeat(600), 'two')
    expect([full.status, full.headers.get('retry-after')]).toEqual([503, '30'])
    await ack((await hooks.rig.arrived(1))[0])
    expect(await said(await hooks.github('push', 'x'.repeat(600), 'two'))).toEqual([202, 'accepted'])
  })
})

describe('respond: function', () => {
  const RESULT: FunctionResult = { function: 'f', status: 200, headers: ['Content-Type', 'application/json', 'Connection', 'close', 'Set-Cookie', 'a=1', 'Set-Cookie', 'b=2'], body: Buffer.from('{"challenge":"x"}'), durationMs: 1, retries: 0, retriesMax: 0 } // prettier-ignore
  const CONFIG = { hooks: [{ ...OPEN, idHeader: 'X-Id' }], respond: 'function' }

  test('the caller gets what the function answered, when it is settled', async () => {
    await using hooks = await Hooks.open(CONFIG, ['open'])
    const call = hooks.post('/hooks/open', 'question')
    const [delivery] = await hooks.rig.arrived(1)
    expect(delivery?.responseBytesMax).toBe(1_048_576)
    await delivery?.settle({ kind: 'ack' }, [RESULT])
    const response = await call
    expect([response.status, response.headers.get('content-type'), response.headers.getSetCookie(), response.headers.get('x-function-name'), await response.text()]).toEqual([200, 'application/json', ['a=1', 'b=2'], 'f', '{"challenge":"x"}']) // prettier-ignore
  })

  test('a retry keeps the caller waiting for the next attempt', async () => {
    await using hooks = await Hooks.open(CONFIG, ['open'])
    const call = hooks.post('/hooks/open', 'question')
    const [first] = await hooks.rig.arrived(1)
    await first?.settle({ kind: 'retry', delayMs: 1, reason: 'answered 500' }, [{ ...RESULT, status: 500 }])
    const [, second] = await hooks.rig.arrived(2)
    expect(second?.message.attempt).toBe(2)
    await second?.settle({ kind: 'ack' }, [RESULT])
    expect((await call).status).toBe(200)
  })

  test('of several functions a failure is told; of none, nothing', async () => {
    await using hooks = await Hooks.open(CONFIG, ['open'])
    const one = hooks.post('/hooks/open', 'one')
    const [first] = await hooks.rig.arrived(1)
    await first?.settle({ kind: 'reject', reason: 'answered 422', letters: [] }, [{ ...RESULT, function: 'a' }, { ...RESULT, function: 'z', status: 422 }]) // prettier-ignore
    expect([(await one).status, (await one).headers.get('x-function-name')]).toEqual([422, 'z'])
    const two = hooks.post('/hooks/open', 'two')
    const [, second] = await hooks.rig.arrived(2)
    await second?.settle({ kind: 'ack' }, [])
    expect((await two).status).toBe(204)
  })

  test('what failed for good may be sent again; what was done is known', async () => {
    await using hooks = await Hooks.open(CONFIG, ['open'])
    const send = () => hooks.post('/hooks/open', 'it', { 'X-Id': '1' })
    const failing = send()
    const [first] = await hooks.rig.arrived(1)
    await first?.settle({ kind: 'reject', reason: 'answered 400', letters: [] }, [{ ...RESULT, status: 400 }])
    expect((await failing).status).toBe(400)
    const again = send()
    const [, second] = await hooks.rig.arrived(2)
    await second?.settle({ kind: 'ack' }, [RESULT])
    expect((await again).status).toBe(200)
    expect(await said(await send())).toEqual([202, 'accepted before'])
  })

  test('one that is sent again is not waited for, and the first caller still gets the answer', async () => {
    await using hooks = await Hooks.open(CONFIG, ['open'])
    const send = () => hooks.post('/hooks/open', 'it', { 'X-Id': '1' })
    const first = send()
    const [delivery] = await hooks.rig.arrived(1)
    expect(await said(await send())).toEqual([202, 'accepted before'])
    await delivery?.settle({ kind: 'ack' }, [RESULT])
    expect(await said(await first)).toEqual([200, '{"challenge":"x"}'])
  })

  test('a function that takes too long is not waited for, and runs all the same', async () => {
    const clock = new ManualClock()
    await using hooks = await Hooks.open({ ...CONFIG, respondTimeout: '5s' }, ['open'], { clock })
    const call = hooks.post('/hooks/open', 'slow')
    const [delivery] = await hooks.rig.arrived(1)
    await clock.advance(5000)
    expect(await said(await call)).toEqual([202, 'accepted'])
    expect(await delivery?.settle({ kind: 'ack' }, [RESULT])).toBe('settled')
  })

  test('a source that closes answers who waits: it is stored, and the next one has it', async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'webhook-test-'))
    const inboxPath = join(folder.path, 'inbox.db')
    const hooks = await Hooks.open(CONFIG, ['open'], { inboxPath })
    const call = hooks.post('/hooks/open', 'kept')
    await hooks.rig.arrived(1)
    await hooks[Symbol.asyncDispose]()
    expect(await said(await call)).toEqual([202, 'accepted'])
    await using next = await Hooks.open(CONFIG, ['open'], { inboxPath })
    await next.rig.arrived(1)
    expect(next.rig.bodies).toEqual(['kept'])
  })
})

describe('a configuration', () => {
  const problem = (config: Readonly<Record<string, unknown>>): string => {
    try {
      return typeof new SourceRig(connector, config).source
    } catch (error) {
      if (!(error instanceof HubError) || error.code !== 'HUB_CONFIG_INVALID') throw error
      return error.message
    }
  }

  test.each([
    [{}, 'hooks is required'],
    [{ hooks: ['github'] }, 'hooks.0.scheme is required'],
    [{ hooks: [{ name: 'a/b', scheme: 'none' }] }, 'hooks.0.name must be letters'],
    [{ hooks: [{ name: 'a', scheme: 'githb', secret: 'x' }] }, 'did you mean github?'],
    [
      { hooks: [{ name: 'a', scheme: 'github' }] },
      'hooks.0 (a) cannot work: secret (or secretFile) is required with scheme: github',
    ],
    [{ hooks: [{ name: 'a', scheme: 'basic', secret: 'x' }] }, 'username is required'],
    [{ hooks: [{ name: 'a', scheme: 'gitlab', secret: '' }] }, 'a secret must not be empty'],
    [{ hooks: [{ name: 'a', scheme: 'bearer', secret: 'x', previousSecret: '' }] }, 'a secret must not be empty'],
    [{ hooks: [{ name: 'a', scheme: 'hmac', secret: 'x', signed: '{timestamp}.{body}' }] }, 'timestampHeader and {timestamp} in signed belong together'], // prettier-ignore
    [{ hooks: [{ name: 'a', scheme: 'hmac', secret: 'x', timestampHeader: 'X-T' }] }, 'belong together'],
    [{ hooks: [{ name: 'a', scheme: 'hmac', secret: 'x', signed: '{id}{body}' }] }, 'idHeader is required'],
    [{ hooks: [{ name: 'a', scheme: 'hmac', secret: 'x', signed: '{bdy}' }] }, 'must contain {body} once'],
    [{ hooks: [{ name: 'a', scheme: 'standard', secret: 'whsec_!' }] }, 'must be base64'],
    [{ hooks: [OPEN, OPEN] }, 'hooks.1 has the name of another one, open'],
    [{ hooks: [OPEN], listen: { certFile: 'x' } }, 'certFile and keyFile, which belong together'],
    [{ hooks: [OPEN], path: '/hooks/' }, 'path must begin with / and have no / at its end'],
    [{ hooks: [{ ...GITHUB, secretFile: '/x' }] }, 'hooks.0.secretFile cannot be set together with secret'],
  ] as const)('%j: %s', (config, line) => {
    expect(problem(config)).toContain(line)
  })

  test('takes the secret of a hook from a file', async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'webhook-test-'))
    const secretFile = join(folder.path, 'secret')
    writeFileSync(secretFile, `${SECRET}\n`)
    await using hooks = await Hooks.open({ hooks: [{ name: 'github', scheme: 'github', secretFile }] }, ['github'])
    expect((await hooks.github('push', '{}', '1')).status).toBe(202)
  })

  test('probe says which hooks there are', async () => {
    const { source } = new SourceRig(connector, { hooks: [GITHUB] })
    const report = await source.probe(['github:push', 'gitlab'], new AbortController().signal)
    expect(report.topics.map(({ ok, detail }) => [ok, detail])).toEqual([[true, 'scheme: github'], [false, 'no hook is called gitlab']]) // prettier-ignore
  })
})
