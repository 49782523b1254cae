// Secrets of functions as files: one per secret in a folder per namespace, for this user only. Never hands a value to anybody
// but the folder of a function that asks for it (secret-mounts.ts).

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs' // prettier-ignore
import { join, resolve } from 'node:path'

import { HubError, errorText } from '../sdk/index.ts'

/** As Kubernetes names secrets: labels with dots between them. What matches is a safe file name. */
const SECRET_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const SECRET_NAME_MAX = 253

export function isSecretName(text: string): boolean {
  return text.length <= SECRET_NAME_MAX && SECRET_NAME.test(text)
}

export class SecretStore {
  readonly #directory: string

  /** Namespaces given to it are valid names. @throws HubError HUB_STATE_UNUSABLE */
  constructor(directory: string) {
    this.#directory = resolve(directory)
    makeFolder(this.#directory)
    // Of a process that was killed while it wrote.
    rmSync(this.#unfinished, { force: true })
  }

  /** Sorted. */
  names(namespace: string): readonly string[] {
    return filesOf(join(this.#directory, namespace)).filter(isSecretName).sort()
  }

  has(namespace: string, name: string): boolean {
    return isSecretName(name) && existsSync(this.pathOf(namespace, name))
  }

  /** Undefined where there is none. */
  value(namespace: string, name: string): Uint8Array | undefined {
    try {
      return isSecretName(name) ? readFileSync(this.pathOf(namespace, name)) : undefined
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  /** Of its file, which is replaced as a whole when the secret changes. */
  pathOf(namespace: string, name: string): string {
    return join(this.#directory, namespace, name)
  }

  /** Adds or replaces; durable when it returns. @throws HubError HUB_STATE_UNUSABLE */
  write(namespace: string, name: string, value: Uint8Array): void {
    makeFolder(join(this.#directory, namespace))
    try {
      writeDurably(this.#unfinished, value)
      renameSync(this.#unfinished, this.pathOf(namespace, name))
      syncFolder(join(this.#directory, namespace))
    } catch (error) {
      throw new HubError('HUB_STATE_UNUSABLE', `${this.#directory}: ${errorText(error)}`, { cause: error })
    }
  }

  remove(namespace: string, name: string): void {
    rmSync(this.pathOf(namespace, name), { force: true })
    syncFolder(join(this.#directory, namespace))
  }

  removeNamespace(namespace: string): void {
    rmSync(join(this.#directory, namespace), { recursive: true, force: true })
  }

  /** Beside the namespaces, where no name of one can be: writes are one at a time. */
  get #unfinished(): string {
    return join(this.#directory, '.unfinished')
  }
}

/** For this user only, whatever the umask. @throws HubError HUB_STATE_UNUSABLE */
export function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new HubError('HUB_STATE_UNUSABLE', `${folder}: ${errorText(error)}`, { cause: error })
  }
}

/** Empty where there is no such folder. */
function filesOf(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

function writeDurably(path: string, value: Uint8Array): void {
  rmSync(path, { force: true })
  const file = openSync(path, 'wx', 0o600)
  try {
    let written = 0
    while (written < value.byteLength) written += writeSync(file, value, written)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
