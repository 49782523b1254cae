import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, onTestFinished, test } from 'vitest'

import { isTlsFailure, parseConfig, tlsFields, tlsSettings } from '../../src/sdk/index.ts'

test('files become their contents, and nothing is left out by default but what is not set', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hub-tls-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = (name: string): string => {
    const path = join(folder, name)
    writeFileSync(path, name)
    return path
  }
  expect(tlsSettings(parseConfig(tlsFields, {}))).toEqual({ rejectUnauthorized: true })
  const given = { caFile: file('ca'), certFile: file('cert'), keyFile: file('key'), serverName: 'broker', insecureSkipVerify: true } // prettier-ignore
  expect(tlsSettings(parseConfig(tlsFields, given))).toEqual({
    ca: 'ca',
    cert: 'cert',
    key: 'key',
    servername: 'broker',
    rejectUnauthorized: false,
  })
})

test('a file that cannot be read is an error that names its key', () => {
  const config = parseConfig(tlsFields, { keyFile: '/nowhere/key.pem' })
  expect(() => tlsSettings(config)).toThrowError(
    expect.objectContaining({ code: 'HUB_SOURCE_TLS', message: expect.stringContaining('tls.keyFile') }),
  )
})

test.each([
  ['SELF_SIGNED_CERT_IN_CHAIN', true],
  ['ERR_TLS_CERT_ALTNAME_INVALID', true],
  ['ECONNREFUSED', false],
  [undefined, false],
])('%s is a failure of TLS: %s', (code, expected) => {
  expect(isTlsFailure(Object.assign(new Error('x'), { code }))).toBe(expected)
})
