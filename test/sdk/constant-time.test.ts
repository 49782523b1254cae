// Credentials as RFC 6750 and RFC 7617 write them, and what is none.

import { expect, test } from 'vitest'

import { basicCredentials, bearerToken, sameSecret } from '../../src/sdk/index.ts'

test.each([
  ['secret', 'secret', true],
  ['secret', 'Secret', false],
  ['secre', 'secret', false],
  ['', 'secret', false],
  ['', '', true],
  ['schlüssel', 'schlüssel', true],
])('%j for %j: %s', (given, wanted, same) => {
  expect(sameSecret(given, wanted)).toBe(same)
})

test.each([
  ['Bearer mF_9.B5f-4.1JqM', 'mF_9.B5f-4.1JqM'], // RFC 6750 §2.1
  ['bearer  token ', 'token'],
  ['Bearer', undefined],
  ['Bearer two words', undefined],
  ['Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==', undefined],
  [undefined, undefined],
])('bearer token of %j: %j', (header, token) => {
  expect(bearerToken(header)).toBe(token)
})

test.each([
  ['Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==', { username: 'Aladdin', password: 'open sesame' }], // RFC 7617 §2
  ['Basic dGVzdDoxMjPCow==', { username: 'test', password: '123£' }], // RFC 7617 §2.1
  [`Basic ${Buffer.from('me:a:b').toString('base64')}`, { username: 'me', password: 'a:b' }],
  [`Basic ${Buffer.from('no-colon').toString('base64')}`, undefined],
  ['Basic ???', undefined],
  ['Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==', undefined],
  [undefined, undefined],
])('basic credentials of %j', (header, credentials) => {
  expect(basicCredentials(header)).toEqual(credentials)
})
