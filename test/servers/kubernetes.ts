// A real Kubernetes API server with its own etcd on free ports: RBAC, Leases, custom resources and admission as in a cluster, and
// neither nodes nor controllers, so nothing runs there. There is no HUB_TEST_KUBERNETES_URL: tests break the server and its data.

import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { KubernetesApi } from './kubernetes-api.ts'
import type { KubernetesAddress } from './kubernetes-api.ts'
import { builtKubernetes } from './kubernetes-setup.ts'
import type { ProvidedKubernetes } from './kubernetes-setup.ts'
import { startProcess } from './process.ts'
import type { ServerProcess } from './process.ts'
import { reasonOf } from './provide.ts'
import { pickPorts, startServer } from './server.ts'
import type { Server } from './server.ts'

export interface KubernetesOptions {
  /**
   * False: each list and watch goes to etcd, so that `compact` is felt at once: 410 Gone. Default true, as in a cluster,
   * where the API server answers from memory and only its restart makes it forget.
   */
  readonly watchCache?: boolean
  /** False: whoever sends no token is answered 401. Default true, as in a cluster: 403, since `system:anonymous` may nothing. */
  readonly anonymous?: boolean
  /** More of kube-apiserver's. */
  readonly flags?: readonly string[]
}

/** What `Server` has is of the API server, which keeps port, CA, tokens and data over each end. */
export interface KubernetesServer extends Server {
  readonly api: KubernetesApi
  readonly etcd: Server
  /** SIGSTOP: connections stay open and nothing answers. Ends with `resume`, `stop`, `kill` and `restart`. */
  pause(): void
  resume(): void
  /** Makes etcd forget every version before this call: what asks for one is answered 410, see `watchCache`. */
  compact(): Promise<void>
}

/** Why there is none, for `context.skip`; undefined when there is one. */
export async function noKubernetes(): Promise<string | undefined> {
  return await reasonOf('kubernetes', () => Promise.try(builtKubernetes))
}

const READY_MS = 120_000
const STOP_MS = 15_000
const PROBE_MS = 5_000

/** @throws ServerUnavailable */
export async function startKubernetes(options: KubernetesOptions = {}): Promise<KubernetesServer> {
  const programs = builtKubernetes()
  const [etcdPort = 0, peerPort = 0, port = 0] = await pickPorts(3)
  const etcd = await startEtcd(programs, etcdPort, peerPort)
  try {
    return await startApiServer(programs, options, etcd, `http://127.0.0.1:${etcdPort}`, port)
  } catch (error) {
    await etcd[Symbol.asyncDispose]()
    throw error
  }
}

async function startEtcd(programs: ProvidedKubernetes, port: number, peerPort: number): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'hub-etcd-'))
  const [client, peer] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`]
  const flags = {
    'data-dir': join(folder, 'data'),
    'listen-client-urls': client,
    'advertise-client-urls': client,
    'listen-peer-urls': peer,
    'initial-advertise-peer-urls': peer,
    'initial-cluster': `default=${peer}`,
    'log-level': 'warn',
  }
  const ready = async (): Promise<void> => {
    const { status } = await fetch(`${client}/health`, { signal: AbortSignal.timeout(PROBE_MS) })
    if (status !== 200) throw new Error(`etcd: ${status}`)
  }
  // Only processes end here, never the machine: without waiting for the disk nothing is lost and all is quicker.
  const launch = (): ServerProcess => startProcess(programs.etcd, [...flagsOf(flags), '--unsafe-no-fsync'])
  return await startServer({ name: 'etcd', folder, launch, ready, readyMs: READY_MS, stopMs: STOP_MS }, programs)
}

async function startApiServer(
  programs: ProvidedKubernetes,
  options: KubernetesOptions,
  etcd: Server,
  etcdUrl: string,
  port: number,
): Promise<KubernetesServer> {
  const folder = mkdtempSync(join(tmpdir(), 'hub-apiserver-'))
  const adminToken = randomUUID()
  const flags = [...flagsOf(settings(folder, etcdUrl, port, adminToken, options)), ...(options.flags ?? [])]
  const { kubectl, helm } = programs
  const [caFile, signingKeyFile] = [join(folder, 'ca.crt'), join(folder, 'signing.key')]
  const address: KubernetesAddress = { url: `https://127.0.0.1:${port}`, port, caFile, adminToken, signingKeyFile, kubectl, helm } // prettier-ignore
  let api: KubernetesApi | undefined
  let running: ServerProcess | undefined
  const server = await startServer(
    {
      name: 'kube-apiserver',
      folder,
      launch: () => (running = startProcess(programs.apiserver, flags)),
      ready: () => isReady(folder, address),
      readyMs: READY_MS,
      stopMs: STOP_MS,
      cleanUp: async () => {
        api?.[Symbol.dispose]()
        await etcd[Symbol.asyncDispose]()
      },
    },
    programs,
  )
  api = new KubernetesApi(address)
  const signal = (name: 'SIGSTOP' | 'SIGCONT'): void => void running?.child.kill(name)
  const resume = (): void => signal('SIGCONT')
  return {
    ...server,
    api,
    etcd,
    pause: () => signal('SIGSTOP'),
    resume,
    stop: async () => {
      resume()
      await server.stop()
    },
    restart: async () => {
      resume()
      await server.restart()
    },
    compact: () => compact(etcdUrl),
  }
}

/** Of kube-apiserver, with the files they name. */
function settings(
  folder: string,
  etcdUrl: string,
  port: number,
  adminToken: string,
  options: KubernetesOptions,
): Readonly<Record<string, string>> {
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 })
    return join(folder, name)
  }
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  mkdirSync(join(folder, 'certificates'))
  return {
    'etcd-servers': etcdUrl,
    // Else it compacts by itself every five minutes.
    'etcd-compaction-interval': '0',
    'watch-cache': String(options.watchCache ?? true),
    'bind-address': '127.0.0.1',
    'secure-port': String(port),
    // It makes its own, and keeps them.
    'cert-dir': join(folder, 'certificates'),
    // Nobody connects there. Loopback is refused, and a machine may have nothing else.
    'advertise-address': '192.0.2.1',
    'endpoint-reconciler-type': 'none',
    'service-cluster-ip-range': '10.0.0.0/24',
    'authorization-mode': 'RBAC',
    'anonymous-auth': String(options.anonymous ?? true),
    'token-auth-file': file('tokens.csv', `${adminToken},admin,admin,"system:masters"\n`),
    'service-account-issuer': 'https://kubernetes.default.svc',
    'service-account-signing-key-file': file(
      'signing.key',
      privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    ),
    'service-account-key-file': file('signing.pub', publicKey.export({ type: 'spki', format: 'pem' }) as string),
    // It would refuse pods until a controller, which is not here, has made each namespace's default account.
    'disable-admission-plugins': 'ServiceAccount',
    // Ends with its connections, which nobody needs to drain.
    'shutdown-delay-duration': '0s',
    profiling: 'false',
  }
}

const flagsOf = (flags: Readonly<Record<string, string>>): readonly string[] => Object.entries(flags).map(([name, value]) => `--${name}=${value}`) // prettier-ignore

/** Also writes the CA's file, which the server has made by then. */
async function isReady(folder: string, { url, caFile, adminToken }: KubernetesAddress): Promise<void> {
  // The certificate of the server, then of the CA that it has made up.
  const chain = readFileSync(join(folder, 'certificates', 'apiserver.crt'), 'utf8')
  const ca = chain.slice(chain.lastIndexOf('-----BEGIN CERTIFICATE-----'))
  writeFileSync(caFile, ca)
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const options = { ca, agent: false as const, timeout: PROBE_MS, headers: { authorization: `Bearer ${adminToken}` } }
    const sent = request(`${url}/readyz`, options, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    sent.once('error', reject)
    sent.once('timeout', () => sent.destroy(new Error('no answer')))
    sent.end()
  })
  if (status !== 200) throw new Error(`${url}/readyz: ${status}`)
}

async function compact(etcdUrl: string): Promise<void> {
  const ask = async (path: string, body: unknown): Promise<{ readonly header: { readonly revision: string } }> => {
    const answer = await fetch(`${etcdUrl}/v3/kv/${path}`, { method: 'POST', body: JSON.stringify(body), signal: AbortSignal.timeout(READY_MS) }) // prettier-ignore
    if (!answer.ok) throw new Error(`etcd ${path}: ${answer.status} ${await answer.text()}`)
    return (await answer.json()) as { readonly header: { readonly revision: string } }
  }
  // A watch from the newest version starts after it. Two more, so that its start is behind the compaction too.
  const put = { key: Buffer.from('hub-test-compaction').toString('base64'), value: '' }
  await ask('put', put)
  const { header } = await ask('put', put)
  await ask('compaction', { revision: header.revision, physical: true })
}
