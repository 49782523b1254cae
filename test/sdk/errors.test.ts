import { expect, test } from 'vitest'

import { ERROR_CODES, HubError, Secret, asHubError, errorText, redactUrl } from '../../src/sdk/index.ts'
import { inspect } from 'node:util'

test('every code says what it means and how it is mended, in sentences', () => {
  for (const [code, { meaning, fix }] of Object.entries(ERROR_CODES)) {
    expect(code).toMatch(/^HUB_[A-Z]+(_[A-Z]+)*$/)
    expect(meaning).toMatch(/\.$/)
    expect(fix).toMatch(/[.`]$/)
  }
})

test('an error carries its code, whether waiting helps, a hint and its cause', () => {
  const cause = new Error('ECONNREFUSED')
  const plain = new HubError('HUB_SOURCE_AUTH', 'refused')
  expect([plain.name, plain.code, plain.canRetry, plain.hint, plain.details]).toEqual([
    'HubError', 'HUB_SOURCE_AUTH', false, ERROR_CODES.HUB_SOURCE_AUTH.fix, {},
  ]) // prettier-ignore
  expect('cause' in plain).toBe(false)
  const full = new HubError('HUB_SOURCE_LOST', 'lost', { cause, canRetry: true, hint: 'wait', details: { port: 1 } })
  expect([full.canRetry, full.hint, full.details, full.cause]).toEqual([true, 'wait', { port: 1 }, cause])
})

test('anything thrown becomes a HubError; a HubError stays what it is', () => {
  const own = new HubError('HUB_USAGE', 'what?')
  expect(asHubError(own, 'HUB_INTERNAL', true)).toBe(own)
  const wrapped = asHubError('text', 'HUB_SOURCE_UNREACHABLE', true)
  expect([wrapped.code, wrapped.message, wrapped.canRetry, wrapped.cause]).toEqual(['HUB_SOURCE_UNREACHABLE', 'text', true, 'text']) // prettier-ignore
})

test('an error is one line for a person, also where Node leaves the message empty', () => {
  expect(errorText(new AggregateError([new Error('a'), new Error('b')]))).toBe('a; b')
  expect(errorText(new AggregateError([new Error('a')], 'all failed'))).toBe('all failed')
  expect(errorText(Object.assign(new Error(''), { code: 'ECONNRESET' }))).toBe('ECONNRESET')
  expect(errorText(new TypeError(''))).toBe('TypeError')
  const openSsl =
    '40BDC3F9397F0000:error:0A00010B:SSL routines:tls_validate_record_header:wrong version number:tlsany_meth.c:77:'
  expect(errorText(Object.assign(new Error(openSsl), { reason: 'wrong version number' }))).toBe(
    'TLS: wrong version number',
  )
  expect(errorText(undefined)).toBe('undefined')
})

test('a secret is printed by no usual way', () => {
  const secret = new Secret('hunter2')
  const printed = [['', secret].join(''), JSON.stringify({ secret }), inspect({ secret }, { depth: 9, showHidden: true }), String(secret)] // prettier-ignore
  for (const text of printed) expect(text).not.toContain('hunter2')
  expect(secret.reveal()).toBe('hunter2')
})

test.each([
  ['mqtt://user:pa55@host:1883/x', 'mqtt://host:1883/x'],
  ['mqtt://user@host', 'mqtt://host'],
  ['mqtt://host:1883', 'mqtt://host:1883'],
  ['user:pa55@host:9092', 'host:9092'],
  ['mqtt://us/er:pa55@ho st', 'mqtt://ho st'],
  ['mqtt://user:p@55@host', 'mqtt://host'],
  ['unix:/run/broker.sock', 'unix:/run/broker.sock'],
])('%s is shown as %s', (url, shown) => {
  expect(redactUrl(url)).toBe(shown)
})
