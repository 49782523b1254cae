// `/system/secrets`: what comes in never goes out, but to the functions that ask for it (OpenFaaS contract, secrets).

import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { processFunction, startRig, until } from '../rig.ts'
import type { Answer, Rig } from '../rig.ts'
import { apiOf } from './api.ts'
import type { Api } from './api.ts'

const SHOP = { name: 'shop', labels: { openfaas: '1' } }
/** Answers with the names and the contents of its secrets. */
const SHOW = { image: 'show:1', envProcess: './processes/secrets.sh' }

/** The same, once the file exists that the query names. */
const HELD = { image: 'show:1', envProcess: './processes/held-secrets.sh' }

/** Permission bits and content of every file below, by path. */
function filesBelow(folder: string): Record<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return Object.fromEntries(
    entries.map((entry) => {
      const path = join(entry.parentPath, entry.name)
      return [
        path.slice(folder.length + 1),
        `${(statSync(path).mode & 0o777).toString(8)} ${readFileSync(path, 'utf8')}`,
      ]
    }),
  )
}

async function shown(rig: Rig, name: string): Promise<string> {
  return (await rig.call(`/function/${name}`)).text
}

test('created, listed without values, replaced, removed', async () => {
  await using rig = await startRig([])
  const api = apiOf(rig)
  expect(await api.read('/system/secrets')).toEqual([])
  expect(await api.post('/system/secrets', { name: 'zeta', value: 'text' })).toMatchObject({ status: 202, text: '' })
  expect(await api.post('/system/secrets', { name: 'api-key', value: 's3cr3t', namespace: '' })).toMatchObject({
    status: 202,
  })
  expect(await api.read('/system/secrets')).toEqual([
    { name: 'api-key', namespace: 'openfaas-fn' },
    { name: 'zeta', namespace: 'openfaas-fn' },
  ])
  expect(await api.post('/system/secrets', { name: 'zeta', value: 'other' })).toMatchObject({
    status: 409,
    text: 'secret zeta already exists\n',
  })
  expect(await api.put('/system/secrets', { name: 'zeta', value: 'newer' })).toMatchObject({ status: 202, text: '' })
  expect(await api.delete('/system/secrets', { name: 'api-key' })).toMatchObject({ status: 202, text: '' })
  const folder = join(rig.directory, 'state', 'secrets')
  expect(filesBelow(folder)).toEqual({ 'openfaas-fn/zeta': '600 newer' })
  expect([folder, join(folder, 'openfaas-fn')].map((path) => (statSync(path).mode & 0o777).toString(8))).toEqual([
    '700',
    '700',
  ])
  for (const method of ['put', 'delete'] as const)
    expect(await api[method]('/system/secrets', { name: 'api-key', value: 'x' })).toMatchObject({
      status: 404,
      text: 'secret api-key not found\n',
    })
})

test('rawValue wins, unless it is empty; bytes stay what they are', async () => {
  await using rig = await startRig([])
  const api = apiOf(rig)
  const bytes = Buffer.from([0, 255, 10, 13, 128])
  await api.post('/system/secrets', { name: 'raw', value: 'text', rawValue: bytes.toString('base64') })
  await api.post('/system/secrets', { name: 'text', value: 'ünï\n', rawValue: '' })
  await api.post('/system/secrets', { name: 'empty', rawValue: null })
  const folder = join(rig.directory, 'state', 'secrets', 'openfaas-fn')
  expect(readFileSync(join(folder, 'raw'))).toEqual(bytes)
  expect(readFileSync(join(folder, 'text'), 'utf8')).toBe('ünï\n')
  expect(readFileSync(join(folder, 'empty'), 'utf8')).toBe('')
})

test('namespaces have secrets of their own', async () => {
  await using rig = await startRig([])
  const api = apiOf(rig)
  await api.post('/system/namespace/', SHOP)
  await api.post('/system/secrets', { name: 'key', namespace: 'shop', value: 'a' })
  await api.post('/system/secrets?namespace=shop', { name: 'key2', value: 'b' })
  await api.post('/system/secrets', { name: 'key', value: 'c' })
  expect(await api.read('/system/secrets?namespace=shop')).toEqual([
    { name: 'key', namespace: 'shop' },
    { name: 'key2', namespace: 'shop' },
  ])
  expect(await api.read('/system/secrets')).toEqual([{ name: 'key', namespace: 'openfaas-fn' }])
  await api.delete('/system/secrets', { name: 'key', namespace: 'shop' })
  expect(filesBelow(join(rig.directory, 'state', 'secrets'))).toEqual({
    'openfaas-fn/key': '600 c',
    'shop/key2': '600 b',
  })
})

describe('refused', () => {
  const names = ['..', '../x', 'a/b', '/etc/passwd', '.hidden', 'a..b', 'Upper', 'a_b', 'a b', 'a\0', 'ä', '-a', 'a-', 'a'.repeat(254)] // prettier-ignore
  const WHY = 'the name of a secret is lower-case letters, digits, - and . between them\n'

  test.each([
    ...names.map((name) => [`the name ${JSON.stringify(name.slice(0, 20))}`, { name, value: 'x' }, WHY] as const),
    ['no name', { value: 'x' }, 'name may not be empty\n'],
    ['a name that is a number', { name: 1 }, 'name must be a string, not a number\n'],
    ['a value that is an object', { name: 'a', value: {} }, 'value must be a string, not an object\n'],
    ['no base64', { name: 'a', rawValue: 's3cr3t!' }, 'rawValue is not base64\n'],
    ['a namespace that is not there', { name: 'a', namespace: 'nowhere', value: 'x' }, 'namespace nowhere not found\n'],
    [
      'a namespace that leads elsewhere',
      { name: 'a', namespace: '../../x', value: 'x' },
      'namespace ../../x not found\n',
    ],
    ['too much', { name: 'a', value: 'x'.repeat(1024 * 1024 + 1) }, 'the secret is larger than 1048576 bytes\n'],
    ['no JSON', '{"name":"a","value":"s3cr3t', 'the body is not JSON\n'],
  ] as const)('%s', async (_, body, text) => {
    await using rig = await startRig([])
    const api = apiOf(rig)
    for (const answer of [await api.post('/system/secrets', body), await api.put('/system/secrets', body)])
      expect(answer).toMatchObject({ status: 400, text })
    expect(filesBelow(join(rig.directory, 'state', 'secrets'))).toEqual({})
  })

  test('what is far too large is not even read', async () => {
    await using rig = await startRig([])
    const body = JSON.stringify({ name: 'a', value: 'x'.repeat(9 * 1024 * 1024) })
    expect(await apiOf(rig).post('/system/secrets', body)).toMatchObject({
      status: 413,
      text: 'the body is larger than 8MiB\n',
    })
  })

  test('the list of a namespace that is not there', async () => {
    await using rig = await startRig([])
    expect(await apiOf(rig).get('/system/secrets?namespace=nowhere')).toMatchObject({
      status: 400,
      text: 'namespace nowhere not found\n',
    })
  })
})

test('1 MiB of any bytes is taken, also written out as text', async () => {
  await using rig = await startRig([])
  const bytes = Buffer.alloc(1024 * 1024, 1)
  const body = { name: 'large', value: bytes.toString('latin1'), rawValue: bytes.toString('base64') }
  expect(await apiOf(rig).post('/system/secrets', body)).toMatchObject({ status: 202 })
  expect(readFileSync(join(rig.directory, 'state', 'secrets', 'openfaas-fn', 'large'))).toEqual(bytes)
})

describe('a function', () => {
  test('has exactly its secrets, and sees at once when they change', async () => {
    await using rig = await startRig([])
    const api = apiOf(rig)
    for (const name of ['one', 'two', 'three']) await api.post('/system/secrets', { name, value: `${name}-v1` })
    await api.post('/system/functions', { service: 'show', ...SHOW, secrets: ['one', 'two'] })
    expect(await shown(rig, 'show')).toBe('one=one-v1\ntwo=two-v1\n')
    await api.put('/system/secrets', { name: 'two', value: 'two-v2' })
    expect(await shown(rig, 'show')).toBe('one=one-v1\ntwo=two-v2\n')
    await api.put('/system/functions', { service: 'show', ...SHOW, secrets: ['two', 'three'] })
    expect(await shown(rig, 'show')).toBe('three=three-v1\ntwo=two-v2\n')
    await api.delete('/system/secrets', { name: 'two' })
    expect(await shown(rig, 'show')).toBe('three=three-v1\n')
    await api.put('/system/functions', { service: 'show', ...SHOW })
    expect(await shown(rig, 'show')).toBe('none\n')
  })

  test('has them in a private folder that goes with it', async () => {
    await using rig = await startRig([])
    const api = apiOf(rig)
    await api.post('/system/secrets', { name: 'key', value: 'v1' })
    await api.post('/system/functions', { service: 'env', image: 'x', envProcess: 'env', secrets: ['key'] })
    const folder = /^secret_mount_path=(.+)$/m.exec(await shown(rig, 'env'))?.[1] ?? ''
    expect(filesBelow(folder)).toEqual({ key: '600 v1' })
    expect((statSync(folder).mode & 0o777).toString(8)).toBe('700')
    await api.delete('/system/functions', { functionName: 'env' })
    await until('it is gone', () => !existsSync(folder))
  })

  const CHANGES: readonly (readonly [what: string, change: (api: Api) => Promise<Answer>, then: string])[] = [
    [
      'a deployment that takes some away',
      (api) => api.put('/system/functions', { service: 'show', ...HELD, secrets: ['one'] }),
      'one=one-v2\n',
    ],
    ['a deployment that takes all away', (api) => api.put('/system/functions', { service: 'show', ...HELD }), 'none\n'],
    [
      'its removal',
      (api) => api.delete('/system/functions', { functionName: 'show' }),
      'No endpoints available for: show.\n',
    ],
  ]

  test.each(CHANGES)('keeps them for the calls that run, after %s', async (_, change, then) => {
    await using rig = await startRig([])
    const api = apiOf(rig)
    for (const name of ['one', 'two']) await api.post('/system/secrets', { name, value: `${name}-v1` })
    await api.post('/system/functions', { service: 'show', ...HELD, secrets: ['one', 'two'] })
    const go = join(rig.directory, 'go')
    const running = rig.call(`/function/show?${go}`)
    await until('it runs', () => rig.log.requests.includes('Forking fprocess.'))
    expect((await change(api)).status).toBe(202)
    // Whoever has it sees that it is another one now.
    await api.put('/system/secrets', { name: 'one', value: 'one-v2' })
    writeFileSync(go, '')
    expect((await running).text).toBe('one=one-v2\ntwo=two-v1\n')
    expect((await rig.call(`/function/show?${go}`)).text).toBe(then)
  })

  test('deployed again as it is keeps its folder, and there is one', async () => {
    await using rig = await startRig([])
    const api = apiOf(rig)
    await api.post('/system/secrets', { name: 'key', value: 'v1' })
    const deployment = { service: 'env', image: 'x', envProcess: 'env', secrets: ['key'] }
    await api.post('/system/functions', deployment)
    const folder = /^secret_mount_path=(.+)$/m.exec(await shown(rig, 'env'))?.[1] ?? ''
    await api.put('/system/functions', deployment)
    expect(filesBelow(join(folder, '..'))).toEqual({ [join(basename(folder), 'key')]: '600 v1' })
    await api.put('/system/functions', { ...deployment, envVars: { CHANGED: 'yes' } })
    await until('the first one is gone', () => !existsSync(folder))
    expect(Object.values(filesBelow(join(folder, '..')))).toEqual(['600 v1'])
  })

  test("has those of its namespace, not another's", async () => {
    await using rig = await startRig([])
    const api = apiOf(rig)
    await api.post('/system/namespace/', SHOP)
    await api.post('/system/secrets', { name: 'key', namespace: 'shop', value: 'of shop' })
    await api.post('/system/secrets', { name: 'key', value: 'of default' })
    await api.post('/system/functions', { service: 'show', ...SHOW, secrets: ['key'], namespace: 'shop' })
    await api.post('/system/functions', { service: 'show', ...SHOW, secrets: ['key'] })
    expect(await shown(rig, 'show.shop')).toBe('key=of shop\n')
    expect(await shown(rig, 'show')).toBe('key=of default\n')
  })

  test('finds them where containers have them too, as long as a function asks for them', async () => {
    await using rig = await startRig([])
    const api = apiOf(rig)
    const shared = join(rig.directory, 'shared-secrets')
    await api.post('/system/secrets', { name: 'key', value: 'v1' })
    expect(existsSync(shared)).toBe(false)
    await api.post('/system/functions', { service: 'show', ...SHOW, secrets: ['key'] })
    const key = (): string => readFileSync(join(shared, 'key'), 'utf8')
    expect(key()).toBe('v1')
    await api.put('/system/secrets', { name: 'key', value: 'v2' })
    expect(key()).toBe('v2')
    writeFileSync(join(shared, 'of-somebody-else'), 'x')
    await api.post('/system/functions', { service: 'other', ...SHOW, secrets: ['key'] })
    await api.delete('/system/functions', { functionName: 'show' })
    expect(key()).toBe('v2')
    await api.delete('/system/functions', { functionName: 'other' })
    expect(readdirSync(shared)).toEqual(['of-somebody-else'])
  })

  test('of two namespaces with a secret of one name, the last is found there, then the other', async () => {
    await using rig = await startRig([])
    const api = apiOf(rig)
    const key = (): string => readFileSync(join(rig.directory, 'shared-secrets', 'key'), 'utf8')
    await api.post('/system/namespace/', SHOP)
    for (const namespace of ['openfaas-fn', 'shop']) {
      await api.post('/system/secrets', { name: 'key', namespace, value: namespace })
      await api.post('/system/functions', { service: 'show', ...SHOW, secrets: ['key'], namespace })
      expect(key()).toBe(namespace)
    }
    await api.delete('/system/functions?namespace=shop', { functionName: 'show' })
    expect(key()).toBe('openfaas-fn')
  })

  test('leaves no copy of a secret there, and takes nothing away that is not its own', async () => {
    await using rig = await startRig([])
    const api = apiOf(rig)
    const shared = join(rig.directory, 'shared-secrets')
    for (const name of ['mine', 'taken']) await api.post('/system/secrets', { name, value: 'v1' })
    await api.post('/system/functions', { service: 'show', ...SHOW, secrets: ['mine', 'taken'] })
    expect(readdirSync(shared, { withFileTypes: true }).map((entry) => entry.isSymbolicLink())).toEqual([true, true])
    rmSync(join(shared, 'taken'))
    writeFileSync(join(shared, 'taken'), 'by another gateway')
    await rig.gateway.close()
    expect(readdirSync(shared)).toEqual(['taken'])
  })

  test('works where that place cannot be written', async () => {
    await using outer = await startRig([])
    const file = join(outer.directory, 'a-file')
    writeFileSync(file, '')
    await using rig = await startRig([], { sharedSecretsDirectory: join(file, 'secrets') })
    const api = apiOf(rig)
    await api.post('/system/secrets', { name: 'key', value: 'v1' })
    expect((await api.post('/system/functions', { service: 'show', ...SHOW, secrets: ['key'] })).status).toBe(202)
    expect(await shown(rig, 'show')).toBe('key=v1\n')
  })

  test('of a stack file runs without a secret that is missing, is told so, and gets it later', async () => {
    await using rig = await startRig([])
    await rig.gateway.deploy(processFunction('show', './secrets.sh', { secrets: ['key'] }))
    expect(rig.log.events).toContainEqual({
      name: 'show',
      line: 'secret key does not exist in namespace openfaas-fn; it runs without',
    })
    expect(await shown(rig, 'show')).toBe('none\n')
    await apiOf(rig).post('/system/secrets', { name: 'key', value: 'v1' })
    expect(await shown(rig, 'show')).toBe('key=v1\n')
  })

  test('of a stack file whose secrets have names that are paths touches nothing there', async () => {
    await using rig = await startRig([])
    const file = join(rig.directory, 'precious')
    writeFileSync(file, 'kept')
    // From a folder of its own in the temporary directory, as in any that is as deep.
    const secrets = ['.', '', 'x'.repeat(300), join('..', '..', '..', '..', '..', file)]
    await rig.gateway.deploy(processFunction('show', './secrets.sh', { secrets }))
    expect(readFileSync(file, 'utf8')).toBe('kept')
    expect(await shown(rig, 'show')).toBe('none\n')
  })
})

test('no value is ever answered or logged', async () => {
  await using rig = await startRig([])
  const api = apiOf(rig)
  const value = 'kept-to-itself-4711'
  const rawValue = Buffer.from(value).toString('base64')
  mkdirSync(join(rig.directory, 'state', 'secrets', 'openfaas-fn', 'blocked'), { recursive: true })
  const answers = [
    await api.post('/system/secrets', { name: 'key', value, rawValue }),
    await api.post('/system/secrets', { name: 'key', value, rawValue }),
    await api.put('/system/secrets', { name: 'key', value, rawValue }),
    // A folder is in its place: it cannot be written.
    await api.put('/system/secrets', { name: 'blocked', value, rawValue }),
    await api.post('/system/secrets', `{"name":"key","value":"${value}`),
    await api.post('/system/secrets', { name: 'key', value: { value } }),
    await api.get('/system/secrets'),
    await api.delete('/system/secrets', { name: 'key', value }),
  ]
  expect(answers.map(({ status }) => status)).toEqual([202, 409, 202, 500, 400, 400, 200, 202])
  const said = JSON.stringify([answers.map(({ text, headers }) => [text, headers]), rig.log])
  expect(said).not.toContain(value)
  expect(said).not.toContain(rawValue)
})
