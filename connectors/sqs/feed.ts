// Receives from one queue by long polling, with as many receivers as there is room and something to receive for: one while
// the queue is quiet. Never cuts a poll short, because SQS may just be giving it messages. Owned by sqs-source.ts.

import { randomUUID } from 'node:crypto'

import { ReceiveMessageCommand } from '@aws-sdk/client-sqs'
import type { Message, SQSClient } from '@aws-sdk/client-sqs'

import { backoffMs, sleep } from '../../src/sdk/index.ts'
import type { Clock, HubError, SourceCounter, SourceLog } from '../../src/sdk/index.ts'
import { wholeSeconds } from './clients.ts'
import type { SqsConfig } from './clients.ts'
import type { Part } from './entry.ts'
import type { Held } from './held.ts'
import type { Lane } from './lane.ts'
import { isForbidden, isMissing, queueProblem } from './problems.ts'

export interface FeedOptions {
  readonly lane: Lane<Part>
  readonly held: Held
  readonly client: SQSClient
  readonly config: Pick<SqsConfig, 'maxMessages' | 'visibilityTimeout' | 'waitTime'>
  readonly clock: Clock
  readonly log: Pick<SourceLog, 'warn'>
  readonly throttled: SourceCounter
  /** For messages. */
  readonly at: string
  /** How many queues share the bound. */
  readonly queues: () => number
  /** It cannot be read any more; the others can. Called once. */
  readonly refused: (problem: HubError) => void
  /** None can be read over this client. */
  readonly lost: (problem: HubError) => void
}

/** Before the same again. */
const BACKOFF = { minWaitMs: 100, maxWaitMs: 5000, jitter: 'equal' } as const
/** A connection that breaks once may have been idle for too long; one that breaks three times is gone. */
const FAILURES_MAX = 2
/** With the back-off some ten seconds of nothing else. */
const THROTTLES_MAX = 8
/** How long a receiver waits for more room than there is: one receive for one message costs as much as for ten. */
const GATHER_MS = 20

export class Feed {
  readonly #options: FeedOptions
  readonly #stop = new AbortController()
  readonly #cut = new AbortController()
  readonly #receivers = new Set<Promise<void>>()
  #isThrottled = false

  constructor(options: FeedOptions) {
    this.#options = options
    this.#addReceiver()
  }

  get lane(): Lane<Part> {
    return this.#options.lane
  }

  /** No further polls. What the open ones bring is given back. */
  stop(): void {
    this.#stop.abort()
    this.lane.wake()
  }

  /** Ends the open polls. What SQS gives to one just now is hidden until its visibility timeout is over. */
  cut(): void {
    this.stop()
    this.#cut.abort()
  }

  /** Resolves when no poll is open, after `stop`. */
  async ended(): Promise<void> {
    await Promise.all(this.#receivers)
  }

  #addReceiver(): void {
    const receiver = this.#receive()
    this.#receivers.add(receiver)
    void receiver.then(() => this.#receivers.delete(receiver))
  }

  /** Never rejects. */
  async #receive(): Promise<void> {
    const { lane } = this.#options
    // An answer that was lost on its way is given again to the same attempt (FIFO queues).
    let attempt = randomUUID()
    let failures = 0
    while (!this.#stop.signal.aborted) {
      const count = await this.#room()
      if (count === 0) return
      lane.reserved += count
      let got: number | undefined
      try {
        got = await this.#poll(count, attempt)
        failures = 0
        attempt = randomUUID()
        this.#isThrottled = false
      } catch (error) {
        failures += 1
        if (!(await this.#mayGoOn(error, failures))) return
      } finally {
        lane.reserved -= count
        lane.wake()
      }
      if (got === this.#batchMax && this.#free >= this.#batchMax && this.#receivers.size < this.#receiversMax)
        this.#addReceiver()
      if (got === 0 && this.#receivers.size > 1) return
    }
  }

  get #free(): number {
    const { held, lane, queues } = this.#options
    return held.room(lane, queues())
  }

  get #batchMax(): number {
    const { held, lane, config } = this.#options
    return held.batchMax(lane, config.maxMessages)
  }

  get #receiversMax(): number {
    const { load, reserved } = this.lane
    return Math.ceil((this.#free + load + reserved) / this.#batchMax)
  }

  /** How many messages to ask for; 0: it was stopped. */
  async #room(): Promise<number> {
    const { lane, clock } = this.#options
    const stop = this.#stop.signal
    while (!stop.aborted && this.#free <= 0) await lane.changed()
    if (lane.load > 0 && this.#free < this.#batchMax) await sleep(clock, GATHER_MS, stop).catch(() => undefined)
    if (stop.aborted) return 0
    const free = Math.min(this.#free, this.#batchMax)
    // Another receiver was quicker.
    return free > 0 ? free : await this.#room()
  }

  async #poll(count: number, attempt: string): Promise<number> {
    const { lane, held, client, config, clock } = this.#options
    const { queue } = lane
    const askedAt = clock.monotonic()
    const { Messages: messages = [] } = await client.send(
      new ReceiveMessageCommand({
        QueueUrl: queue.url,
        MaxNumberOfMessages: count,
        VisibilityTimeout: wholeSeconds(config.visibilityTimeout),
        WaitTimeSeconds: wholeSeconds(config.waitTime),
        MessageAttributeNames: ['All'],
        MessageSystemAttributeNames: ['All'],
        ...(queue.isFifo ? { ReceiveRequestAttemptId: attempt } : {}),
      }),
      { abortSignal: this.#cut.signal },
    )
    // They may have been given out at the very end of the wait; then they are hidden for longer than we believe.
    held.take(lane, messages satisfies readonly Message[], askedAt, !this.#stop.signal.aborted)
    return messages.length
  }

  /** False: this receiver is done. */
  async #mayGoOn(thrown: unknown, failures: number): Promise<boolean> {
    const { lane, at, clock, lost, refused, log, throttled } = this.#options
    if (this.#stop.signal.aborted) return false
    const problem = queueProblem(thrown, at, lane.queue.topic)
    if (isMissing(thrown) || isForbidden(thrown)) {
      this.stop()
      refused(problem)
      return false
    }
    const isThrottle = problem.code === 'HUB_SOURCE_THROTTLED'
    if (isThrottle) throttled.add(1, { queue: lane.queue.name })
    const isHopeless = !problem.canRetry || isUnanswered(thrown)
    if (isHopeless || failures > (isThrottle ? THROTTLES_MAX : FAILURES_MAX)) {
      lost(problem)
      return false
    }
    if (isThrottle && !this.#isThrottled) {
      this.#isThrottled = true
      log.warn('sqs.throttled', `${problem.message}. ${problem.hint}`, { code: problem.code })
    }
    await sleep(clock, backoffMs(failures, BACKOFF), this.#stop.signal).catch(() => undefined)
    return true
  }
}

/** The client also calls a connection that was reset a timeout. */
function isUnanswered(error: unknown): boolean {
  if (!(error instanceof Error) || error.name !== 'TimeoutError') return false
  const { code } = error as NodeJS.ErrnoException
  return code !== 'ECONNRESET' && code !== 'EPIPE'
}
