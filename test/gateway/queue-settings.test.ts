// How async calls are retried and queued: annotations over environment over the documented defaults.

import { describe, expect, test } from 'vitest'

import { queueOf, retrySettings } from '../../src/gateway/queue/retry-settings.ts'
import { QUEUE_DEFAULTS, natsSettings, readQueueSettings } from '../../src/gateway/queue/settings.ts'
import type { RetrySettings } from '../../src/sdk/index.ts'

describe('the environment', () => {
  test('without it: 10 retries from 10 s to 120 s on the documented statuses, 50 at once, nothing checked', () => {
    expect(readQueueSettings({})).toEqual({
      queueName: 'faas-request',
      retry: {
        attempts: 10,
        codes: new Set([408, 429, 500, 502, 503, 504]),
        redirectsSucceed: true,
        minWaitMs: 10_000,
        maxWaitMs: 120_000,
        jitter: 'none',
      },
      inFlightMax: 50,
      bodyBytesMax: 1_048_576,
      checksFunctions: false,
      deadLetterBytesMax: 268_435_456,
      drainMs: undefined,
      callbackTimeoutMs: 60_000,
      insecureTls: false,
      ackWaitMs: 60_000,
      nats: undefined,
    })
  })

  test('under the names of the chart', () => {
    const settings = readQueueSettings({
      max_retry_attempts: '100',
      retry_http_codes: '429, 502',
      initial_retry_wait: '0s',
      max_retry_wait: '1m30s',
      backoff: 'equal',
      max_inflight: '1',
      ack_wait: '30',
      tls_insecure: 'true',
      faas_nats_address: 'nats',
      faas_nats_port: '4223',
      faas_nats_channel: 'other-queue',
      async_body_max: '256kB',
      async_dead_letters_max: '1MiB',
      async_check_function: '1',
      async_drain_timeout: '0',
      async_callback_timeout: '5s',
    })
    expect(settings).toEqual({
      queueName: 'other-queue',
      retry: {
        attempts: 100,
        codes: new Set([429, 502]),
        redirectsSucceed: true,
        minWaitMs: 0,
        maxWaitMs: 90_000,
        jitter: 'equal',
      },
      inFlightMax: 1,
      bodyBytesMax: 256_000,
      checksFunctions: true,
      deadLetterBytesMax: 1_048_576,
      drainMs: 0,
      callbackTimeoutMs: 5000,
      insecureTls: true,
      ackWaitMs: 30_000,
      nats: { servers: ['nats://nats:4223'] },
    })
  })

  test.each([
    ['full', 'full'],
    ['exponential', 'none'],
  ])('backoff %s is the jitter %s', (backoff, jitter) => {
    expect(readQueueSettings({ backoff }).retry.jitter).toBe(jitter)
  })

  test('a longest wait below the first one is raised to it', () => {
    expect(readQueueSettings({ initial_retry_wait: '5m' }).retry).toMatchObject({
      minWaitMs: 300_000,
      maxWaitMs: 300_000,
    })
  })

  test.each([
    ['max_retry_attempts', 'many'],
    ['max_retry_attempts', '-1'],
    ['max_retry_attempts', '10000'],
    ['retry_http_codes', '500,,502'],
    ['retry_http_codes', '99'],
    ['initial_retry_wait', 'soon'],
    ['max_retry_wait', '25d'],
    ['backoff', 'linear'],
    ['backoff', 'constructor'],
    ['max_inflight', '0'],
    ['max_inflight', '1.5'],
    ['ack_wait', '999ms'],
    ['tls_insecure', 'maybe'],
    ['faas_nats_channel', 'a.b'],
    ['async_body_max', '1000'],
    ['async_body_max', '1GiB'],
    ['async_dead_letters_max', '0B'],
    ['async_dead_letters_max', 'many'],
    ['async_dead_letters_max', '2TiB'],
    ['async_callback_timeout', '0'],
  ])('%s="%s" is refused by name', (name, value) => {
    expect(() => readQueueSettings({ [name]: value })).toThrow(
      expect.objectContaining({ code: 'HUB_CONFIG_INVALID', message: expect.stringContaining(`${name} "${value}"`) }),
    )
  })
})

describe('the address of NATS', () => {
  test.each([
    ['nats.openfaas', ['nats://nats.openfaas:4222']],
    ['tls://a:1,nats://b', ['tls://a:1', 'nats://b:4222']],
    ['nats://[::1]:4333', ['nats://[::1]:4333']],
  ])('%s', (text, servers) => expect(natsSettings(text)).toEqual({ servers }))

  test('credentials are taken out of it and shown nowhere', () => {
    const settings = natsSettings('nats://us%40er:pa%2Fss@nats')
    expect([settings.servers, settings.username, settings.password?.reveal()]).toEqual([['nats://nats:4222'], 'us@er', 'pa/ss']) // prettier-ignore
    expect(JSON.stringify(settings)).not.toContain('pa/ss')
    expect(natsSettings('nats://token@nats').token?.reveal()).toBe('token')
    const odd = natsSettings('nats://user:100%@nats')
    expect([odd.username, odd.password?.reveal()]).toEqual(['user', '100%'])
  })

  test.each(['http://nats', 'nats://', 'nats://user:secret@:4222', ''])(
    '"%s" is refused without being repeated',
    (text) => {
      expect(() => natsSettings(text)).toThrow(
        expect.objectContaining({ code: 'HUB_CONFIG_INVALID', message: expect.not.stringContaining('secret') }),
      )
    },
  )
})

describe('annotations', () => {
  const prefixed = (settings: Record<string, string>): RetrySettings =>
    retrySettings(
      Object.fromEntries(Object.entries(settings).map(([key, value]) => [`com.openfaas.retry.${key}`, value])),
      QUEUE_DEFAULTS.retry,
    )

  test('come before the settings of the gateway', () => {
    expect(prefixed({ attempts: '3', codes: '500, 503', min_wait: '2s', max_wait: '1m30s' })).toEqual({
      attempts: 3,
      codes: new Set([500, 503]),
      redirectsSucceed: true,
      minWaitMs: 2000,
      maxWaitMs: 90_000,
      jitter: 'none',
    })
  })

  test.each([
    ['attempts', 'many'],
    ['attempts', '-1'],
    ['codes', ''],
    ['codes', '500,teapot'],
    ['codes', '999'],
    ['min_wait', '5'],
    ['max_wait', 'soon'],
  ])('%s: "%s" falls back', (key, value) => {
    expect(prefixed({ [key]: value })).toEqual(QUEUE_DEFAULTS.retry)
  })

  test.each([
    ['slow', 'slow'],
    [' slow ', 'slow'],
    ['', 'faas-request'],
    ['a.b', 'faas-request'],
    ['x'.repeat(64), 'faas-request'],
  ])('com.openfaas.queue: "%s" is the queue %s', (value, queue) => {
    expect(queueOf({ 'com.openfaas.queue': value }, 'faas-request')).toBe(queue)
  })
})
