// The TLS files of the scaler's server, read again now and then, so that a renewed certificate is used without a restart.
// Files that do not fit each other keep what was good before.

import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'

import type { experimental } from '@grpc/grpc-js'

import { HubError, errorText } from '../sdk/index.ts'
import type { Clock, ClockTimer, SourceLog } from '../sdk/index.ts'

export interface CertificateFiles {
  readonly certFile: string
  readonly keyFile: string
  /** Of the CA whose certificates clients must have; undefined: clients need none. */
  readonly clientCaFile: string | undefined
}

type Provider = experimental.CertificateProvider
type Identity = experimental.IdentityCertificateUpdate
type Ca = experimental.CaCertificateUpdate

const AGAIN_MS = 30_000

export class Certificates implements Provider {
  readonly #files: CertificateFiles
  readonly #clock: Clock
  readonly #log: SourceLog
  readonly #identityListeners = new Set<experimental.IdentityCertificateUpdateListener>()
  readonly #caListeners = new Set<experimental.CaCertificateUpdateListener>()
  #current: { readonly identity: Identity; readonly ca: Ca | null }
  #timer: ClockTimer | undefined

  /** @throws HubError HUB_CONFIG_INVALID when the files cannot be used */
  constructor(files: CertificateFiles, clock: Clock, log: SourceLog) {
    this.#files = files
    this.#clock = clock
    this.#log = log
    this.#current = read(files)
    this.#later()
  }

  addIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.#identityListeners.add(listener)
    // Later: the library has not begun to follow what it hears now.
    queueMicrotask(() => listener(this.#current.identity))
  }

  removeIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.#identityListeners.delete(listener)
  }

  addCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    this.#caListeners.add(listener)
    queueMicrotask(() => listener(this.#current.ca))
  }

  removeCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    this.#caListeners.delete(listener)
  }

  close(): void {
    this.#timer?.cancel()
  }

  #later(): void {
    this.#timer = this.#clock.after(AGAIN_MS, () => {
      this.#readAgain()
      this.#later()
    })
  }

  #readAgain(): void {
    const before = this.#current
    try {
      this.#current = read(this.#files)
    } catch (error) {
      this.#log.warn('scaler.certificate', `${errorText(error)}; the certificate that was read before stays in use`)
      return
    }
    const { identity, ca } = this.#current
    if (!identity.certificate.equals(before.identity.certificate)) this.#log.info('scaler.certificate', 'the certificate was renewed') // prettier-ignore
    for (const listener of this.#identityListeners) listener(identity)
    for (const listener of this.#caListeners) listener(ca)
  }
}

function read({ certFile, keyFile, clientCaFile }: CertificateFiles): { identity: Identity; ca: Ca | null } {
  try {
    const certificate = readFileSync(certFile)
    const privateKey = readFileSync(keyFile)
    const ca = clientCaFile === undefined ? null : { caCertificate: readFileSync(clientCaFile) }
    // Throws when they are no PEM, or do not belong together.
    createSecureContext({ cert: certificate, key: privateKey, ...(ca === null ? {} : { ca: ca.caCertificate }) })
    return { identity: { certificate, privateKey }, ca }
  } catch (error) {
    throw new HubError('HUB_CONFIG_INVALID', `scaler.tls: ${errorText(error)}`, {
      cause: error,
      hint: 'Set scaler.tls.certFile and keyFile to PEM files that belong together, and clientCaFile to a PEM file of a CA.',
    })
  }
}
