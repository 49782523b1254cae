// A folder per deployment of a function with exactly its secrets, kept up to date, and links to them where OpenFaaS's
// containers have them, if that place can be written. The secrets themselves are in secret-store.ts.

import { mkdirSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { fullNameOf } from './function-spec.ts'
import type { FunctionSpec } from './function-spec.ts'
import { isSecretName, makeFolder } from './secret-store.ts'
import type { SecretStore } from './secret-store.ts'

export interface SecretMountsOptions {
  readonly store: SecretStore
  /** Private, and of this process alone; whoever made what it is in removes it. */
  readonly directory: string
  /** Where OpenFaaS's functions look for secrets, all functions of this machine in one place; the last written one wins. */
  readonly sharedDirectory: string
}

type Mounted = Pick<FunctionSpec, 'name' | 'namespace' | 'secrets'>

export class SecretMounts implements Disposable {
  readonly secrets: SecretStore
  readonly #options: SecretMountsOptions
  /** A deployment and the one it replaced have one each, for as long as there are calls in either. */
  readonly #folders = new Map<Mounted, string>()
  #made = 0
  /** Where our links in the shared folder lead, by name. */
  readonly #shared = new Map<string, string>()

  /** @throws HubError HUB_STATE_UNUSABLE */
  constructor(options: SecretMountsOptions) {
    this.#options = options
    this.secrets = options.store
    makeFolder(options.directory)
  }

  /** Of its secrets; undefined where it asks for none. @param spec the very object that was mounted */
  directoryOf(spec: Mounted): string | undefined {
    return this.#folders.get(spec)
  }

  /**
   * Makes a folder for this deployment, until `unmount` is given the same object.
   * @returns the secrets it asks for that do not exist; @throws HubError HUB_STATE_UNUSABLE
   */
  mount(spec: Mounted): readonly string[] {
    if (spec.secrets.length === 0) return []
    this.#made += 1
    const folder = join(this.#options.directory, `${fullNameOf(spec)}.${this.#made}`)
    makeFolder(folder)
    this.#folders.set(spec, folder)
    return spec.secrets.filter((secret) => !this.#copy(spec, folder, secret))
  }

  /** A secret was written or removed: every function that asks for it sees so. */
  refresh(namespace: string, secret: string): void {
    for (const [spec, folder] of this.#folders)
      if (spec.namespace === namespace && spec.secrets.includes(secret)) this.#copy(spec, folder, secret)
    this.#tidyShared()
  }

  /** Nothing of this deployment runs any more. Idempotent. */
  unmount(spec: Mounted): void {
    const folder = this.#folders.get(spec)
    if (folder === undefined) return
    this.#folders.delete(spec)
    rmSync(folder, { recursive: true, force: true })
    this.#tidyShared()
  }

  [Symbol.dispose](): void {
    this.#folders.clear()
    this.#tidyShared()
  }

  /** False when there is no such secret. */
  #copy(spec: Mounted, folder: string, secret: string): boolean {
    const value = this.#options.store.value(spec.namespace, secret)
    const path = join(folder, secret)
    // What is no name of a secret may be a path, out of the folder too.
    if (value === undefined && isSecretName(secret)) rmSync(path, { force: true })
    else if (value !== undefined) {
      const unfinished = join(this.#options.directory, '.unfinished')
      writeFileSync(unfinished, value, { mode: 0o600 })
      // At once: a function that reads it meanwhile gets the old one or the new one.
      renameSync(unfinished, path)
      this.#share(spec, secret)
    }
    return value !== undefined
  }

  /** A link: no copy of a secret is left behind there, however we end. */
  #share({ namespace }: Mounted, secret: string): void {
    const { store, sharedDirectory } = this.#options
    const target = store.pathOf(namespace, secret)
    if (this.#shared.get(secret) === target) return
    try {
      mkdirSync(sharedDirectory, { recursive: true, mode: 0o700 })
      const unfinished = join(sharedDirectory, `.${process.pid}`)
      rmSync(unfinished, { force: true })
      symlinkSync(target, unfinished)
      renameSync(unfinished, join(sharedDirectory, secret))
      this.#shared.set(secret, target)
    } catch {
      // Not ours to write: functions find their secrets by secret_mount_path.
    }
  }

  /** Takes away what no function has any more. */
  #tidyShared(): void {
    const { store, sharedDirectory } = this.#options
    const wanted = new Set<string>()
    for (const { namespace, secrets } of this.#folders.keys())
      for (const secret of secrets) if (store.has(namespace, secret)) wanted.add(store.pathOf(namespace, secret))
    for (const [secret, target] of this.#shared) {
      if (wanted.has(target)) continue
      this.#shared.delete(secret)
      const link = join(sharedDirectory, secret)
      try {
        if (readlinkSync(link) === target) rmSync(link)
      } catch {
        // It is gone, or no link, or cannot be written any more: not ours.
      }
      // Of another namespace, whose secret of this name had to stand back.
      for (const spec of this.#folders.keys())
        if (spec.secrets.includes(secret) && store.has(spec.namespace, secret)) this.#share(spec, secret)
    }
  }
}
