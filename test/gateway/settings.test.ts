// The environment names of OpenFaaS's gateway (OpenFaaS contract, gateway environment).

import { describe, expect, test } from 'vitest'

import { readGatewaySettings } from '../../src/gateway/settings.ts'

test('without any, the values of the chart', () => {
  const { settings, notes } = readGatewaySettings({})
  expect(settings).toMatchObject({
    namespace: 'openfaas-fn',
    readTimeoutMs: 65_000,
    writeTimeoutMs: 65_000,
    upstreamTimeoutMs: 60_000,
    scaleFromZero: false,
    writeRequestUri: false,
  })
  expect(notes).toEqual([])
})

test('each is taken as it is set', () => {
  const { settings, notes } = readGatewaySettings({
    read_timeout: '5m5s',
    write_timeout: '305',
    upstream_timeout: '5m',
    scale_from_zero: 'true',
    function_namespace: 'fn',
    write_request_uri: '1',
  })
  expect(settings).toMatchObject({
    namespace: 'fn',
    readTimeoutMs: 305_000,
    writeTimeoutMs: 305_000,
    upstreamTimeoutMs: 300_000,
    scaleFromZero: true,
    writeRequestUri: true,
  })
  expect(notes).toEqual([])
})

test('a longer upstream_timeout alone is not cut off by the other two', () => {
  expect(readGatewaySettings({ upstream_timeout: '120' }).settings).toMatchObject({
    readTimeoutMs: 125_000,
    writeTimeoutMs: 125_000,
  })
})

describe('what does nothing, or harm, is said', () => {
  test.each([
    'functions_provider_url',
    'logs_provider_url',
    'faas_prometheus_host',
    'faas_prometheus_port',
    'max_idle_conns',
    'max_idle_conns_per_host',
    'auth_proxy_pass_body',
  ])('%s', (name) => {
    expect(readGatewaySettings({ [name]: '1024' }).notes).toEqual([expect.stringMatching(`^${name} has no effect: `)])
  })

  test('a write_timeout that ends before the call does', () => {
    expect(readGatewaySettings({ write_timeout: '30' }).notes).toEqual([
      'write_timeout 30s cuts calls off before upstream_timeout 1m answers them with 502',
    ])
  })
})

describe('what cannot be meant is refused', () => {
  test.each([
    ['upstream_timeout', 'soon'],
    ['upstream_timeout', '0'],
    ['read_timeout', '-1s'],
    ['read_timeout', '1.5'],
    ['write_timeout', '600h'],
    ['scale_from_zero', 'perhaps'],
    ['function_namespace', 'Not A Namespace'],
    // Refused, because calls would be let in that somebody wants checked.
    ['auth_proxy_url', 'http://auth:8080'],
  ])('%s %s', (name, value) => {
    expect(() => readGatewaySettings({ [name]: value })).toThrow(
      expect.objectContaining({ code: 'HUB_CONFIG_INVALID' }),
    )
  })
})
