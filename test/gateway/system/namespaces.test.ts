// `/system/namespaces` and `/system/namespace/…` over raw HTTP, as faas-cli and the SDKs ask (OpenFaaS contract, namespaces).

import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { processFunction, startRig } from '../rig.ts'
import { apiOf } from './api.ts'

const MARK = { openfaas: '1' }
const STAGING = { name: 'staging', labels: MARK, annotations: MARK }

test('created, described, listed, updated, deleted', async () => {
  await using rig = await startRig([])
  const api = apiOf(rig)
  expect(await api.read('/system/namespaces')).toEqual(['openfaas-fn'])
  expect(await api.post('/system/namespace/', STAGING)).toMatchObject({ status: 201, text: '' })
  expect(await api.read('/system/namespaces')).toEqual(['openfaas-fn', 'staging'])
  expect(await api.read('/system/namespace/staging')).toEqual(STAGING)
  const changed = { ...STAGING, labels: { ...MARK, team: 'shop' } }
  expect(await api.put('/system/namespace/staging', changed)).toMatchObject({ status: 202, text: '' })
  expect(await api.read('/system/namespace/staging')).toEqual(changed)
  expect(await api.delete('/system/namespace/staging', { name: 'staging' })).toMatchObject({ status: 202, text: '' })
  expect(await api.read('/system/namespaces')).toEqual(['openfaas-fn'])
  expect(await api.get('/system/namespace/staging')).toMatchObject({
    status: 404,
    text: 'namespace staging not found\n',
  })
})

test('the marker may be a label or an annotation; the name may be in the path, the body of a DELETE missing', async () => {
  await using rig = await startRig([])
  const api = apiOf(rig)
  expect((await api.post('/system/namespace/', { name: 'a', labels: MARK })).status).toBe(201)
  expect((await api.post('/system/namespace/', { name: 'b', annotations: MARK, labels: null })).status).toBe(201)
  expect((await api.post('/system/namespace/c', { labels: MARK })).status).toBe(201)
  expect(await api.read('/system/namespaces')).toEqual(['openfaas-fn', 'a', 'b', 'c'])
  expect(await api.read('/system/namespace/b')).toEqual({ name: 'b', labels: {}, annotations: MARK })
  expect((await api.delete('/system/namespace/a')).status).toBe(202)
})

test('the default one is there from the start and stays, namespaces of stack files are there while they are used', async () => {
  await using rig = await startRig([processFunction('cat', 'cat', { namespace: 'shop' })])
  const api = apiOf(rig)
  expect(await api.read('/system/namespaces')).toEqual(['openfaas-fn', 'shop'])
  for (const name of ['openfaas-fn', 'shop']) {
    expect(await api.read(`/system/namespace/${name}`)).toEqual({ name, labels: MARK, annotations: MARK })
    expect(await api.post('/system/namespace/', { name, labels: MARK })).toMatchObject({ status: 409 })
  }
  expect(await api.delete('/system/namespace/openfaas-fn', { name: 'openfaas-fn' })).toMatchObject({
    status: 400,
    text: 'namespace openfaas-fn is the default one and stays\n',
  })
  await rig.gateway.remove('cat.shop')
  expect(await api.read('/system/namespaces')).toEqual(['openfaas-fn'])
})

test('deleting one ends its functions and its secrets, and those of no other', async () => {
  await using rig = await startRig([])
  const api = apiOf(rig)
  await api.post('/system/namespace/', STAGING)
  for (const namespace of ['staging', 'openfaas-fn']) {
    await api.post('/system/secrets', { name: 'key', namespace, value: namespace })
    const deployment = { service: 'cat', image: 'x', envProcess: 'cat', namespace, secrets: ['key'] }
    await api.post('/system/functions', deployment)
  }
  expect((await rig.call('/function/cat.staging', { body: 'x' })).text).toBe('x')
  expect((await api.delete('/system/namespace/staging', { name: 'staging' })).status).toBe(202)
  expect((await rig.call('/function/cat.staging', { body: 'x' })).status).toBe(503)
  expect((await rig.call('/function/cat', { body: 'x' })).text).toBe('x')
  expect(existsSync(join(rig.directory, 'state', 'secrets', 'staging'))).toBe(false)
  expect(await api.read('/system/secrets')).toEqual([{ name: 'key', namespace: 'openfaas-fn' }])
  expect((await api.post('/system/namespace/', STAGING)).status).toBe(201)
  expect(await api.read('/system/secrets?namespace=staging')).toEqual([])
  expect(await api.read('/system/functions?namespace=staging')).toEqual([])
})

describe('refused', () => {
  const BAD = (name: string): string => `name: (${name}) is invalid, must be a valid DNS entry\n`

  test.each<[string, string, string, unknown, number, string]>([
    ['no marker', 'POST', '', { name: 'x' }, 400, 'the label or annotation openfaas: "1" is required\n'],
    [
      'another marker',
      'POST',
      '',
      { name: 'x', labels: { openfaas: 'true' } },
      400,
      'the label or annotation openfaas: "1" is required\n',
    ],
    ['no name', 'POST', '', { labels: MARK }, 400, 'name: is required\n'],
    ...['..', '../x', 'Upper', 'a.b', 'a_b', '-a', 'x'.repeat(64)].map(
      (name): [string, string, string, unknown, number, string] => [
        `the name ${name}`,
        'POST',
        '',
        { name, labels: MARK },
        400,
        BAD(name),
      ],
    ),
    ['two names', 'POST', 'a', { name: 'b', labels: MARK }, 400, 'name: (b) is not the namespace of the path\n'],
    ['labels that are none', 'POST', '', { name: 'x', labels: [1] }, 400, 'labels must be an object, not an array\n'],
    ['no JSON', 'POST', '', '{', 400, 'the body is not JSON\n'],
    [
      'an update of one that is not there',
      'PUT',
      'nowhere',
      { name: 'nowhere', labels: MARK },
      404,
      'namespace nowhere not found\n',
    ],
    [
      'an update without its marker',
      'PUT',
      'openfaas-fn',
      { name: 'openfaas-fn' },
      400,
      'the label or annotation openfaas: "1" is required\n',
    ],
    [
      'the end of one that is not there',
      'DELETE',
      'nowhere',
      { name: 'nowhere' },
      404,
      'namespace nowhere not found\n',
    ],
  ])('%s', async (_, method, name, body, status, text) => {
    await using rig = await startRig([])
    const answer = await rig.call(`/system/namespace/${name}`, {
      method,
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
    expect(answer).toMatchObject({ status, text })
    expect(await apiOf(rig).read('/system/namespaces')).toEqual(['openfaas-fn'])
  })

  test('a name that is missing, or none, in the path', async () => {
    await using rig = await startRig([])
    expect(await rig.call('/system/namespace/')).toMatchObject({ status: 404, text: 'name: is required\n' })
    for (const path of ['/system/namespace', '/system/namespace/a/b', '/system/namespace/%2e%2e'])
      expect(await rig.call(path)).toMatchObject({ status: 404, text: '404 page not found\n' })
  })
})
