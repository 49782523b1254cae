// How often calls at JetStream have failed, kept in a stream beside theirs: the server itself counts deliveries, and one that
// was given back, or whose worker was killed, was no attempt. Read and written for retries only; used by nats-queue.ts.

import { DiscardPolicy, jetstream } from '@nats-io/jetstream'
import type { JetStreamClient } from '@nats-io/jetstream'

import { errorText } from '../../sdk/index.ts'
import { REQUEST_TIMEOUT_MS } from './nats-connection.ts'
import type { NatsLine } from './nats-connection.ts'
import { NANOS, ensureStream } from './nats-stream.ts'

/** Shared by all queues and all gateways of a server; the last record of each call counts. */
const STREAM = 'connector-hub-retries'
const RECORDS_MAX = 1_000_000
/** Longer than any wait between two attempts. */
const RECORD_AGE_MAX_MS = 30 * 24 * 3_600_000

export class NatsAttempts {
  readonly #line: NatsLine
  readonly #client: JetStreamClient
  readonly #log: (line: string) => void
  #stream: Promise<void> | undefined
  /** Otherwise the server's deliveries are counted: rather one attempt less than attempts without end. */
  #isUsable = true

  constructor(line: NatsLine, log: (line: string) => void) {
    this.#line = line
    this.#client = jetstream(line.nats, { timeout: REQUEST_TIMEOUT_MS })
    this.#log = log
  }

  /** Which attempt this delivery is, from 1. Never rejects. */
  async attempt(queue: string, key: string, deliveries: number): Promise<number> {
    if (deliveries === 1 || !this.#isUsable) return deliveries
    try {
      await this.#open()
      const record = await this.#line.manager.streams.getMessage(STREAM, { last_by_subj: subjectOf(queue, key) })
      return record === null ? 1 : Math.min(deliveries, Number(record.string()) + 1)
    } catch (error) {
      this.#failed(error)
      return deliveries
    }
  }

  /** To be told before the call is given back. Never rejects. */
  async failed(queue: string, key: string, attempts: number): Promise<void> {
    try {
      await this.#open()
      await this.#client.publish(subjectOf(queue, key), String(attempts), { expect: { streamName: STREAM } })
      this.#isUsable = true
    } catch (error) {
      this.#failed(error)
    }
  }

  /** The call is over. Never rejects: what is left grows old. */
  async forget(queue: string, key: string): Promise<void> {
    await this.#line.manager.streams.purge(STREAM, { filter: subjectOf(queue, key) }).catch(() => undefined)
  }

  #open(): Promise<void> {
    const { manager } = this.#line
    return (this.#stream ??= ensureStream(manager, {
      name: STREAM,
      subjects: [subjectOf('*', '*')],
      max_msgs_per_subject: 1,
      max_msgs: RECORDS_MAX,
      max_age: RECORD_AGE_MAX_MS * NANOS,
      discard: DiscardPolicy.Old,
    }))
  }

  #failed(error: unknown): void {
    this.#stream = undefined
    if (this.#isUsable)
      this.#log(`Attempts of async calls cannot be kept at NATS, each delivery counts as one: ${errorText(error)}`)
    this.#isUsable = false
  }
}

function subjectOf(queue: string, key: string): string {
  return `connector-hub.retries.${queue}.${key}`
}
