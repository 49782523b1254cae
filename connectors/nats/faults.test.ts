// NATS's side of the fault suite: a real server with JetStream and a stream for each run, ordered by a token of the subject.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import type { ConsumerInfo } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import type { NatsConnection } from '@nats-io/transport-node'

import type { FaultBroker } from '../../test/faults/contract.ts'
import { faults } from '../../test/faults/index.ts'
import { startNats } from '../../test/servers/nats.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import connector from './connector.ts'

async function startBroker(): Promise<FaultBroker> {
  const server = await startNats()
  const proxy = await startTcpProxy(server.port)
  const using = async <T>(work: (nats: NatsConnection) => Promise<T>): Promise<T> => {
    const nats = await connect({ servers: server.url, reconnect: false })
    try {
      return await work(nats)
    } finally {
      await nats.close()
    }
  }
  const consumersOf = (run: string): Promise<ConsumerInfo[]> =>
    using(async (nats) => await (await jetstreamManager(nats)).consumers.list(run).next())
  return {
    name: `nats-server ${server.version}`,
    proxy,
    prepare: (run) =>
      using(async (nats) => {
        await (await jetstreamManager(nats)).streams.add({ name: run, subjects: [`${run}.>`] })
        return `${run}.>`
      }),
    environment: ({ run, proxied }) => ({
      HUB_NATS_SERVERS: proxied ? `nats://127.0.0.1:${proxy.port}` : server.url,
      HUB_NATS_DURABLE: run,
      HUB_NATS_ORDERING_TOKEN: '2',
      HUB_NATS_ACK_WAIT: '2s',
      HUB_NATS_CONNECT_TIMEOUT: '2s',
      HUB_NATS_KEEP_ALIVE: '1s',
    }),
    publish: (run, events) =>
      using(async (nats) => {
        const client = jetstream(nats)
        await Promise.all(events.map(({ key, body }) => client.publish(`${run}.${key}`, body)))
      }),
    remaining: async (run) =>
      (await consumersOf(run)).reduce(
        (sum, { num_pending, num_ack_pending }) => sum + num_pending + num_ack_pending,
        0,
      ),
    saved: async (run) => {
      while (!(await consumersOf(run)).every((consumer) => isSaved(server.folder ?? '', consumer)))
        await new Promise((resolve) => void setTimeout(resolve, POLL_MS))
    },
    stop: () => server.stop(),
    kill: () => server.kill(),
    start: () => server.start(),
    unordered: {
      'a replica joins and leaves three times': 'JetStream gives any replica the next message of a consumer',
    },
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

const POLL_MS = 10
/** Of the file, before its numbers. */
const MAGIC_BYTES = 2

/**
 * JetStream confirms an acknowledgement before it writes it down, which it does some tenths of a second later. Its file
 * begins with the acknowledged and the delivered places, and how many messages are out.
 */
function isSaved(folder: string, { stream_name, name, ack_floor, delivered, num_ack_pending }: ConsumerInfo): boolean {
  const file = join(folder, 'data/jetstream/$G/streams', stream_name, 'obs', name, 'o.dat')
  if (!existsSync(file)) return false
  const numbers = uvarints(readFileSync(file).subarray(MAGIC_BYTES), 5)
  const live = [ack_floor.consumer_seq, ack_floor.stream_seq, delivered.consumer_seq, delivered.stream_seq, num_ack_pending] // prettier-ignore
  return live.every((number, index) => number === numbers[index])
}

/** Go's encoding: seven bits a byte, the lowest first, the eighth says that there are more. */
function uvarints(bytes: Uint8Array, count: number): readonly number[] {
  const numbers: number[] = []
  let factor = 1
  let number = 0
  for (const byte of bytes) {
    number += (byte & 0x7f) * factor
    factor *= 0x80
    if (byte >= 0x80) continue
    numbers.push(number)
    if (numbers.length === count) break
    factor = 1
    number = 0
  }
  return numbers
}

faults(connector, startBroker)
