// The Kafka protocol by hand, as far as a test needs it to prove that a broker is ready, authenticates and keeps its topics.
// Not a client: one request at a time to one broker. Called by the Kafka server of the tests and its test.

import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

import { KafkaReader, KafkaWriter } from './kafka-bytes.ts'

export type KafkaMechanism = 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'

export interface KafkaCredentials {
  readonly mechanism: KafkaMechanism
  readonly username: string
  readonly password: string
}

export interface KafkaAddress {
  readonly port: number
  readonly sasl?: KafkaCredentials | undefined
  /** For `localhost`. */
  readonly tls?: { readonly caFile: string; readonly certFile?: string; readonly keyFile?: string } | undefined
}

export interface KafkaMetadata {
  /** Broker ids. */
  readonly brokers: readonly number[]
  /** Where each of them wants its clients. */
  readonly ports: readonly number[]
  /** Negative while there is none. */
  readonly controller: number
  /** Number of partitions by name. */
  readonly topics: ReadonlyMap<string, number>
}

export interface KafkaWire extends Disposable {
  /** Highest version of each request by its key. ApiVersions v0. */
  apiVersions(): Promise<ReadonlyMap<number, number>>
  /** Of all topics. Metadata v1. */
  metadata(): Promise<KafkaMetadata>
  /** CreateTopics v2. Throws when the broker refuses. */
  createTopic(name: string, partitions: number): Promise<void>
  /** Resolves once the broker has an answer of its controller to a CreateTopics that creates none, whatever that answer is. */
  reachController(): Promise<void>
}

/** Resolves once the broker accepted the credentials. */
export async function connectKafka({ port, sasl, tls }: KafkaAddress): Promise<KafkaWire> {
  const socket = tls === undefined ? connectPlain({ host: '127.0.0.1', port }) : secured(port, tls)
  try {
    const call = caller(socket)
    if (sasl !== undefined) await authenticate(call, sasl)
    return {
      apiVersions: async () => apiVersions(await call(18, 0, new KafkaWriter())),
      metadata: async () => metadata(await call(3, 1, new KafkaWriter().int32(-1))),
      createTopic: async (name, partitions) => createTopic(call, name, partitions),
      reachController: async () => {
        await call(19, 2, creation('reached', 1, true))
      },
      [Symbol.dispose]: () => socket.destroy(),
    }
  } catch (error) {
    socket.destroy()
    throw error
  }
}

type Call = (key: number, version: number, body: KafkaWriter) => Promise<KafkaReader>

function secured(port: number, { caFile, certFile, keyFile }: NonNullable<KafkaAddress['tls']>): Socket {
  return connectTls({
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    ca: readFileSync(caFile),
    ...(certFile === undefined ? {} : { cert: readFileSync(certFile) }),
    ...(keyFile === undefined ? {} : { key: readFileSync(keyFile) }),
  })
}

const ANSWER_MS = 5000

/** Requests with header version 1, answers with header version 0: what is asked here has no newer form. */
function caller(socket: Socket): Call {
  let requests = 0
  let received = Buffer.alloc(0)
  let failure: Error | undefined
  let wake = (): void => {}
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    wake()
  })
  const fail = (error: Error): void => {
    failure ??= error
    wake()
  }
  socket.on('error', fail)
  socket.on('close', () => fail(new Error(`the connection ended with request ${requests}`)))
  socket.setTimeout(ANSWER_MS, () => fail(new Error(`no answer within ${ANSWER_MS} ms`)))
  return async (key, version, body) => {
    requests += 1
    const message = Buffer.concat([new KafkaWriter().int16(key).int16(version).int32(requests).string('test').bytes(), body.bytes()]) // prettier-ignore
    socket.write(Buffer.concat([new KafkaWriter().int32(message.length).bytes(), message]))
    for (;;) {
      const end = received.length < 4 ? Infinity : 4 + received.readInt32BE(0)
      if (received.length >= end) {
        const answer = new KafkaReader(received.subarray(4, end))
        received = received.subarray(end)
        if (answer.int32() !== requests) throw new Error('the answer to another request')
        return answer
      }
      if (failure !== undefined) throw failure
      await new Promise<void>((resolve) => (wake = resolve))
    }
  }
}

function apiVersions(answer: KafkaReader): ReadonlyMap<number, number> {
  check('ApiVersions', answer.int16())
  return new Map(answer.array(() => ({ key: answer.int16(), low: answer.int16(), high: answer.int16() })).map(({ key, high }) => [key, high])) // prettier-ignore
}

function metadata(answer: KafkaReader): KafkaMetadata {
  const brokers = answer.array(() => {
    const id = answer.int32()
    answer.string() // host
    const port = answer.int32()
    answer.string() // rack
    return { id, port }
  })
  const controller = answer.int32()
  const topics = answer.array(() => {
    answer.int16() // error: the topic is just being made
    const name = answer.string() ?? ''
    answer.int8() // internal
    const partitions = answer.array(() => {
      answer.int16() // error
      answer.int32() // partition
      answer.int32() // leader
      answer.array(() => answer.int32()) // replicas
      answer.array(() => answer.int32()) // in sync
    })
    return [name, partitions.length] as const
  })
  return {
    brokers: brokers.map(({ id }) => id),
    ports: brokers.map(({ port }) => port),
    controller,
    topics: new Map(topics),
  }
}

/** Body of CreateTopics. */
function creation(name: string, partitions: number, validateOnly: boolean): KafkaWriter {
  const body = new KafkaWriter().int32(1).string(name).int32(partitions).int16(1).int32(0).int32(0)
  return body.int32(ANSWER_MS).int8(validateOnly ? 1 : 0)
}

async function createTopic(call: Call, name: string, partitions: number): Promise<void> {
  const answer = await call(19, 2, creation(name, partitions, false))
  answer.int32() // throttled for
  answer.array(() => {
    answer.string()
    check('CreateTopics', answer.int16(), answer.string())
  })
}

async function authenticate(call: Call, { mechanism, username, password }: KafkaCredentials): Promise<void> {
  const handshake = await call(17, 1, new KafkaWriter().string(mechanism))
  check('SaslHandshake', handshake.int16())
  const exchange = async (text: string): Promise<string> => {
    const answer = await call(36, 0, new KafkaWriter().data(Buffer.from(text)))
    check('SaslAuthenticate', answer.int16(), answer.string())
    return answer.data().toString()
  }
  if (mechanism === 'PLAIN') await exchange(`\0${username}\0${password}`)
  else await scram(exchange, mechanism === 'SCRAM-SHA-256' ? 'sha256' : 'sha512', username, password)
}

/** RFC 5802. */
async function scram(
  exchange: (text: string) => Promise<string>,
  hash: 'sha256' | 'sha512',
  username: string,
  password: string,
): Promise<void> {
  const first = `n=${username},r=${randomBytes(18).toString('base64')}`
  const challenge = await exchange(`n,,${first}`)
  const [, nonce = '', salt = '', iterations = ''] = /^r=([^,]*),s=([^,]*),i=(\d+)/.exec(challenge) ?? []
  const length = hash === 'sha256' ? 32 : 64
  const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(iterations), length, hash)
  const hmac = (key: Buffer, text: string): Buffer => createHmac(hash, key).update(text).digest()
  const clientKey = hmac(salted, 'Client Key')
  const final = `c=biws,r=${nonce}`
  const message = `${first},${challenge},${final}`
  const signature = hmac(createHash(hash).update(clientKey).digest(), message)
  const proof = clientKey.map((byte, index) => byte ^ (signature[index] ?? 0))
  const verdict = await exchange(`${final},p=${Buffer.from(proof).toString('base64')}`)
  if (verdict !== `v=${hmac(hmac(salted, 'Server Key'), message).toString('base64')}`)
    throw new Error('the broker does not know the password either')
}

function check(request: string, code: number, message: string | null = null): void {
  if (code !== 0) throw new Error(`${request}: ${message ?? 'no message'} (error ${code})`)
}
