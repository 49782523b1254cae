// Are the queues there, and what are they? Receives nothing. Called by sqs-source.ts.

import { HubError } from '../../src/sdk/index.ts'
import type { ProbeReport } from '../../src/sdk/index.ts'
import { findQueue } from './queues.ts'
import type { Queue, QueuesOptions } from './queues.ts'

/** @throws HubError HUB_SOURCE_* for what concerns every queue */
export async function probeTopics(
  topics: readonly string[],
  options: QueuesOptions,
  signal: AbortSignal,
): Promise<ProbeReport> {
  const reports: ProbeReport['topics'][number][] = []
  for (const topic of topics) {
    try {
      reports.push({ topic, ok: true, detail: describe(await findQueue(topic, options, signal)) })
    } catch (error) {
      if (!(error instanceof HubError) || error.code !== 'HUB_SOURCE_FORBIDDEN') throw error
      reports.push({ topic, ok: false, detail: `${error.message}. ${error.hint}` })
    }
  }
  return { server: options.at, topics: reports }
}

function describe({ url, isFifo, letters }: Queue): string {
  const kind = isFifo ? 'FIFO queue' : 'standard queue'
  return `${kind} ${url}, dead letters ${letters === undefined ? 'kept by the hub' : `in ${letters.name}`}`
}
