// NATS's side of the conformance suite: a real server, its streams or core NATS, driven by a plain client.

import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, headers as newHeaders } from '@nats-io/transport-node'
import type { NatsConnection } from '@nats-io/transport-node'

import { BrokerUnavailable } from '../../test/conformance/contract.ts'
import type { SourceScope, TestBroker } from '../../test/conformance/contract.ts'
import { startNats } from '../../test/servers/nats.ts'
import { ServerUnavailable } from '../../test/servers/provide.ts'

const PASSWORD = 'correct horse battery staple'
/** So that what a killed instance held comes again soon. */
const ACK_WAIT = '2s'
let topics = 0

export type Layer = 'jetstream' | 'core'

export async function startNatsBroker(layer: Layer): Promise<TestBroker> {
  const isCore = layer === 'core'
  const credentials = { user: 'hub', password: PASSWORD }
  const server = await startNats({ credentials, config: ['max_payload: 2MB'] }).catch((error: unknown) => {
    throw error instanceof ServerUnavailable ? new BrokerUnavailable(error.message) : error
  })
  const using = async <T>(work: (nats: NatsConnection) => Promise<T>): Promise<T> => {
    const nats = await connect({ servers: server.url, user: 'hub', pass: PASSWORD, reconnect: false })
    try {
      return await work(nats)
    } finally {
      await nats.close()
    }
  }
  const config = ({ run }: SourceScope): Record<string, unknown> => ({
    servers: [server.url],
    username: 'hub',
    password: PASSWORD,
    ...(isCore ? { layer, queueGroup: run } : { durable: run, ackWait: ACK_WAIT }),
  })
  return {
    name: `nats-server ${server.version}`,
    features: {
      bodies: 'bytes',
      emptyBody: true,
      bodyBytesMax: 2_000_000,
      headers: ['plain', 'non-ascii'],
      headerPrefix: 'X-Nats-',
      keys: false,
      ordered: true,
      countsAttempts: !isCore,
      stableIds: !isCore,
      survivesRestart: !isCore,
      retryDelayMs: 100,
    },
    config,
    badCredentials: (scope) => ({ ...config(scope), password: 'wrong' }),
    badTls: (scope) => ({ 'plain-text port': { ...config(scope), servers: [server.url.replace('nats:', 'tls:')] } }),
    topic: (name) =>
      using(async (nats) => {
        const subject = `conformance.${name}.${(topics += 1)}`
        if (isCore) return subject
        const manager = await jetstreamManager(nats)
        await manager.streams.add({ name: `conformance-${name}-${topics}`, subjects: [subject] })
        return subject
      }),
    publish: (topic, events) =>
      using(async (nats) => {
        const client = isCore ? undefined : jetstream(nats)
        for (const { body, headers } of events) {
          const written = newHeaders()
          for (const [key, value] of Object.entries(headers ?? {})) written.set(key, value)
          const options = headers === undefined ? {} : { headers: written }
          if (client === undefined) nats.publish(topic, body, options)
          else await client.publish(topic, body, options)
        }
        await nats.flush()
      }),
    stop: () => server.kill(),
    start: () => server.start(),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}
