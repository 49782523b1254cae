// What tests do to a Kubernetes API server as its administrator: namespaces, service accounts with tokens and rights, the
// Function resource, and the real kubectl and helm. Starts no server; see kubernetes.ts and shared-kubernetes.ts.

import { execFile } from 'node:child_process'
import { createPrivateKey, sign } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { FUNCTION_CRD } from './function-crd.ts'

/** Where a server is and who may do everything there. Plain data, so that workers can be given it. */
export interface KubernetesAddress {
  /** `https://127.0.0.1:…`; its certificate is for that address and for `kubernetes.default.svc`. */
  readonly url: string
  readonly port: number
  /** PEM. */
  readonly caFile: string
  /** Bearer token of `system:masters`, whom RBAC refuses nothing. */
  readonly adminToken: string
  /** PEM of the key that tokens of service accounts are signed with. */
  readonly signingKeyFile: string
  /** Executables. */
  readonly kubectl: string
  readonly helm: string
}

export interface Answer {
  readonly status: number
  readonly text: string
}

export interface Asked {
  /** Default: the administrator's. Empty: none is sent. */
  readonly token?: string
  /** Default `application/json`. */
  readonly contentType?: string
}

export interface Ran {
  /** Exit status. */
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  /** Default: the administrator's. */
  readonly token?: string
  /** Of the context, where the command names none. */
  readonly namespace?: string
  readonly input?: string
  /** Working folder. Default: a private one. */
  readonly folder?: string
  readonly env?: Readonly<Record<string, string>>
}

/** As in a Role: `{ apiGroups: [''], resources: ['configmaps'], verbs: ['get'] }`. */
export interface Rule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly resourceNames?: readonly string[]
  readonly verbs: readonly string[]
}

const ANSWER_MS = 60_000
/** Of one command; reached only by what hangs. */
const RUN_MS = 180_000
const TOKEN_SECONDS = 3600
const RBAC = '/apis/rbac.authorization.k8s.io/v1'

/** On disposal it removes its own files, and nothing in the cluster. */
export class KubernetesApi implements Disposable {
  readonly address: KubernetesAddress
  /** PEM. */
  readonly ca: string
  /** Home of kubectl and helm, so that they neither read nor write what belongs to this machine's user. */
  readonly #folder = mkdtempSync(join(tmpdir(), 'hub-kubernetes-'))

  constructor(address: KubernetesAddress) {
    this.address = address
    this.ca = readFileSync(address.caFile, 'utf8')
  }

  get url(): string {
    return this.address.url
  }

  /**
   * One request on a connection of its own.
   * @param path with query: `/api/v1/namespaces?limit=1`
   * @returns whatever it answers, refusals too
   * @throws Error when it does not answer
   */
  async request(method: string, path: string, body?: unknown, asked: Asked = {}): Promise<Answer> {
    const { token = this.address.adminToken, contentType = 'application/json' } = asked
    const headers = {
      ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': contentType }),
    }
    return await new Promise((resolve, reject) => {
      const options = { method, headers, ca: this.ca, agent: false as const, timeout: ANSWER_MS }
      const sent = request(`${this.url}${path}`, options, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.once('end', () => resolve({ status: response.statusCode ?? 0, text }))
        response.once('error', reject)
      })
      sent.once('error', reject)
      sent.once('timeout', () => sent.destroy(new Error(`${method} ${path}: no answer`)))
      sent.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  /** @throws Error with the server's words unless it answers 2xx */
  async json<T>(method: string, path: string, body?: unknown, asked: Asked = {}): Promise<T> {
    const { status, text } = await this.request(method, path, body, asked)
    if (status < 200 || status > 299) throw new Error(`${method} ${path}: ${status} ${text}`)
    return JSON.parse(text) as T
  }

  /** @returns its name, like no other */
  async createNamespace(labels: Readonly<Record<string, string>> = {}): Promise<string> {
    const namespace = { metadata: { generateName: 'hub-', labels } }
    const { metadata } = await this.json<{ metadata: { name: string } }>('POST', '/api/v1/namespaces', namespace)
    return metadata.name
  }

  /**
   * A token as a pod has it, of a service account that is created where it is missing.
   * @param seconds at least 600, which the server insists on
   */
  async serviceAccountToken(namespace: string, account: string, seconds = TOKEN_SECONDS): Promise<string> {
    const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`
    const created = await this.request('POST', accounts, { metadata: { name: account } })
    if (created.status !== 201 && created.status !== 409) throw new Error(`${accounts}: ${created.status} ${created.text}`) // prettier-ignore
    const spec = { spec: { expirationSeconds: seconds } }
    const { status } = await this.json<{ status: { token: string } }>('POST', `${accounts}/${account}/token`, spec)
    return status.token
  }

  /**
   * The same, signed for a shorter life than the server gives: for a server that refuses expired ones with 401.
   * @param seconds until it expires, negative for one that has. The server overlooks a minute, and remembers for ten seconds
   *   what it has accepted.
   */
  async tokenExpiringIn(seconds: number, namespace: string, account: string): Promise<string> {
    const [header = '', payload = ''] = (await this.serviceAccountToken(namespace, account)).split('.')
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>
    const expires = Math.floor(Date.now() / 1000) + seconds
    const issued = expires - TOKEN_SECONDS
    const signed = `${header}.${base64url({ ...claims, iat: issued, nbf: issued, exp: expires })}`
    const key = createPrivateKey(readFileSync(this.address.signingKeyFile))
    return `${signed}.${sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }

  /**
   * A Role with these rules, bound to the account. Rights add up over calls.
   * @param inNamespace where they hold; default the account's
   * @returns name of both the Role and the RoleBinding, to take the rights away again
   */
  async grant(namespace: string, account: string, rules: readonly Rule[], inNamespace = namespace): Promise<string> {
    const role = { metadata: { generateName: `${account}-` }, rules }
    const { metadata } = await this.json<{ metadata: { name: string } }>('POST', `${RBAC}/namespaces/${inNamespace}/roles`, role) // prettier-ignore
    const binding = {
      metadata: { name: metadata.name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: metadata.name },
      subjects: [{ kind: 'ServiceAccount', name: account, namespace }],
    }
    await this.json('POST', `${RBAC}/namespaces/${inNamespace}/rolebindings`, binding)
    return metadata.name
  }

  /** Takes away what one call of `grant` gave. */
  async revoke(namespace: string, granted: string): Promise<void> {
    await this.json('DELETE', `${RBAC}/namespaces/${namespace}/rolebindings/${granted}`)
    await this.json('DELETE', `${RBAC}/namespaces/${namespace}/roles/${granted}`)
  }

  /** `functions.openfaas.com`, ready for use. Idempotent. */
  async installFunctionCrd(): Promise<void> {
    const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
    const created = await this.request('POST', crds, FUNCTION_CRD)
    if (created.status !== 201 && created.status !== 409) throw new Error(`${crds}: ${created.status} ${created.text}`)
    // Accepted is not served: that takes a moment.
    const until = Date.now() + ANSWER_MS
    for (;;) {
      const { status, text } = await this.request('GET', '/apis/openfaas.com/v1/functions?limit=1')
      if (status === 200) return
      if (Date.now() > until) throw new Error(`functions are not served: ${status} ${text}`)
    }
  }

  /** Path of a file for `token`, by default the administrator's. Goes with us. */
  kubeconfig(token = this.address.adminToken, namespace = 'default'): string {
    const path = join(mkdtempSync(join(this.#folder, 'config-')), 'kubeconfig')
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'test',
      clusters: [{ name: 'test', cluster: { server: this.url, 'certificate-authority': this.address.caFile } }],
      users: [{ name: 'test', user: { token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test', namespace } }],
    }
    writeFileSync(path, JSON.stringify(config), { mode: 0o600 })
    return path
  }

  /** Never throws for what the command refuses: look at the status. */
  async kubectl(args: readonly string[], running: Running = {}): Promise<Ran> {
    return await this.#run(this.address.kubectl, args, running)
  }

  /** As `kubectl`. */
  async helm(args: readonly string[], running: Running = {}): Promise<Ran> {
    return await this.#run(this.address.helm, args, running)
  }

  async #run(command: string, args: readonly string[], running: Running): Promise<Ran> {
    const { token, namespace, input = '', folder = this.#folder, env = {} } = running
    const own = {
      PATH: process.env['PATH'] ?? '',
      HOME: this.#folder,
      KUBECONFIG: this.kubeconfig(token, namespace),
      HELM_CACHE_HOME: join(this.#folder, 'helm', 'cache'),
      HELM_CONFIG_HOME: join(this.#folder, 'helm', 'config'),
      HELM_DATA_HOME: join(this.#folder, 'helm', 'data'),
    }
    return await new Promise((resolve, reject) => {
      const options = { cwd: folder, env: { ...own, ...env }, timeout: RUN_MS, killSignal: 'SIGKILL', maxBuffer: 64 * 2 ** 20 } as const // prettier-ignore
      const child = execFile(command, args, options, (error, stdout, stderr) => {
        const status = error === null ? 0 : error.code
        if (typeof status === 'number') resolve({ status, stdout, stderr })
        else reject(new Error(`${command} ${args.join(' ')}: ${stderr}`, { cause: error }))
      })
      // It may end without reading, which is not ours to complain about.
      child.stdin?.on('error', () => {})
      child.stdin?.end(input)
    })
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
