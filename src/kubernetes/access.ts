// Where the API server is and who we are there: in a pod by the files of its service account, which change while we run.
// Sends nothing; read by api.ts for each connection and each request.

import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import { join } from 'node:path'

import { HubError, errorText } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'

/** Options of Node's TLS. PEM texts. */
export interface AccessTls {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
  readonly rejectUnauthorized?: boolean
}

export interface Access {
  /** Base URL without a trailing slash and without credentials: `https://10.0.0.1:443`. */
  readonly server: string
  /** Of the pod, or of the kubeconfig's context; `default` where neither says one. */
  readonly namespace: string
  /** Where this is from, for people: `the service account of this pod`. */
  readonly from: string
  /** Of an HTTP proxy in front of the server. */
  readonly proxy?: string
  /** For the next connection. The same object as before as long as nothing changed. @throws HubError HUB_CONFIG_UNREADABLE */
  tls(): Promise<AccessTls>
  /**
   * The Authorization header; undefined where a client certificate says who we are.
   * @param refused the header that the server answered 401 to: what it was read from is read again
   * @throws HubError HUB_CONFIG_UNREADABLE
   */
  authorization(refused?: string): Promise<string | undefined>
}

export type AccessEnvironment = Readonly<Record<string, string | undefined>>

/** Where Kubernetes mounts the token, the CA and the namespace of a pod's service account. */
export const SERVICE_ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount'

/** Bound tokens live for an hour or more, and the file has the next one when 80 % of that are over. */
const REREAD_MS = 30_000

/** True in a pod whose service account is mounted. */
export function isInPod(env: AccessEnvironment, folder = SERVICE_ACCOUNT_FOLDER): boolean {
  return (env['KUBERNETES_SERVICE_HOST'] ?? '') !== '' && existsSync(join(folder, 'token'))
}

/** @throws HubError HUB_CONFIG_INVALID outside a pod, HUB_CONFIG_UNREADABLE */
export async function podAccess(
  env: AccessEnvironment,
  clock: Clock,
  folder = SERVICE_ACCOUNT_FOLDER,
): Promise<Access> {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? ''
  if (host === '')
    throw new HubError('HUB_CONFIG_INVALID', 'KUBERNETES_SERVICE_HOST is not set, so this is no pod of Kubernetes', {
      hint: 'Run in a pod, or point KUBECONFIG at a kubeconfig file.',
    })
  const token = new CachedFile(join(folder, 'token'), clock)
  const ca = new CachedFile(join(folder, 'ca.crt'), clock)
  const namespace = (await readMounted(join(folder, 'namespace'))).trim()
  let tls: AccessTls = { ca: await ca.read() }
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${env['KUBERNETES_SERVICE_PORT'] ?? '443'}`,
    namespace,
    from: 'the service account of this pod',
    tls: async () => {
      const pem = await ca.read()
      if (pem !== tls.ca) tls = { ca: pem }
      return tls
    },
    authorization: async (refused) => {
      const held = `Bearer ${(await token.read()).trim()}`
      return held === refused ? `Bearer ${(await token.read(true)).trim()}` : held
    },
  }
}

/** A file of a volume that is written anew while we run: read again when it may have changed. */
class CachedFile {
  readonly #path: string
  readonly #clock: Clock
  #text = ''
  #readAtMs = Number.NEGATIVE_INFINITY

  constructor(path: string, clock: Clock) {
    this.#path = path
    this.#clock = clock
  }

  /** @param now whenever it was read last */
  async read(now = false): Promise<string> {
    const nowMs = this.#clock.monotonic()
    if (!now && nowMs - this.#readAtMs < REREAD_MS) return this.#text
    this.#text = await readMounted(this.#path)
    this.#readAtMs = nowMs
    return this.#text
  }
}

async function readMounted(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new HubError('HUB_CONFIG_UNREADABLE', `${path}: ${errorText(error)}`, {
      cause: error,
      canRetry: true,
      hint: 'Let the service account be mounted: automountServiceAccountToken must not be false for this pod.',
    })
  }
}
