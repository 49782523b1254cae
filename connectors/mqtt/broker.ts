// MQTT's side of the conformance suite: a real Mosquitto, and the embedded broker of `dev`, each driven by a plain client.

import { connectAsync } from 'mqtt'
import type { MqttClient } from 'mqtt'

import { BrokerUnavailable } from '../../test/conformance/contract.ts'
import type { SourceScope, TestBroker, TestEvent } from '../../test/conformance/contract.ts'
import { MosquittoUnavailable, startMosquitto } from '../../test/servers/mosquitto.ts'
import startEmbedded from './embedded.ts'

const PASSWORD = 'correct horse battery staple'
let topics = 0

/**
 * Mosquitto with a password, so that every scenario runs with a secret in the configuration.
 * @param shared replicas of a run are one shared group
 */
export async function startMosquittoBroker(qos: 1 | 2, shared: boolean): Promise<TestBroker> {
  const credentials = { username: 'hub', password: PASSWORD }
  const server = await startMosquitto({ credentials }).catch((error: unknown) => {
    throw error instanceof MosquittoUnavailable ? new BrokerUnavailable(error.message) : error
  })
  const connect = (): Promise<MqttClient> =>
    connectAsync(server.url, { ...credentials, protocolVersion: 5, reconnectPeriod: 0 }, false)
  const config = ({ run, replica }: SourceScope): Record<string, unknown> => ({
    url: server.url,
    qos,
    clientId: `${run}-${replica}`,
    ...(shared ? { sharedGroup: run } : {}),
    ...credentials,
  })
  return {
    name: `mosquitto ${server.version}, QoS ${qos}`,
    features: {
      bodies: 'bytes',
      emptyBody: true,
      bodyBytesMax: 256 * 1024 * 1024,
      // Mosquitto ends a connection that sends control characters in a user property.
      headers: ['plain', 'non-ascii'],
      keys: false,
      ordered: true,
      // MQTT only says that this is not the first time (DUP).
      countsAttempts: false,
      stableIds: true,
      survivesRestart: true,
      retryDelayMs: 0,
    },
    config,
    badCredentials: (scope) => ({ ...config(scope), password: 'wrong' }),
    badTls: (scope) => ({ 'plain-text port': { ...config(scope), url: server.url.replace('mqtt:', 'mqtts:') } }),
    topic: (name) => Promise.resolve(`conformance/${name}/${(topics += 1)}`),
    publish: async (topic, events) => publishAll(await connect(), topic, events, qos),
    // A clean stop: what Mosquitto had not saved when it is killed is lost by Mosquitto, not by us.
    stop: () => server.stop(),
    start: () => server.start(),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

/** What `connector-hub dev` brings along: MQTT 3.1.1, nothing survives. */
export async function startEmbeddedBroker(): Promise<TestBroker> {
  const broker = await startEmbedded({ port: 0 })
  return {
    name: 'embedded broker',
    features: {
      bodies: 'bytes',
      emptyBody: true,
      bodyBytesMax: 256 * 1024 * 1024,
      headers: [],
      keys: false,
      ordered: true,
      // MQTT only says that this is not the first time (DUP).
      countsAttempts: false,
      stableIds: true,
      survivesRestart: false,
      retryDelayMs: 0,
    },
    config: ({ run, replica }) => ({ ...broker.config, clientId: `${run}-${replica}` }),
    topic: (name) => Promise.resolve(`conformance/${name}/${(topics += 1)}`),
    publish: async (topic, events) =>
      publishAll(
        await connectAsync(broker.address, { protocolVersion: 4, reconnectPeriod: 0 }, false),
        topic,
        events,
        1,
      ),
    [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
  }
}

async function publishAll(client: MqttClient, topic: string, events: readonly TestEvent[], qos: 1 | 2): Promise<void> {
  // The client's promises stay open for ever when the server hangs up.
  const lost = new Promise<never>((_, reject) =>
    client.once('close', () => reject(new Error('the broker closed the connection'))),
  )
  const published = async (): Promise<void> => {
    for (const { body, headers } of events) {
      await client.publishAsync(topic, Buffer.from(body), {
        qos,
        ...(headers === undefined ? {} : { properties: { userProperties: { ...headers } } }),
      })
    }
  }
  try {
    await Promise.race([published(), lost])
  } finally {
    lost.catch(() => undefined)
    await client.endAsync(true)
  }
}
