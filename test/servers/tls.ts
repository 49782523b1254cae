// Certificates for tests, made with the openssl command: an authority, a server, a client, and an authority that signed
// neither.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { provideExecutable } from './debian-package.ts'

/** Paths of PEM files in a folder of their own, removed on disposal. */
export interface Certificates extends Disposable {
  readonly caFile: string
  /** For `localhost`, not for 127.0.0.1. */
  readonly certFile: string
  readonly keyFile: string
  readonly clientCertFile: string
  readonly clientKeyFile: string
  readonly otherCaFile: string
}

/** Why certificates cannot be made; undefined when they can. Installs openssl where it may. */
export function noCertificates(): string | undefined {
  const found = provideExecutable('openssl', 'openssl')
  return found.path === undefined ? found.reason : undefined
}

export function createCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'hub-certificates-'))
  const file = (name: string): string => join(folder, name)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' })

  const authority = (name: string): void =>
    openssl(
      'req',
      '-x509',
      ...key,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.pem`,
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
    )
  const signed = (name: string, subject: string, extensions: string): void => {
    writeFileSync(file(`${name}.ext`), extensions)
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject)
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', `${name}.ext`, '-out', `${name}.pem`) // prettier-ignore
  }
  authority('ca')
  authority('other')
  signed('server', '/CN=localhost', 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n')
  signed('client', '/CN=hub', 'extendedKeyUsage=clientAuth\n')
  return {
    caFile: file('ca.pem'),
    certFile: file('server.pem'),
    keyFile: file('server.key'),
    clientCertFile: file('client.pem'),
    clientKeyFile: file('client.key'),
    otherCaFile: file('other.pem'),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}
