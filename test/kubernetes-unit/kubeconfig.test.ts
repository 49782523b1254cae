import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { inspect } from 'node:util'

import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'

import { KubernetesApi, openAccess } from '../../src/kubernetes/index.ts'
import type { Access, OpenAccessOptions } from '../../src/kubernetes/index.ts'
import { ManualClock, systemClock } from '../../src/sdk/index.ts'
import { createCertificates, noCertificates } from '../servers/tls.ts'
import type { Certificates } from '../servers/tls.ts'
import { FakeApi, json } from './fake-api.ts'

const missing = noCertificates()
const because = missing === undefined ? '' : ` (${missing})`
const PATH = '/version'
let folder: string
const used: AsyncDisposable[] = []

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hub-kubeconfig-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))
afterEach(async () => {
  for (const one of used.splice(0)) await one[Symbol.asyncDispose]()
})

function file(name: string, content: string): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

interface Named {
  readonly [name: string]: Readonly<Record<string, unknown>>
}

/** A kubeconfig, as JSON, which is YAML. */
function config(
  name: string,
  given: { readonly clusters?: Named; readonly users?: Named; readonly contexts?: Named; readonly current?: string },
): string {
  const list = (kind: string, named: Named = {}): unknown =>
    Object.entries(named).map(([one, value]) => ({ name: one, [kind]: value }))
  return file(
    name,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: list('cluster', given.clusters),
      users: list('user', given.users),
      contexts: list('context', given.contexts),
      ...(given.current === undefined ? {} : { 'current-context': given.current }),
    }),
  )
}

const open = (KUBECONFIG: string, more: Partial<OpenAccessOptions> = {}): Promise<Access> =>
  openAccess({ env: { KUBECONFIG, HOME: folder, PATH: process.env['PATH'] }, clock: systemClock, ...more })

async function server(): Promise<FakeApi> {
  const fake = await FakeApi.listen()
  used.push(fake)
  fake.answers.set(PATH, json({ ok: true }))
  return fake
}

async function ask(access: Access): Promise<unknown> {
  const api = new KubernetesApi({ access, clock: systemClock, userAgent: 'test' })
  try {
    return await api.get(PATH)
  } finally {
    await api.close()
  }
}

/** Not so when only its parent has yet to be told that it has ended. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** What opening fails with. */
const refusal = (opened: Promise<Access>): Promise<unknown> => opened.then(() => 'opened', (error: unknown) => error) // prettier-ignore

test('several files are one, in which the first that says something wins, as for kubectl', async () => {
  const first = config('first', {
    clusters: { shared: { server: 'https://one.example:6443/' } },
    users: { me: { token: 'mine' } },
  })
  const second = config('second', {
    clusters: { shared: { server: 'https://two.example' }, other: { server: 'https://three.example/k8s' } },
    users: { me: { token: 'theirs' } },
    contexts: { a: { cluster: 'shared', user: 'me' }, b: { cluster: 'other', user: 'me', namespace: 'shop' } },
    current: 'a',
  })
  const third = config('third', { current: 'b' })
  const paths = [first, join(folder, 'none'), second, third].join(delimiter)
  const access = await open(paths)
  expect([access.server, access.namespace, access.from]).toEqual(['https://one.example:6443', 'default', 'context a of the kubeconfig']) // prettier-ignore
  expect(await access.authorization()).toBe('Bearer mine')
  const chosen = await open(paths, { context: 'b' })
  expect([chosen.server, chosen.namespace]).toEqual(['https://three.example/k8s', 'shop'])
})

test('a token in a file beside the kubeconfig is the one of that moment, and counts before a token', async () => {
  const clock = new ManualClock()
  const users = { u: { token: 'old', tokenFile: 'beside.token' }, other: { tokenFile: '/no/token' } }
  const given = { clusters: { c: { server: 'https://s' } }, users, contexts: { a: { cluster: 'c', user: 'u' }, b: { cluster: 'c', user: 'other' } } } // prettier-ignore
  file('beside.token', 'first\n')
  const access = await open(config('token-file', { ...given, current: 'a' }), { clock })
  expect(await access.authorization()).toBe('Bearer first')
  file('beside.token', 'second\n')
  expect(await access.authorization('Bearer first')).toBe('Bearer second')
  file('beside.token', 'third\n')
  await clock.advance(60_000)
  expect(await access.authorization()).toBe('Bearer third')
  expect(await refusal(open(config('token-file', { ...given, current: 'b' })))).toMatchObject({ code: 'HUB_CONFIG_UNREADABLE', message: expect.stringContaining('/no/token') as string }) // prettier-ignore
})

test('a file that is named counts before KUBECONFIG, and in a pod, too', async () => {
  const own = config('own', {
    clusters: { c: { server: 'https://own.example' } },
    users: { u: { username: 'a', password: 'b' } },
    contexts: { own: { cluster: 'c', user: 'u' } },
    current: 'own',
  })
  const env = { KUBECONFIG: join(folder, 'none'), KUBERNETES_SERVICE_HOST: 'pod.example' }
  const access = await openAccess({ env, clock: systemClock, kubeconfig: own, serviceAccount: folder })
  expect([access.server, await access.authorization()]).toEqual(['https://own.example', 'Basic YTpi'])
})

test('a server without TLS, such as kubectl proxy, is asked without credentials', async () => {
  const fake = await server()
  const path = config('plain', {
    clusters: { c: { server: fake.url } },
    users: { u: { token: 's3cret' } },
    contexts: { a: { cluster: 'c', user: 'u' } },
    current: 'a',
  })
  expect(await ask(await open(path))).toEqual({ ok: true })
  expect(fake.asked[0]?.headers.authorization).toBe(undefined)
})

test.each([
  ['no YAML', () => file('broken', 'clusters: [unclosed'), 'HUB_CONFIG_UNREADABLE', /broken: /],
  ['no current context', () => config('uncurrent', { contexts: { a: { cluster: 'c', user: 'u' } } }), 'HUB_CONFIG_INVALID', /no current context/], // prettier-ignore
  ['a context without a cluster', () => config('clusterless', { contexts: { a: { cluster: 'c', user: 'u' } }, current: 'a' }), 'HUB_CONFIG_INVALID', /names no cluster/], // prettier-ignore
  ['a context without a user', () => config('userless', { clusters: { c: { server: 'https://s' } }, contexts: { a: { cluster: 'c', user: 'gone' } }, current: 'a' }), 'HUB_CONFIG_INVALID', /names no user/], // prettier-ignore
  ['a user who acts as another', () => config('acting', { clusters: { c: { server: 'https://s' } }, users: { u: { token: 't', as: 'admin' } }, contexts: { a: { cluster: 'c', user: 'u' } }, current: 'a' }), 'HUB_CONFIG_INVALID', /acts as another/], // prettier-ignore
  ['a CA that is not there', () => config('ca-less', { clusters: { c: { server: 'https://s', 'certificate-authority': '/no/ca.crt' } }, users: { u: { token: 't' } }, contexts: { a: { cluster: 'c', user: 'u' } }, current: 'a' }), 'HUB_CONFIG_UNREADABLE', /\/no\/ca\.crt/], // prettier-ignore
  ['a context that is not there', () => config('contextless', { contexts: { a: { cluster: 'c', user: 'u' } }, current: 'z' }), 'HUB_CONFIG_INVALID', /no context "z"/], // prettier-ignore
  [
    'a proxy that speaks no HTTP',
    () =>
      config('socks', {
        clusters: { c: { server: 'https://s', 'proxy-url': 'socks5://p:1' } },
        users: { u: {} },
        contexts: { a: { cluster: 'c', user: 'u' } },
        current: 'a',
      }),
    'HUB_CONFIG_INVALID',
    /proxy-url/,
  ],
])('a kubeconfig with %s is refused', async (_what, make, code, message) => {
  expect(await refusal(open(make()))).toMatchObject({ code, message: expect.stringMatching(message) as string })
})

test('what is no YAML is said by its place, and nothing that stands around it', async () => {
  const path = file('leaky', "users:\n- user: {token: 's3cret'}\n bad: [x\n")
  const error = (await refusal(open(path))) as Error
  expect(error.message).toBe(`${path}: no YAML at line 3, column 2`)
  expect(inspect(error, { depth: 9 })).not.toContain('s3cret')
})

test('a context that is not there is named with those that are', async () => {
  const path = config('known', { contexts: { one: { cluster: 'c', user: 'u' }, two: { cluster: 'c', user: 'u' } } })
  expect(await refusal(open(path, { context: 'three' }))).toMatchObject({ hint: 'It has: one, two.' })
})

describe.skipIf(missing !== undefined)(`a program that hands out tokens${because}`, () => {
  let pem: Certificates
  beforeAll(() => {
    pem = createCertificates()
  })
  afterAll(() => pem[Symbol.dispose]())

  async function tlsServer(): Promise<FakeApi> {
    const fake = await FakeApi.listen({ cert: readFileSync(pem.certFile), key: readFileSync(pem.keyFile) })
    used.push(fake)
    fake.answers.set(PATH, json({ ok: true }))
    return fake
  }

  /** A shell script, run in place of a cloud's login program. */
  function execConfig(name: string, fake: FakeApi, script: string): string {
    const command = file(`${name}.sh`, `#!/bin/sh\n${script}\n`)
    chmodSync(command, 0o700)
    return config(name, {
      clusters: { c: { server: fake.url, 'certificate-authority': pem.caFile } },
      users: { u: { exec: { apiVersion: 'client.authentication.k8s.io/v1', command, args: [], interactiveMode: 'Never' } } }, // prettier-ignore
      contexts: { a: { cluster: 'c', user: 'u' } },
      current: 'a',
    })
  }
  const credential = (token: string): string =>
    `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"${token}"}}`

  test('is run once for many requests, and again when its token is refused', async () => {
    const fake = await tlsServer()
    const counter = join(folder, 'runs')
    writeFileSync(counter, '')
    const path = execConfig('login', fake, `echo run >> ${counter}\necho '${credential("t'$(wc -l < " + counter + ")'")}'`) // prettier-ignore
    const access = await open(path)
    expect(await ask(access)).toEqual({ ok: true })
    expect(await ask(access)).toEqual({ ok: true })
    expect(readFileSync(counter, 'utf8')).toBe('run\n')
    fake.answers.set(PATH, (response, url, request) =>
      json({}, request.headers.authorization === 'Bearer t1' ? 401 : 200)(response, url, request),
    )
    expect(await ask(access)).toEqual({})
    expect(fake.asked.map(({ headers }) => headers.authorization)).toEqual(['Bearer t1', 'Bearer t1', 'Bearer t1', 'Bearer t2']) // prettier-ignore
  })

  test('that fails is named, and nothing of what it wrote is', async () => {
    const fake = await tlsServer()
    const path = execConfig('failing', fake, `echo '${credential('s3cret')}'\necho s3cret >&2\nexit 3`)
    const error = (await refusal(open(path))) as Error & { readonly hint: string }
    expect(error).toMatchObject({ code: 'HUB_KUBERNETES_UNAUTHORIZED', canRetry: true })
    expect(error.message).toContain(join(folder, 'failing.sh'))
    expect(error.message + error.hint).not.toContain('s3cret')
  })

  test('that hangs is killed after a minute, with what it has started', async () => {
    const fake = await tlsServer()
    const pids = file('hanging.pids', '')
    const path = execConfig('hanging', fake, `sleep 600 &\necho $! $$ >> ${pids}\ncat\nwait`)
    const clock = new ManualClock()
    const refused = refusal(open(path, { clock }))
    const running = (): readonly number[] => readFileSync(pids, 'utf8').trim().split(' ').map(Number)
    await vi.waitFor(() => expect(running()).toHaveLength(2), { timeout: 60_000, interval: 20 })
    await clock.advance(59_999)
    expect(running().map(isAlive)).toEqual([true, true])
    await clock.advance(1)
    expect(await refused).toMatchObject({
      code: 'HUB_KUBERNETES_UNAUTHORIZED',
      message: `the kubeconfig's context a gives no credentials by running ${join(folder, 'hanging.sh')}: it gave none within 60 s and was killed`,
      canRetry: true,
    })
    await vi.waitFor(() => expect(running().map(isAlive)).toEqual([false, false]), { timeout: 60_000, interval: 20 })
  })

  test('that runs while we stop is killed', async () => {
    const pids = file('stopped.pids', '')
    const path = execConfig('stopped', await tlsServer(), `echo $$ >> ${pids}\nsleep 600`)
    const stopping = new AbortController()
    const refused = refusal(open(path, { signal: stopping.signal }))
    await vi.waitFor(() => expect(readFileSync(pids, 'utf8')).not.toBe(''), { timeout: 60_000, interval: 20 })
    stopping.abort(new Error('stopped'))
    expect(await refused).toBe(stopping.signal.reason)
    const pid = Number(readFileSync(pids, 'utf8'))
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false), { timeout: 60_000, interval: 20 })
  })

  test.each([
    ['writes without end', 'yes', 'it wrote more than 1 MiB'],
    ['writes something else', "echo '<html>'", 'what it wrote is no ExecCredential with a token or a certificate'],
    ['writes half a certificate', `echo '{"status":{"clientCertificateData":"x"}}'`, 'what it wrote is no ExecCredential with a token or a certificate'], // prettier-ignore
    ['ends by a signal', 'kill -9 $$', 'it was ended by SIGKILL'],
    ['fails', 'exit 3', 'it ended with status 3'],
  ])('that %s is refused', async (what, script, why) => {
    const path = execConfig(what.replaceAll(' ', '-'), await tlsServer(), script)
    expect(await refusal(open(path))).toMatchObject({
      code: 'HUB_KUBERNETES_UNAUTHORIZED',
      message: expect.stringMatching(new RegExp(`: ${why}$`)) as string,
    })
  })

  test('is told what it is asked for, and asked again when its token has ended', async () => {
    const fake = await tlsServer()
    const told = file('told', '')
    const status = `{"status":{"token":"t","expirationTimestamp":"1970-01-01T01:00:00Z"}}`
    const path = execConfig('telling', fake, `echo "$KUBERNETES_EXEC_INFO" >> ${told}\necho '${status}'`)
    const clock = new ManualClock(0)
    const access = await open(path, { clock })
    const info = { kind: 'ExecCredential', apiVersion: 'client.authentication.k8s.io/v1', spec: { interactive: false } }
    expect(JSON.parse(readFileSync(told, 'utf8'))).toEqual(info)
    await clock.advance(3_599_000)
    expect(await access.authorization()).toBe('Bearer t')
    expect(readFileSync(told, 'utf8').split('\n')).toHaveLength(2)
    await clock.advance(31_000)
    expect(await access.authorization()).toBe('Bearer t')
    expect(readFileSync(told, 'utf8').split('\n')).toHaveLength(3)
  })

  test('that stands beside the kubeconfig is found there, wherever the hub was started', async () => {
    const fake = await tlsServer()
    const path = execConfig('beside', fake, `echo '${credential('mine')}'`)
    writeFileSync(path, readFileSync(path, 'utf8').replace(join(folder, 'beside.sh'), './beside.sh'))
    expect(await (await open(path)).authorization()).toBe('Bearer mine')
  })

  test('that is not there is named', async () => {
    const path = config('absent', {
      clusters: { c: { server: 'https://localhost:1' } },
      users: { u: { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'no-such-login-program' } } },
      contexts: { a: { cluster: 'c', user: 'u' } },
      current: 'a',
    })
    expect(await refusal(open(path))).toMatchObject({
      code: 'HUB_KUBERNETES_UNAUTHORIZED',
      message: expect.stringContaining('no-such-login-program') as string,
    })
  })
})

describe.skipIf(missing !== undefined)(`certificates${because}`, () => {
  let pem: Certificates
  beforeAll(() => {
    pem = createCertificates()
  })
  afterAll(() => pem[Symbol.dispose]())

  test('of a client say who asks, by file and as data', async () => {
    const read = (path: string): string => readFileSync(path, 'utf8')
    const data = (path: string): string => Buffer.from(read(path)).toString('base64')
    const tls = { cert: read(pem.certFile), key: read(pem.keyFile), ca: read(pem.caFile), requestCert: true, rejectUnauthorized: true } // prettier-ignore
    const fake = await FakeApi.listen(tls)
    used.push(fake)
    fake.answers.set(PATH, json({ ok: true }))
    const common = { contexts: { a: { cluster: 'c', user: 'u' } }, current: 'a' }
    const byFile = config('by-file', {
      ...common,
      clusters: { c: { server: fake.url, 'certificate-authority': pem.caFile } },
      users: { u: { 'client-certificate': pem.clientCertFile, 'client-key': pem.clientKeyFile } },
    })
    const asData = config('as-data', {
      ...common,
      clusters: { c: { server: fake.url, 'certificate-authority-data': data(pem.caFile) } },
      users: { u: { 'client-certificate-data': data(pem.clientCertFile), 'client-key-data': data(pem.clientKeyFile) } },
    })
    for (const path of [byFile, asData]) {
      const access = await open(path)
      expect(await access.authorization()).toBe(undefined)
      expect(await ask(access)).toEqual({ ok: true })
    }
    const nobody = config('nobody', {
      ...common,
      clusters: { c: { server: fake.url, 'certificate-authority': pem.caFile } },
      users: { u: {} },
    })
    await expect(ask(await open(nobody))).rejects.toMatchObject({ code: 'HUB_KUBERNETES_UNREACHABLE' })
  })

  test('are checked through a proxy, too', async () => {
    const fake = await FakeApi.listen({ cert: readFileSync(pem.certFile), key: readFileSync(pem.keyFile) })
    used.push(fake)
    fake.answers.set(PATH, json({ ok: true }))
    const targets: string[] = []
    const proxy = createServer()
    proxy.on('connect', (request, socket) => {
      targets.push(request.url ?? '')
      const upstream = connect(fake.port, 'localhost', () => {
        socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')
        upstream.pipe(socket).pipe(upstream)
      })
      socket.on('error', () => upstream.destroy())
      upstream.on('error', () => socket.destroy())
    })
    proxy.listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    used.push({ [Symbol.asyncDispose]: async () => void proxy.close() })
    const cluster = { server: fake.url, 'proxy-url': `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` }
    const common = { users: { u: { token: 't' } }, contexts: { a: { cluster: 'c', user: 'u' } }, current: 'a' }
    const trusted = config('proxied', { ...common, clusters: { c: { ...cluster, 'certificate-authority': pem.caFile } } }) // prettier-ignore
    expect(await ask(await open(trusted))).toEqual({ ok: true })
    expect(fake.asked[0]?.headers.authorization).toBe('Bearer t')
    const other = config('proxied-other', { ...common, clusters: { c: { ...cluster, 'certificate-authority': pem.otherCaFile } } }) // prettier-ignore
    await expect(ask(await open(other))).rejects.toMatchObject({ code: 'HUB_KUBERNETES_UNREACHABLE' })
    expect(targets).toEqual([`localhost:${fake.port}`, `localhost:${fake.port}`])
  })

  test('that are the same as before keep their connections', async () => {
    const clock = new ManualClock()
    const path = config('kept', {
      clusters: { c: { server: 'https://localhost', 'certificate-authority': pem.caFile } },
      users: { u: { token: 't' } },
      contexts: { a: { cluster: 'c', user: 'u' } },
      current: 'a',
    })
    const access = await open(path, { clock })
    const first = await access.tls()
    await clock.advance(3_600_000)
    expect(await access.tls()).toBe(first)
  })
})
