// Decentralized authentication of NATS: an operator, its accounts and their users as signed JWTs, for servers and clients of
// tests. Not for production: everything lives as long as the test.

import { createNkey } from './nats-nkey.ts'
import type { Nkey } from './nats-nkey.ts'

export interface NatsUser {
  readonly jwt: string
  readonly nkey: Nkey
  /** The text of a credentials file. */
  readonly creds: string
}

export interface NatsOperator {
  /** Lines for the server: it trusts this operator and has its accounts in memory. */
  readonly config: readonly string[]
  /** Of the account that may use JetStream. */
  user(): NatsUser
}

const UNLIMITED = { subs: -1, data: -1, payload: -1 }
const ACCOUNT_LIMITS = { ...UNLIMITED, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 }
const STORAGE_LIMITS = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 }

export function createOperator(): NatsOperator {
  const operator = createNkey('operator')
  const [account, system] = [createNkey('account'), createNkey('account')]
  const { publicKey } = system
  const operatorJwt = sign(operator, operator, 'operator', { type: 'operator', system_account: publicKey })
  const accounts = {
    [account.publicKey]: sign(operator, account, 'events', { type: 'account', limits: { ...ACCOUNT_LIMITS, ...STORAGE_LIMITS } }), // prettier-ignore
    [publicKey]: sign(operator, system, 'system', { type: 'account', limits: ACCOUNT_LIMITS }),
  }
  return {
    config: [
      `operator: ${operatorJwt}`,
      `system_account: ${publicKey}`,
      'resolver: MEMORY',
      `resolver_preload: ${JSON.stringify(accounts)}`,
    ],
    user() {
      const nkey = createNkey('user')
      const jwt = sign(account, nkey, 'hub', { type: 'user', pub: {}, sub: {}, ...UNLIMITED })
      return { jwt, nkey, creds: `${block('NATS USER JWT', jwt)}\n${block('USER NKEY SEED', nkey.seed)}` }
    },
  }
}

const block = (name: string, text: string): string => `-----BEGIN ${name}-----\n${text}\n------END ${name}------\n`

function sign(issuer: Nkey, subject: Nkey, name: string, nats: object): string {
  const claims = {
    jti: `${name}-${subject.publicKey}`,
    iat: Math.floor(Date.now() / 1000),
    iss: issuer.publicKey,
    sub: subject.publicKey,
    name,
    nats: { ...nats, version: 2 },
  }
  const parts = [{ typ: 'JWT', alg: 'ed25519-nkey' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')) // prettier-ignore
  return `${parts.join('.')}.${issuer.sign(parts.join('.'))}`
}
