// Are the queues there, what are they, and may the hub settle their messages? Receives nothing. Called by sqs-source.ts.

import { ChangeMessageVisibilityCommand, DeleteMessageCommand } from '@aws-sdk/client-sqs'

import { HubError, refusedTopic } from '../../src/sdk/index.ts'
import type { ProbeReport, TopicReport } from '../../src/sdk/index.ts'
import { isForbidden, isMissing, sqsProblem } from './problems.ts'
import { findQueue } from './queues.ts'
import type { Queue, QueuesOptions } from './queues.ts'

/** Of no message: who may not settle is told so before it is looked at. */
const NO_RECEIPT = 'of-no-message'

/** @throws HubError HUB_SOURCE_* for what concerns every queue */
export async function probeTopics(
  topics: readonly string[],
  options: QueuesOptions,
  signal: AbortSignal,
): Promise<ProbeReport> {
  const reports: TopicReport[] = []
  for (const topic of topics) {
    try {
      const queue = await findQueue(topic, options, signal)
      await checkRights(queue, options, signal)
      reports.push({ topic, ok: true, detail: describe(queue) })
    } catch (error) {
      if (!(error instanceof HubError) || error.code !== 'HUB_SOURCE_FORBIDDEN') throw error
      const report = refusedTopic(topic, error)
      reports.push(isMissing(error.cause) ? { ...report, code: 'HUB_TOPIC_MISSING' } : report)
    }
  }
  return { server: options.at, topics: reports }
}

/** Whether receiving is allowed cannot be known without receiving. */
async function checkRights({ url, name }: Queue, { client, at }: QueuesOptions, signal: AbortSignal): Promise<void> {
  const receipt = { QueueUrl: url, ReceiptHandle: NO_RECEIPT }
  const asked = [
    ['sqs:DeleteMessage', () => client.send(new DeleteMessageCommand(receipt), { abortSignal: signal })],
    ['sqs:ChangeMessageVisibility', () => client.send(new ChangeMessageVisibilityCommand({ ...receipt, VisibilityTimeout: 0 }), { abortSignal: signal })], // prettier-ignore
  ] as const
  for (const [action, ask] of asked)
    try {
      await ask()
    } catch (error) {
      signal.throwIfAborted()
      // Anything else is about the receipt, and so was allowed.
      if (!isForbidden(error)) continue
      const { code, message } = sqsProblem(error, `${at}: queue ${name}`)
      throw new HubError(code, message, { cause: error, canRetry: true, hint: `Allow ${action} on ${name}: without it the hub cannot settle what it receives.` }) // prettier-ignore
    }
}

function describe({ url, isFifo, letters }: Queue): string {
  const kind = isFifo ? 'FIFO queue' : 'standard queue'
  return `${kind} ${url}, dead letters ${letters === undefined ? 'kept by the hub' : `in ${letters.name}`}`
}
