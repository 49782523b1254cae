// One received message and the events that it holds. Plain state, without behaviour beyond questions; owned by held.ts.

import type { Message } from '@aws-sdk/client-sqs'

import type { ClockTimer, EventMessage } from '../../src/sdk/index.ts'
import type { Lane } from './lane.ts'

/**
 * `ahead`: waits to be handed out. `out`: the hub has it. `waiting`: for another try here. `dropped`: SQS has taken the
 * message back meanwhile. `done`: settled.
 */
export type PartState = 'ahead' | 'out' | 'waiting' | 'dropped' | 'done'

/** One event of a message. */
export interface Part {
  readonly entry: Entry
  readonly event: EventMessage
  state: PartState
  /** How often it was handed out again without SQS. */
  retries: number
  timer: ClockTimer | undefined
  /** Withdraws it from the hub. */
  readonly abort: AbortController
}

export class Entry {
  /** Equal for every delivery of the message. */
  readonly key: string
  readonly lane: Lane<Part>
  readonly message: Message
  readonly parts: readonly Part[]
  /** Of the latest delivery. */
  handle: string
  /** When that was, and until when SQS hides the message; by the monotonic clock. */
  receivedAt: number
  hiddenUntil: number
  /** Its settlement is under way. */
  settling: 'delete' | 'retry' | undefined
  /** SQS says that it is not ours any more. */
  isLapsed = false

  constructor(key: string, lane: Lane<Part>, message: Message, events: readonly EventMessage[]) {
    this.key = key
    this.lane = lane
    this.message = message
    this.handle = message.ReceiptHandle ?? ''
    this.receivedAt = 0
    this.hiddenUntil = 0
    this.parts = events.map((event) => ({
      entry: this,
      event,
      state: 'ahead',
      retries: 0,
      timer: undefined,
      abort: new AbortController(),
    }))
  }

  /** Events that are not settled. */
  get open(): number {
    return this.parts.filter(({ state }) => state !== 'done').length
  }

  get isOut(): boolean {
    return this.parts.some(({ state }) => state === 'out')
  }

  /** Of a FIFO queue. */
  get group(): string | undefined {
    return this.lane.queue.isFifo ? this.message.Attributes?.MessageGroupId : undefined
  }
}
