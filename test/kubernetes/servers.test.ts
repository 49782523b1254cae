// What the other tests on Kubernetes rely on: the server is the real one, with rights, watches, custom resources and a past that
// can be lost; the programs are those of today.

import { request } from 'node:https'

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'

import { noProgram, provideProgram } from '../programs/programs.ts'
import { Shell } from '../programs/shell.ts'
import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes, startKubernetes } from '../servers/kubernetes.ts'
import type { KubernetesServer } from '../servers/kubernetes.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'

const missing = await noKubernetes()
const because = missing === undefined ? '' : ` (${missing})`
const WAIT = { timeout: 60_000, interval: 50 }

interface Listed {
  readonly metadata: { readonly resourceVersion: string }
}

interface Event {
  readonly type: string
  readonly object: { readonly code?: number; readonly metadata?: { readonly name?: string } }
}

const leases = (namespace: string): string => `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`
const lease = (name: string) => ({ metadata: { name }, spec: { holderIdentity: 'a', leaseDurationSeconds: 15 } })

/** Events of a watch, as they come. Ends with disposal. */
class Watch implements Disposable {
  readonly events: Event[] = []
  readonly #sent: ReturnType<typeof request>

  constructor(api: KubernetesApi, path: string) {
    const headers = { authorization: `Bearer ${api.address.adminToken}` }
    this.#sent = request(`${api.url}${path}`, { ca: api.ca, agent: false, headers }, (response) => {
      let rest = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        const lines = (rest + chunk).split('\n')
        rest = lines.pop() ?? ''
        this.events.push(...lines.map((line) => JSON.parse(line) as Event))
      })
      response.on('error', () => {}) // cut by disposal
    })
    this.#sent.on('error', () => {}) // cut by disposal
    this.#sent.end()
  }

  [Symbol.dispose](): void {
    this.#sent.destroy()
  }
}

describe.skipIf(missing !== undefined)(`an API server that is shared${because}`, () => {
  let api: KubernetesApi
  let namespace: string
  beforeAll(async () => {
    api = sharedKubernetes()
    namespace = await api.createNamespace()
  })
  afterAll(() => api[Symbol.dispose]())

  test('it is Kubernetes 1.35, and kubectl and helm know it', async () => {
    expect(await api.json('GET', '/version')).toMatchObject({ major: '1', minor: '35', gitVersion: 'v1.35.4' })
    const asked = await api.kubectl(['version', '-o', 'json'])
    expect(asked).toMatchObject({ status: 0 })
    expect(JSON.parse(asked.stdout)).toMatchObject({
      clientVersion: { gitVersion: 'v1.35.4' },
      serverVersion: { gitVersion: 'v1.35.4' },
    })
    expect(await api.helm(['version', '--short'])).toMatchObject({ status: 0, stdout: expect.stringMatching(/^v3\.20\.2/) as string }) // prettier-ignore
  })

  test('a service account may nothing until it is granted', async () => {
    const token = await api.serviceAccountToken(namespace, 'hub')
    const path = leases(namespace)
    const refused = await api.request('GET', path, undefined, { token })
    expect(refused.status).toBe(403)
    expect(refused.text).toContain(`system:serviceaccount:${namespace}:hub`)
    const granted = await api.grant(namespace, 'hub', [{ apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['list'] }]) // prettier-ignore
    await vi.waitFor(async () => expect((await api.request('GET', path, undefined, { token })).status).toBe(200), WAIT)
    expect((await api.request('POST', path, lease('one'), { token })).status).toBe(403)
    await api.revoke(namespace, granted)
    await vi.waitFor(async () => expect((await api.request('GET', path, undefined, { token })).status).toBe(403), WAIT)
  })

  test('no token, a made-up one and an expired one are told apart', async () => {
    const path = leases(namespace)
    expect((await api.request('GET', path, undefined, { token: '' })).text).toContain('system:anonymous')
    expect((await api.request('GET', path, undefined, { token: 'guess' })).status).toBe(401)
    const statusFor = async (seconds: number): Promise<number> => {
      const token = await api.tokenExpiringIn(seconds, namespace, 'hub')
      return (await api.request('GET', path, undefined, { token })).status
    }
    expect(await statusFor(-120)).toBe(401)
    // As known as any other, and allowed nothing.
    expect(await statusFor(300)).toBe(403)
  })

  test('a watch tells of a Lease, and of two writers one is refused', async () => {
    const path = leases(namespace)
    const { metadata } = await api.json<Listed>('GET', path)
    using watch = new Watch(api, `${path}?watch=1&resourceVersion=${metadata.resourceVersion}`)
    const created = await api.json<Record<string, unknown>>('POST', path, lease('fence'))
    const seen = (): readonly string[] => watch.events.map(({ type, object }) => `${type} ${object.metadata?.name}`)
    await vi.waitFor(() => expect(seen()).toEqual(['ADDED fence']), WAIT)
    expect((await api.request('PUT', `${path}/fence`, created)).status).toBe(200)
    const changed = { ...created, spec: { holderIdentity: 'b', leaseDurationSeconds: 15 } }
    expect((await api.request('PUT', `${path}/fence`, changed)).status).toBe(200)
    expect((await api.request('PUT', `${path}/fence`, changed)).status).toBe(409)
    await vi.waitFor(() => expect(seen()).toEqual(['ADDED fence', 'MODIFIED fence']), WAIT)
  })

  test('Function resources are taken and checked, and kubectl knows them', async () => {
    await api.installFunctionCrd()
    await api.installFunctionCrd()
    const fn = { apiVersion: 'openfaas.com/v1', kind: 'Function', metadata: { name: 'echo' }, spec: { name: 'echo', image: 'echo:1', annotations: { topic: 'a' } } } // prettier-ignore
    const applied = await api.kubectl(['apply', '--server-side', '-f', '-'], { namespace, input: JSON.stringify(fn) })
    expect(applied).toMatchObject({ status: 0, stdout: 'function.openfaas.com/echo serverside-applied\n' })
    const listed = await api.kubectl(['get', 'functions', '-o', 'jsonpath={.items[*].spec.annotations.topic}'], { namespace }) // prettier-ignore
    expect(listed).toMatchObject({ status: 0, stdout: 'a' })
    const bad = { ...fn, spec: { ...fn.spec, image: 1 } }
    const refused = await api.kubectl(['apply', '--server-side', '-f', '-'], { namespace, input: JSON.stringify(bad) })
    expect(refused.status).toBe(1)
    expect(refused.stderr).toContain('spec.image')
  })

  test('helm installs, lists and takes back a chart', async () => {
    using shell = await Shell.with([])
    shell.file('Chart.yaml', 'apiVersion: v2\nname: one\nversion: 1.0.0\n')
    await shell.run('mkdir templates')
    shell.file('templates/map.yaml', 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: one }\ndata: { kube: "{{ .Capabilities.KubeVersion }}" }\n') // prettier-ignore
    const running = { namespace, folder: shell.folder }
    expect(await api.helm(['install', 'release', '.'], running)).toMatchObject({ status: 0 })
    const map = await api.json('GET', `/api/v1/namespaces/${namespace}/configmaps/one`)
    expect(map).toMatchObject({ data: { kube: 'v1.35.4' } })
    expect(await api.helm(['list', '-q'], running)).toMatchObject({ status: 0, stdout: 'release\n' })
    expect(await api.helm(['uninstall', 'release'], running)).toMatchObject({ status: 0 })
    expect((await api.request('GET', `/api/v1/namespaces/${namespace}/configmaps/one`)).status).toBe(404)
  })
})

describe.skipIf(missing !== undefined)(`an API server of its own${because}`, () => {
  let cluster: KubernetesServer
  beforeAll(async () => {
    cluster = await startKubernetes({ watchCache: false, anonymous: false })
  })
  afterAll(async () => await cluster[Symbol.asyncDispose]())

  test('whoever sends no token is not known', async () => {
    expect((await cluster.api.request('GET', '/api', undefined, { token: '' })).status).toBe(401)
  })

  test('what was compacted is gone: watches and pages are answered 410', async () => {
    const { api } = cluster
    const namespace = await api.createNamespace()
    const path = leases(namespace)
    await api.json('POST', path, lease('one'))
    await api.json('POST', path, lease('two'))
    const { metadata } = await api.json<Listed & { readonly metadata: { readonly continue: string } }>('GET', `${path}?limit=1`) // prettier-ignore
    await cluster.compact()
    using watch = new Watch(api, `${path}?watch=1&resourceVersion=${metadata.resourceVersion}`)
    await vi.waitFor(() => expect(watch.events).toMatchObject([{ type: 'ERROR', object: { code: 410 } }]), WAIT)
    expect((await api.request('GET', `${path}?limit=1&continue=${metadata.continue}`)).status).toBe(410)
  })

  test('paused it answers nobody, resumed it does', async () => {
    const { api } = cluster
    cluster.pause()
    let answered = false
    const asked = api.request('GET', '/version').then(() => (answered = true))
    // Long since answered otherwise, whatever the machine is busy with: it runs next to nothing else.
    const other = await new Promise<string>((resolve) => {
      const sent = request(`${api.url}/version`, { ca: api.ca, agent: false, timeout: 3000 }, () => resolve('answer'))
      sent.on('timeout', () => resolve('silence'))
      sent.on('error', () => resolve('error'))
      sent.end()
    })
    expect({ other, answered }).toEqual({ other: 'silence', answered: false })
    cluster.resume()
    await asked
    expect(answered).toBe(true)
  })

  test('data, tokens and address outlive SIGTERM and SIGKILL', { timeout: 240_000 }, async () => {
    const { api } = cluster
    const namespace = await api.createNamespace()
    const token = await api.serviceAccountToken(namespace, 'hub')
    await cluster.restart()
    await cluster.kill()
    await expect(api.request('GET', '/version')).rejects.toThrow('ECONNREFUSED')
    await cluster.start()
    expect((await api.request('GET', `/api/v1/namespaces/${namespace}`)).status).toBe(200)
    expect((await api.request('GET', leases(namespace), undefined, { token })).status).toBe(403)
  })

  test('without etcd it says so, and is back with it', { timeout: 240_000 }, async () => {
    const { api, etcd } = cluster
    await etcd.stop()
    await vi.waitFor(async () => expect((await api.request('GET', '/readyz')).status).toBe(500), WAIT)
    await etcd.start()
    await vi.waitFor(async () => expect((await api.request('GET', '/readyz')).status).toBe(200), WAIT)
  })
})

const noPromtool = await noProgram('promtool')

test.skipIf(noPromtool !== undefined)(
  `promtool checks rules${noPromtool === undefined ? '' : ` (${noPromtool})`}`,
  async () => {
    expect((await provideProgram('promtool')).version).toMatch(/^[23]\.\d+\.\d+$/)
    using shell = await Shell.with(['promtool'])
    const rules = (expression: string): string =>
      `groups: [{ name: g, rules: [{ alert: Down, expr: '${expression}' }] }]\n`
    shell.file('good.yaml', rules('up == 0'))
    shell.file('bad.yaml', rules('up =='))
    expect(await shell.run('promtool check rules good.yaml')).toContain('SUCCESS: 1 rules found')
    await expect(shell.run('promtool check rules bad.yaml')).rejects.toThrow('parse error')
  },
)
