import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import { KubernetesApi, isInPod, openAccess, podAccess } from '../../src/kubernetes/index.ts'
import type { Access } from '../../src/kubernetes/index.ts'
import { HubError, ManualClock, systemClock } from '../../src/sdk/index.ts'
import type { Clock } from '../../src/sdk/index.ts'
import { createCertificates, noCertificates } from '../servers/tls.ts'
import type { Certificates } from '../servers/tls.ts'
import { FakeApi, json } from './fake-api.ts'

const missing = noCertificates()
const PATH = '/version'
const folders: string[] = []
const clients: AsyncDisposable[] = []

function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'hub-access-'))
  folders.push(folder)
  for (const [name, content] of Object.entries(files)) put(folder, name, content)
  return folder
}

/** As a mounted volume changes: at once. */
function put(folder: string, name: string, content: string): void {
  writeFileSync(join(folder, 'next'), content)
  renameSync(join(folder, 'next'), join(folder, name))
}

afterEach(async () => {
  for (const one of clients.splice(0)) await one[Symbol.asyncDispose]()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function client(access: Access, clock: Clock = systemClock): KubernetesApi {
  const api = new KubernetesApi({ access, clock, userAgent: 'test' })
  clients.push({ [Symbol.asyncDispose]: () => api.close() })
  return api
}

describe.skipIf(missing !== undefined)(`a pod's service account${missing === undefined ? '' : ` (${missing})`}`, () => {
  let pem: Certificates
  beforeAll(() => {
    pem = createCertificates()
  })
  afterAll(() => pem[Symbol.dispose]())

  const read = (file: string): string => readFileSync(file, 'utf8')

  async function server(): Promise<FakeApi> {
    const fake = await FakeApi.listen({ cert: read(pem.certFile), key: read(pem.keyFile) })
    clients.push(fake)
    fake.answers.set(PATH, json({ ok: true }))
    return fake
  }

  const mounted = (more: Readonly<Record<string, string>> = {}): string =>
    folderOf({ token: 'first\n', namespace: 'shop', 'ca.crt': read(pem.caFile), ...more })

  const env = (fake: FakeApi) => ({ KUBERNETES_SERVICE_HOST: 'localhost', KUBERNETES_SERVICE_PORT: String(fake.port) })

  test('is the token, the CA and the namespace of its folder', async () => {
    const fake = await server()
    const folder = mounted()
    const access = await podAccess(env(fake), systemClock, folder)
    expect([access.namespace, access.server]).toEqual(['shop', `https://localhost:${fake.port}`])
    expect(await client(access).get(PATH)).toEqual({ ok: true })
    expect(fake.asked[0]?.headers.authorization).toBe('Bearer first')
  })

  test('has a new token within a minute, and after a refusal at once', async () => {
    const fake = await server()
    const folder = mounted()
    const clock = new ManualClock()
    const api = client(await podAccess(env(fake), clock, folder), clock)
    await api.get(PATH)
    put(folder, 'token', 'second')
    await api.get(PATH)
    await clock.advance(60_000)
    await api.get(PATH)
    put(folder, 'token', 'third')
    fake.answers.set(PATH, (response, url, request) =>
      json({}, request.headers.authorization === 'Bearer third' ? 200 : 401)(response, url, request),
    )
    await api.get(PATH)
    expect(fake.asked.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer first',
      'Bearer first',
      'Bearer second',
      'Bearer second',
      'Bearer third',
    ])
  })

  test('trusts no certificate of another CA, and a new CA once it is mounted', async () => {
    const fake = await server()
    const folder = mounted({ 'ca.crt': read(pem.otherCaFile) })
    const clock = new ManualClock()
    const api = client(await podAccess(env(fake), clock, folder), clock)
    const refused: unknown = await api.get(PATH).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'HUB_KUBERNETES_UNREACHABLE', hint: expect.stringContaining('ca.crt of the service account') as string }) // prettier-ignore
    expect(fake.asked).toEqual([])
    copyFileSync(pem.caFile, join(folder, 'ca.crt'))
    await clock.advance(60_000)
    expect(await api.get(PATH)).toEqual({ ok: true })
  })

  test('that cannot be read any more is said with its file, and read again', async () => {
    const fake = await server()
    const folder = mounted()
    const clock = new ManualClock()
    const api = client(await podAccess(env(fake), clock, folder), clock)
    await api.get(PATH)
    rmSync(join(folder, 'token'))
    await clock.advance(60_000)
    await expect(api.get(PATH)).rejects.toMatchObject({
      code: 'HUB_CONFIG_UNREADABLE',
      message: expect.stringContaining(join(folder, 'token')) as string,
    })
    put(folder, 'token', 'again')
    expect(await api.get(PATH)).toEqual({ ok: true })
  })
})

test('an IPv6 host stands in brackets, and the port is 443 where none is said', async () => {
  const folder = folderOf({ token: 't', namespace: 'n', 'ca.crt': 'x' })
  const access = await podAccess({ KUBERNETES_SERVICE_HOST: 'fd00::1' }, systemClock, folder)
  expect(access.server).toBe('https://[fd00::1]:443')
})

test('a server at an IPv6 address is reached', async () => {
  const fake = await FakeApi.listen()
  clients.push(fake)
  fake.answers.set(PATH, json({ ok: true }))
  const access = { ...fake.access('t'), server: `http://[::1]:${fake.port}` }
  expect(await client(access).get(PATH)).toEqual({ ok: true })
})

test('a pod is where the token is mounted and the server is named', () => {
  const folder = folderOf({ token: 't' })
  expect(isInPod({ KUBERNETES_SERVICE_HOST: 'h' }, folder)).toBe(true)
  expect(isInPod({}, folder)).toBe(false)
  expect(isInPod({ KUBERNETES_SERVICE_HOST: 'h' }, folderOf({}))).toBe(false)
})

test('no pod and no kubeconfig is an error that says what to do', async () => {
  const home = folderOf({})
  mkdirSync(join(home, '.kube'))
  const opened = openAccess({ env: { HOME: home }, clock: systemClock, serviceAccount: join(home, 'none') })
  const error: unknown = await opened.catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(HubError)
  expect(error).toMatchObject({
    code: 'HUB_CONFIG_UNREADABLE',
    message: `this is no pod, and there is no kubeconfig at ${join(home, '.kube', 'config')}`,
    hint: 'Run in a pod with a service account, or point KUBECONFIG (or kubernetes.kubeconfig) at a kubeconfig file.',
  })
})
