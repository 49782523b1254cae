// NATS NKeys: an Ed25519 pair in NATS's own letters, for servers and clients of tests.

import { createPrivateKey, createPublicKey, randomBytes, sign } from 'node:crypto'

export interface Nkey {
  /** `SU…` of a user: what a client is given. */
  readonly seed: string
  /** `U…` of a user, `A…` of an account, `O…` of an operator: what a server is configured with. */
  readonly publicKey: string
  /** Base64url, as CONNECT carries it. */
  sign(nonce: string): string
}

// Prefix bytes of the NKeys specification: they make the letters S, U, A and O come first.
const SEED = 18 << 3
const PREFIXES = { user: 20 << 3, account: 0, operator: 14 << 3 } as const
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')

export function createNkey(kind: keyof typeof PREFIXES): Nkey {
  const prefix = PREFIXES[kind]
  const raw = randomBytes(32)
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, raw]), format: 'der', type: 'pkcs8' })
  const publicRaw = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  return {
    seed: encode(Buffer.concat([Buffer.from([SEED | (prefix >> 5), (prefix & 31) << 3]), raw])),
    publicKey: encode(Buffer.concat([Buffer.from([prefix]), publicRaw])),
    sign: (nonce) => sign(undefined, Buffer.from(nonce), key).toString('base64url'),
  }
}

export const createUserNkey = (): Nkey => createNkey('user')

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** Base32 without padding over the bytes and their checksum. */
function encode(bytes: Buffer): string {
  const checked = Buffer.concat([bytes, Buffer.alloc(2)])
  checked.writeUInt16LE(crc16(bytes), bytes.length)
  let bits = ''
  for (const byte of checked) bits += byte.toString(2).padStart(8, '0')
  return (bits.match(/.{1,5}/g) ?? []).map((five) => ALPHABET[Number.parseInt(five.padEnd(5, '0'), 2)]).join('')
}

/** CRC-16/XMODEM. */
function crc16(bytes: Buffer): number {
  let crc = 0
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021
  }
  return crc & 0xffff
}
