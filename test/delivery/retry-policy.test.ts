import { describe, expect, test } from 'vitest'

import { decide } from '../../src/delivery/retry-policy.ts'
import type { Outcome } from '../../src/invoke/outcome.ts'
import { HubError } from '../../src/sdk/index.ts'
import type { RetrySettings } from '../../src/sdk/index.ts'
import { SETTINGS, UNREACHABLE, answered } from './rig.ts'

const { retry: RETRY } = SETTINGS

const kind = (outcome: Outcome, settings: Partial<RetrySettings> = {}, retriesMade = 0): string =>
  decide(outcome, retriesMade, { ...RETRY, ...settings }).kind

const delay = (outcome: Outcome, settings: Partial<RetrySettings> = {}, retriesMade = 0, random = 0): number => {
  const verdict = decide(outcome, retriesMade, { ...RETRY, attempts: 10, ...settings }, () => random)
  return verdict.kind === 'retry' ? verdict.delayMs : Number.NaN
}

describe('a status', () => {
  test.each([200, 201, 202, 204, 299])('%i is done', (status) => expect(kind(answered(status))).toBe('ack'))
  test.each([408, 425, 429, 500, 502, 503, 504, 599])('%i is retried', (status) =>
    expect(kind(answered(status))).toBe('retry'),
  )
  test.each([300, 301, 400, 401, 403, 404, 409, 422, 499])('%i is final', (status) =>
    expect(kind(answered(status))).toBe('reject'),
  )

  test('is retried as the codes of the function say, when it names some', () => {
    const codes = new Set([404])
    expect([kind(answered(404), { codes }), kind(answered(500), { codes }), kind(answered(200), { codes })]).toEqual([
      'retry',
      'reject',
      'ack',
    ])
  })

  test('of a redirect is done where it counts as an answer, unless the codes or the platform want it again', () => {
    const settings = { redirectsSucceed: true }
    expect([300, 302, 308, 399].map((status) => kind(answered(status), settings))).toEqual(Array(4).fill('ack'))
    expect([299, 400, 404].map((status) => kind(answered(status), settings))).toEqual(['ack', 'reject', 'reject'])
    expect(kind(answered(302), { ...settings, codes: new Set([302]) })).toBe('retry')
    expect(kind(answered(302, { internal: true }), settings)).toBe('retry')
  })

  test('of the platform is always retried', () => {
    expect(kind(answered(404, { internal: true }), { codes: new Set() })).toBe('retry')
  })
})

test('no answer is retried, an acceptance is done, an outage waits, a withdrawal is no failure', () => {
  const interrupted = (code: 'HUB_INVOKE_TIMEOUT' | 'HUB_INVOKE_INTERRUPTED'): Outcome => ({
    kind: 'interrupted',
    error: new HubError(code, 'x', { canRetry: true }),
    durationMs: 1,
  })
  expect(decide(interrupted('HUB_INVOKE_TIMEOUT'), 0, RETRY)).toMatchObject({ kind: 'retry', reason: 'timed out' })
  expect(decide(interrupted('HUB_INVOKE_INTERRUPTED'), 2, RETRY)).toEqual({
    kind: 'reject',
    reason: 'the connection broke; gave up after 3 attempts',
  })
  expect(kind({ kind: 'accepted', callId: '', durationMs: 1 })).toBe('ack')
  expect(kind(UNREACHABLE, {}, 99)).toBe('wait')
  expect(kind({ kind: 'cancelled', durationMs: 1 }, {}, 99)).toBe('withdrawn')
})

test('what cannot be sent is given up at once, with the reason', () => {
  const error = new HubError('HUB_INVOKE_INTERRUPTED', 'x', { cause: new Error('invalid X-A header') })
  const verdict = decide({ kind: 'interrupted', error, durationMs: 0 }, 0, RETRY)
  expect(verdict).toEqual({ kind: 'reject', reason: 'the request cannot be sent: invalid X-A header' })
})

test('gives up after the retries that are allowed', () => {
  expect([0, 1, 2].map((made) => kind(answered(500), { attempts: 2 }, made))).toEqual(['retry', 'retry', 'reject'])
  expect(decide(answered(500), 0, { ...RETRY, attempts: 0 })).toEqual({
    kind: 'reject',
    reason: 'answered 500; gave up after 1 attempt',
  })
})

test('waits exponentially, capped and jittered', () => {
  expect([0, 1, 2, 9].map((made) => delay(answered(500), {}, made))).toEqual([1000, 2000, 4000, 60_000])
  expect(delay(answered(500), { jitter: 'full' }, 1, 0.25)).toBe(500)
  expect(delay(answered(500), { jitter: 'equal' }, 1, 0)).toBe(1000)
})

test('Retry-After wins, but not below the minimum wait and not beyond an hour', () => {
  expect([0, 5000, 86_400_000].map((retryAfterMs) => delay(answered(429, { retryAfterMs })))).toEqual([
    1000, 5000, 3_600_000,
  ])
})
