// One queue as the source holds it: what of it waits here, how much, and its settlements on their way to SQS, in batches
// whose every entry is checked. Outlives connections; owned by held.ts.

import { ChangeMessageVisibilityBatchCommand, DeleteMessageBatchCommand } from '@aws-sdk/client-sqs'
import type { BatchResultErrorEntry, SQSClient } from '@aws-sdk/client-sqs'

import { backoffMs, sleep } from '../../src/sdk/index.ts'
import type { Clock, HubError } from '../../src/sdk/index.ts'
import { Batches } from './batches.ts'
import { isMissing, isThrottled, queueProblem } from './problems.ts'
import type { Queue } from './queues.ts'

/**
 * `done`: SQS has confirmed it. `gone`: it says that the message is not ours any more. `untold`: it could not be told in
 * time; the message comes again by itself.
 */
export type Fate = 'done' | 'gone' | 'untold'

export interface LaneOptions {
  readonly queue: Queue
  readonly clock: Clock
  /** For messages. */
  readonly at: string
  /** Aborted at the end: nothing is tried again. */
  readonly stop: AbortSignal
  /** That of the latest connection. */
  readonly client: () => SQSClient
  /** What trying again does not mend, or has not yet. */
  readonly failed: (problem: HubError, over: SQSClient) => void
}

/** What SQS says to one entry of a batch. */
type EntryResult = { readonly ok: true } | { readonly ok: false; readonly code: string; readonly isFinal: boolean }

interface Hidden {
  readonly handle: string
  readonly seconds: number
}

const BATCHES_UNDER_WAY_MAX = 8
/** In a row, before what tells whether SQS can be reached at all is to find out. */
const FAILURES_MAX = 3
const TELL_BACKOFF = { minWaitMs: 100, maxWaitMs: 5000, jitter: 'equal' } as const

/** @template P what waits to be handed out */
export class Lane<P> {
  queue: Queue
  /** Waits to be handed out, in order. */
  ahead: P[] = []
  /** Events received and not settled. */
  load = 0
  /** Messages that receives under way may bring. */
  reserved = 0
  /** Of a FIFO queue: how many events of each group the hub has. */
  readonly busy = new Map<string, number>()
  readonly #options: LaneOptions
  readonly #deletes: Batches<string, EntryResult>
  readonly #hides: Batches<Hidden, EntryResult>
  #forRoom: (() => void)[] = []

  constructor(options: LaneOptions) {
    this.#options = options
    this.queue = options.queue
    this.#deletes = new Batches({ send: (handles) => this.#sendDeletes(handles), underWayMax: BATCHES_UNDER_WAY_MAX })
    this.#hides = new Batches({ send: (hidden) => this.#sendHides(hidden), underWayMax: BATCHES_UNDER_WAY_MAX })
  }

  /** Resolves when `load` or `reserved` has shrunk, or `wake` was called for another reason. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#forRoom.push(resolve))
  }

  wake(): void {
    for (const resume of this.#forRoom.splice(0)) resume()
  }

  /** Deletes the message; tries again until `untilMs()` of the monotonic clock. Never rejects. */
  remove(handle: () => string, untilMs: () => number): Promise<Fate> {
    return this.#tell(() => this.#deletes.add(handle()), untilMs)
  }

  /** Others see it in so many seconds; tries again as `remove` does. Never rejects. */
  hide(handle: () => string, seconds: number, untilMs: () => number): Promise<Fate> {
    return this.#tell(() => this.#hides.add({ handle: handle(), seconds }), untilMs)
  }

  async #tell(tell: () => Promise<EntryResult>, untilMs: () => number): Promise<Fate> {
    const { clock, stop, at, failed, client } = this.#options
    for (let tries = 1; ; tries++) {
      const over = client()
      try {
        const result = await tell()
        if (result.ok) return 'done'
        if (result.isFinal) return 'gone'
      } catch (error) {
        if (isMissing(error)) return 'gone'
        const problem = queueProblem(error, at, this.queue.topic)
        // A connection that was idle for too long breaks at its next use: that alone says nothing.
        if (!problem.canRetry || tries === FAILURES_MAX) failed(problem, over)
        if (!problem.canRetry) return 'untold'
      }
      const waitMs = backoffMs(tries, TELL_BACKOFF)
      if (stop.aborted || clock.monotonic() + waitMs >= untilMs()) return 'untold'
      await sleep(clock, waitMs, stop).catch(() => undefined)
    }
  }

  async #sendDeletes(handles: readonly string[]): Promise<readonly EntryResult[]> {
    const { client } = this.#options
    const Entries = handles.map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle }))
    const command = new DeleteMessageBatchCommand({ QueueUrl: this.queue.url, Entries })
    return resultsOf(handles.length, await client().send(command))
  }

  async #sendHides(hidden: readonly Hidden[]): Promise<readonly EntryResult[]> {
    const { client } = this.#options
    const Entries = hidden.map(({ handle, seconds }, index) => ({ Id: String(index), ReceiptHandle: handle, VisibilityTimeout: seconds })) // prettier-ignore
    const command = new ChangeMessageVisibilityBatchCommand({ QueueUrl: this.queue.url, Entries })
    return resultsOf(hidden.length, await client().send(command))
  }
}

interface BatchAnswer {
  readonly Successful?: readonly { readonly Id?: string | undefined }[] | undefined
  readonly Failed?: readonly BatchResultErrorEntry[] | undefined
}

/** The call as a whole succeeds also when none of its entries did. What is in neither list was not done. */
function resultsOf(count: number, { Successful: done = [], Failed: failed = [] }: BatchAnswer): readonly EntryResult[] {
  const doneIds = new Set(done.map(({ Id }) => Id))
  const failedById = new Map(failed.map((entry) => [entry.Id, entry]))
  return Array.from({ length: count }, (_, index) => {
    const id = String(index)
    if (doneIds.has(id)) return { ok: true }
    const { Code: code = 'Unanswered', SenderFault: isSender = false } = failedById.get(id) ?? {}
    return { ok: false, code, isFinal: isSender && !isThrottled(code) }
  })
}
