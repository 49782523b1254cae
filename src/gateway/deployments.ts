// Changes to what is deployed: functions, namespaces and secrets, one after the other, durable before they are answered, and
// the same again after a restart. Used by the system routes and by the gateway's own `deploy` for stack files.

import type { Clock } from '../sdk/index.ts'
import { fullNameOf } from './function-spec.ts'
import type { FunctionSpec } from './function-spec.ts'
import type { DeployedFunction, Functions } from './functions.ts'
import type { DeploymentStore, Namespace } from './deployment-store.ts'
import type { ProvidedSecret } from './gateway-api.ts'
import type { GatewayLog } from './gateway-log.ts'
import type { Images } from './images.ts'
import type { LogBook } from './log-book.ts'
import type { SecretMounts } from './secret-mounts.ts'
import type { Deployment } from './system/deployment.ts'
import { Refused } from './system/refused.ts'

export interface DeploymentsOptions {
  readonly functions: Functions
  readonly store: DeploymentStore
  readonly mounts: SecretMounts
  readonly images: Images
  readonly logBook: LogBook
  readonly log: GatewayLog
  readonly clock: Clock
  /** Always there. */
  readonly namespace: string
}

/** Of an OpenFaaS without a label that says otherwise. */
const SCALE_MAX = 5
const FUNCTIONS_MAX = 20_000
const NAMESPACES_MAX = 1000
const SECRETS_MAX = 1000
const MARKED = { openfaas: '1' }

export class Deployments {
  readonly #options: DeploymentsOptions
  /** Full names of those that came over REST. */
  readonly #stored = new Set<string>()
  readonly #namespaces: Map<string, Namespace>
  #last: Promise<unknown> = Promise.resolve()

  /** Deploys what was stored. @throws HubError HUB_STATE_UNUSABLE */
  constructor(options: DeploymentsOptions) {
    this.#options = options
    this.#namespaces = new Map(options.store.namespaces().map((namespace) => [namespace.name, namespace]))
    for (const { spec, createdAt, replicas } of options.store.functions()) {
      // Where the folder of its image is somewhere else now, it runs from there.
      const runtime = options.images.runtimeOf(spec)
      this.#start(typeof runtime === 'string' ? spec : { ...spec, runtime }, createdAt)
      if (replicas !== undefined) options.functions.scale(fullNameOf(spec), replicas)
      this.#stored.add(fullNameOf(spec))
    }
  }

  /** From a stack file: takes the place of what was stored, and is not stored itself. @throws HubError HUB_STATE_UNUSABLE */
  deployUnstored(spec: FunctionSpec): Promise<void> {
    return this.#inOrder(async () => {
      if (this.#stored.delete(fullNameOf(spec))) await this.#options.store.removeFunction(spec)
      this.#start(spec)
    })
  }

  /** False when there is none, or a client has deployed it since. */
  removeUnstored(name: string): Promise<boolean> {
    return this.#inOrder(async () => {
      const deployed = this.#options.functions.find(name)
      if (deployed === undefined || this.#stored.has(deployed.fullName)) return false
      await this.#remove(deployed)
      return true
    })
  }

  /** For functions of stack files: makes it where it is missing. */
  provideNamespace(name: string): Promise<void> {
    return this.#inOrder(async () => {
      if (this.#hasNamespace(name)) return
      const namespace = { name, labels: MARKED, annotations: MARKED }
      await this.#options.store.putNamespace(namespace)
      this.#namespaces.set(name, namespace)
    })
  }

  /** For functions of stack files: one that is there stays as it is, unless it is what they have provided `before`. */
  provideSecret(namespace: string, name: string, value: Uint8Array, before?: Uint8Array): Promise<ProvidedSecret> {
    return this.#inOrder(async () => {
      const kept = this.#options.mounts.secrets.value(namespace, name)
      if (kept !== undefined && Buffer.compare(kept, value) === 0) return 'same'
      if (kept !== undefined && (before === undefined || Buffer.compare(kept, before) !== 0)) return 'different'
      this.#writeSecret(namespace, name, value)
      return kept === undefined ? 'added' : 'changed'
    })
  }

  hasSecret(namespace: string, name: string): boolean {
    return this.#options.mounts.secrets.has(namespace, name)
  }

  /** @throws Refused: 400 where it cannot run here, 500 when it is there */
  create(deployment: Deployment): Promise<void> {
    return this.#inOrder(() => {
      if (this.#options.functions.find(fullNameOf(deployment)) !== undefined)
        throw new Refused(500, `unable create Deployment: ${fullNameOf(deployment)} already exists`)
      return this.#deploy(deployment)
    })
  }

  /** @throws Refused: 404, 400 where it cannot run here */
  update(deployment: Deployment): Promise<void> {
    return this.#inOrder(() => {
      this.#require(fullNameOf(deployment))
      return this.#deploy(deployment)
    })
  }

  /** @throws Refused 404 */
  remove(fullName: string): Promise<void> {
    return this.#inOrder(() => this.#remove(this.#require(fullName)))
  }

  /** Within 1 and the function's own maximum, which is 5 unless it says so; 0 where it may have none. @throws Refused 404 */
  scale(fullName: string, replicas: number): Promise<void> {
    return this.#inOrder(async () => {
      const deployed = this.#require(fullName)
      const { min, max, zeroAfterMs } = deployed.scale
      const isMaxSaid = deployed.spec.labels['com.openfaas.scale.max'] !== undefined
      const most = isMaxSaid ? max : Math.max(min, SCALE_MAX)
      const least = zeroAfterMs !== undefined || min === 0 ? 0 : 1
      this.#options.functions.scale(fullName, Math.min(most, Math.max(least, replicas)))
      await this.#storeReplicas(deployed)
    })
  }

  /** @param name with or without its namespace; @throws Refused 404 */
  scaleForAlert(name: string, status: 'firing' | 'resolved'): Promise<void> {
    return this.#inOrder(async () => {
      const deployed = this.#require(name)
      this.#options.functions.alert(name, status)
      await this.#storeReplicas(deployed)
    })
  }

  /** The default one first, then those that were created or are in use. */
  namespaces(): readonly Namespace[] {
    const inUse = Array.from(this.#options.functions.all, ({ spec }) => spec.namespace)
    const names = new Set([this.#options.namespace, ...this.#namespaces.keys(), ...inUse])
    return Array.from(names, (name) => this.#namespaces.get(name) ?? { name, labels: MARKED, annotations: MARKED })
  }

  /** @throws Refused: 409 when it exists, 400 when there are too many */
  createNamespace(namespace: Namespace): Promise<void> {
    return this.#inOrder(async () => {
      if (this.#hasNamespace(namespace.name)) throw new Refused(409, `namespace ${namespace.name} already exists`)
      if (this.#namespaces.size >= NAMESPACES_MAX)
        throw new Refused(400, `there are ${NAMESPACES_MAX} namespaces already`)
      await this.#options.store.putNamespace(namespace)
      this.#namespaces.set(namespace.name, namespace)
    })
  }

  /** @throws Refused 404 */
  updateNamespace(namespace: Namespace): Promise<void> {
    return this.#inOrder(async () => {
      this.#requireNamespace(namespace.name, 404)
      await this.#options.store.putNamespace(namespace)
      this.#namespaces.set(namespace.name, namespace)
    })
  }

  /** With its functions and secrets. @throws Refused: 404, 400 for the default one */
  removeNamespace(name: string): Promise<void> {
    return this.#inOrder(async () => {
      this.#requireNamespace(name, 404)
      if (name === this.#options.namespace) throw new Refused(400, `namespace ${name} is the default one and stays`)
      await this.#options.store.removeNamespace(name)
      this.#namespaces.delete(name)
      for (const deployed of this.#options.functions.all)
        if (deployed.spec.namespace === name) await this.#remove(deployed)
      this.#options.mounts.secrets.removeNamespace(name)
    })
  }

  /** @throws Refused 400 for a namespace that is not there */
  secretNames(namespace: string): readonly string[] {
    this.#requireNamespace(namespace, 400)
    return this.#options.mounts.secrets.names(namespace)
  }

  /** @throws Refused: 409 when it exists, 400 for a namespace that is not there or has too many */
  createSecret(namespace: string, name: string, value: Uint8Array): Promise<void> {
    return this.#inOrder(async () => {
      const names = this.secretNames(namespace)
      if (names.includes(name)) throw new Refused(409, `secret ${name} already exists`)
      if (names.length >= SECRETS_MAX)
        throw new Refused(400, `namespace ${namespace} has ${SECRETS_MAX} secrets already`)
      this.#writeSecret(namespace, name, value)
    })
  }

  /** @throws Refused: 404, 400 for a namespace that is not there */
  updateSecret(namespace: string, name: string, value: Uint8Array): Promise<void> {
    return this.#inOrder(async () => {
      this.#requireSecret(namespace, name)
      this.#writeSecret(namespace, name, value)
    })
  }

  /** Functions that have it lose it. @throws Refused: 404, 400 for a namespace that is not there */
  removeSecret(namespace: string, name: string): Promise<void> {
    return this.#inOrder(async () => {
      this.#requireSecret(namespace, name)
      this.#options.mounts.secrets.remove(namespace, name)
      this.#options.mounts.refresh(namespace, name)
    })
  }

  /** One change at a time: what was looked at is still so when it is written. */
  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => undefined)
    return result
  }

  #require(fullName: string): DeployedFunction {
    const deployed = this.#options.functions.find(fullName)
    if (deployed === undefined) throw new Refused(404, `function ${fullName} not found`)
    return deployed
  }

  async #deploy(deployment: Deployment): Promise<void> {
    const { functions, store, mounts, images, clock } = this.#options
    const { namespace } = deployment
    this.#requireNamespace(namespace, 400)
    const missing = deployment.secrets.find((secret) => !mounts.secrets.has(namespace, secret))
    if (missing !== undefined) throw new Refused(400, `unable to fetch secrets: secret "${missing}" not found`)
    const runtime = images.runtimeOf(deployment)
    if (typeof runtime === 'string') throw new Refused(400, runtime)
    if (this.#stored.size >= FUNCTIONS_MAX && !this.#stored.has(fullNameOf(deployment)))
      throw new Refused(400, `there are ${FUNCTIONS_MAX} functions already`)
    const spec = { ...deployment, runtime }
    const createdAt = functions.find(fullNameOf(spec))?.createdAt ?? new Date(clock.now()).toISOString()
    await store.putFunction({ spec, createdAt, replicas: undefined })
    this.#stored.add(fullNameOf(spec))
    this.#start(spec, createdAt)
  }

  #start(said: FunctionSpec, createdAt?: string): void {
    const { functions, mounts, logBook, log } = this.#options
    // An object of its own: the secrets of a deployment are kept by it until it has ended.
    const spec = { ...said }
    logBook.keep(fullNameOf(spec))
    for (const secret of mounts.mount(spec)) {
      const line = `secret ${secret} does not exist in namespace ${spec.namespace}; it runs without`
      logBook.append(fullNameOf(spec), spec.name, line)
      log.lifecycle(spec.name, line)
    }
    if (!functions.deploy(spec, createdAt)) mounts.unmount(spec)
  }

  async #remove({ fullName, spec }: DeployedFunction): Promise<void> {
    if (this.#stored.delete(fullName)) await this.#options.store.removeFunction(spec)
    this.#options.functions.remove(fullName)
    this.#options.logBook.expire(fullName)
  }

  async #storeReplicas({ fullName, spec, replicas }: DeployedFunction): Promise<void> {
    if (this.#stored.has(fullName)) await this.#options.store.setReplicas(spec, replicas.replicas)
  }

  #hasNamespace(name: string): boolean {
    if (name === this.#options.namespace || this.#namespaces.has(name)) return true
    for (const { spec } of this.#options.functions.all) if (spec.namespace === name) return true
    return false
  }

  #requireNamespace(name: string, status: 400 | 404): void {
    if (!this.#hasNamespace(name)) throw new Refused(status, `namespace ${name} not found`)
  }

  #requireSecret(namespace: string, name: string): void {
    this.#requireNamespace(namespace, 400)
    if (!this.#options.mounts.secrets.has(namespace, name)) throw new Refused(404, `secret ${name} not found`)
  }

  #writeSecret(namespace: string, name: string, value: Uint8Array): void {
    this.#options.mounts.secrets.write(namespace, name, value)
    this.#options.mounts.refresh(namespace, name)
  }
}
