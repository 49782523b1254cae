// Receives messages for a person to see. The hub's own receives are in feed.ts. Called by looker.ts and letter-place.ts.

import { ReceiveMessageCommand } from '@aws-sdk/client-sqs'
import type { Message } from '@aws-sdk/client-sqs'

import { backoffMs, sleep } from '../../src/sdk/index.ts'
import type { Access } from './access.ts'
import { asLost, queueProblem } from './problems.ts'
import type { Address } from './queues.ts'

/** How long a receive waits for the first message, so that an empty answer means an empty queue. */
const WAIT_S = 1
/** In a row. */
const FAILURES_MAX = 4
const BACKOFF = { minWaitMs: 200, maxWaitMs: 2000, jitter: 'equal' } as const

/**
 * Up to ten, hidden from others for so many seconds. Not cut by the signal, which only ends the tries: SQS may just be
 * giving out messages, which the caller has to give back.
 * @throws HubError HUB_SOURCE_*
 */
export async function receiveSome(
  { clients, at, context: { clock } }: Access,
  { url, topic }: Address,
  hideSeconds: number,
  signal: AbortSignal,
): Promise<readonly Message[]> {
  const command = new ReceiveMessageCommand({
    QueueUrl: url,
    MaxNumberOfMessages: 10,
    VisibilityTimeout: hideSeconds,
    WaitTimeSeconds: WAIT_S,
    MessageAttributeNames: ['All'],
    MessageSystemAttributeNames: ['All'],
  })
  for (let failures = 1; ; failures++) {
    try {
      return (await clients.receive.send(command)).Messages ?? []
    } catch (error) {
      if (signal.aborted) return []
      const problem = queueProblem(error, at, topic)
      if (!problem.canRetry || problem.code === 'HUB_SOURCE_FORBIDDEN' || failures === FAILURES_MAX) throw asLost(problem) // prettier-ignore
      await sleep(clock, backoffMs(failures, BACKOFF), signal).catch(() => undefined)
    }
  }
}
