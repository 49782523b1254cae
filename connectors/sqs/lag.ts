// How many messages the queues of this instance have, for autoscaling: receives nothing. Called by tools.ts.

import { asHubError } from '../../src/sdk/index.ts'
import type { LagProbe, TopicLag } from '../../src/sdk/index.ts'
import type { Access } from './access.ts'
import { locateQueue, queueAttributes } from './queues.ts'
import type { Address } from './queues.ts'

/** Delayed messages are not counted: nobody can receive them yet. */
const COUNTS = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'] as const

/** Closes the access when it is disposed. */
export function openLag(access: Access): LagProbe {
  const { queues } = access
  const places = new Map<string, Address>()
  const look = async (topic: string, signal: AbortSignal): Promise<TopicLag> => {
    try {
      const place = places.get(topic) ?? (await locateQueue(topic, queues, signal))
      places.set(topic, place)
      const counts = await queueAttributes(place, COUNTS, queues, signal)
      const [waiting, unsettled] = COUNTS.map((name) => Number(counts[name] ?? 0)) as [number, number]
      return { topic, kind: 'known', waiting, unsettled }
    } catch (error) {
      signal.throwIfAborted()
      // Made anew, a queue may be somewhere else.
      places.delete(topic)
      const problem = asHubError(error)
      if (problem.code !== 'HUB_SOURCE_FORBIDDEN' && problem.code !== 'HUB_TOPIC_INVALID') throw problem
      return { topic, kind: 'unknown', problem }
    }
  }
  return {
    async read(wanted, signal) {
      const topics = new Set(wanted.flatMap((one) => (one.kind === 'topic' ? [one.topic] : [])))
      return await Promise.all([...topics].map((topic) => look(topic, signal)))
    },
    [Symbol.asyncDispose]: () => Promise.resolve(access[Symbol.dispose]()),
  }
}
