// The `tls` fields as options of Node's TLS, and how a failure of TLS is recognised. For every connector with TCP.

import { readFileSync } from 'node:fs'

import { HubError, errorText } from './errors.ts'
import type { ConfigFault, ConfigOf, tlsFields } from './fields.ts'

/** PEM texts. */
export interface TlsSettings {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
  readonly rejectUnauthorized: boolean
}

/** Reads the files anew, so that a renewed certificate is used by the next connection. @throws HubError HUB_SOURCE_TLS */
export function tlsSettings({
  caFile,
  certFile,
  keyFile,
  serverName,
  insecureSkipVerify,
}: ConfigOf<typeof tlsFields>): TlsSettings {
  // prettier-ignore
  return {
    ...(caFile === undefined ? {} : { ca: readPem(caFile, 'caFile') }),
    ...(certFile === undefined ? {} : { cert: readPem(certFile, 'certFile') }),
    ...(keyFile === undefined ? {} : { key: readPem(keyFile, 'keyFile') }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    rejectUnauthorized: !insecureSkipVerify,
  }
}

/** Node's and OpenSSL's names for what is wrong with certificates and handshakes. */
const TLS_CODE = /^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|EPROTO|HOSTNAME_MISMATCH)/

export function isTlsFailure(error: unknown): boolean {
  return TLS_CODE.test((error as NodeJS.ErrnoException | undefined)?.code ?? '')
}

function readPem(path: string, key: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new HubError('HUB_SOURCE_TLS', `tls.${key} cannot be read: ${errorText(error)}`, {
      cause: error,
      hint: `Set tls.${key} to a readable PEM file.`,
    })
  }
}

/** When only one half of a certificate and its key is configured in the group `at`. */
export function certificateFault(
  at: string,
  { certFile, keyFile }: { readonly certFile?: string | undefined; readonly keyFile?: string | undefined },
): ConfigFault | undefined {
  if ((certFile === undefined) === (keyFile === undefined)) return undefined
  return {
    at,
    message: 'has one of certFile and keyFile, which belong together',
    hint: 'Set both for a certificate, or neither.',
  }
}
