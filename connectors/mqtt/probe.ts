// Whether the broker lets us subscribe to what functions want. With a session of its own that ends with the connection: takes
// no stored messages, and nothing from a shared group, which it would have to join. Called by mqtt-source.ts.

import { matchPattern, refusedTopic } from '../../src/sdk/index.ts'
import type { Clock, ProbeReport, TopicReport } from '../../src/sdk/index.ts'
import { dial } from './dial.ts'
import type { MqttConfig } from './dial.ts'
import { withoutKey } from './filters.ts'
import { REFUSED_FROM, subackProblem } from './problems.ts'
import type { Peer } from './problems.ts'

export interface ProbeOptions {
  readonly config: MqttConfig
  readonly clock: Clock
  /** Of the connector itself. */
  readonly peer: Peer
  readonly topics: readonly string[]
}

export async function probe({ config, clock, peer, topics }: ProbeOptions, signal: AbortSignal): Promise<ProbeReport> {
  const ignore = { connected: () => {}, publish: () => {}, released: () => {}, lost: () => {} }
  const clientId = `${peer.clientId}-probe-${process.pid}`
  const session = await dial({ config, clock, clientId, clean: true, receiveMaximum: 1 }, () => ignore, signal)
  try {
    const asked = config.topics ?? topics
    const requests = asked.map((topic) => ({
      filter: matchPattern('mqtt', topic),
      qos: config.qos,
      identifier: undefined,
      retainHandling: 2 as const,
    }))
    const codes = requests.length === 0 ? [] : await session.subscribe(requests)
    return {
      server: `${peer.address}, MQTT ${session.version === 5 ? '5.0' : '3.1.1'}`,
      topics: asked.map((topic, index) => report(config, topic, codes[index] ?? REFUSED_FROM)),
    }
  } finally {
    await session.end()
  }
}

function report({ qos, trimChannelKey }: MqttConfig, filter: string, code: number): TopicReport {
  // A channel key lets who has it in.
  const topic = trimChannelKey ? withoutKey(filter) : filter
  if (code >= REFUSED_FROM) return refusedTopic(topic, subackProblem(topic, code))
  const less = code < qos ? `, but with QoS ${code} only where ${qos} was asked for: the guarantee is that of QoS ${code}` : '' // prettier-ignore
  return { topic, ok: true, detail: `may be subscribed to${less}` }
}
