// The source of listen mode: a connection to MinIO for each wanted bucket. At most once: nothing is told again. Catch-ups
// after a gap are in catch-up.ts, how far is known in marks.ts, what waits for the hub in outlet.ts.

import { HubError, RepeatGuard, errorText, orAborted, reading } from '../../src/sdk/index.ts'
import type { Delivery, ProbeReport, S3Record, Source, SourceContext, SourceCounter, Subscription } from '../../src/sdk/index.ts' // prettier-ignore
import { changesSince } from './catch-up.ts'
import { MinioClient } from './client.ts'
import type { MinioConfig } from './client.ts'
import { minioEvent } from './event.ts'
import { Feed } from './feed.ts'
import { Marks, changeOf } from './marks.ts'
import type { Change } from './marks.ts'
import { Outlet } from './outlet.ts'
import { probeListen } from './probe.ts'
import { lostProblem, reportRefusals } from './problems.ts'
import { Recent } from './recent.ts'
import { Wishes, equalWishes, wantedTopics } from './wishes.ts'
import type { Wish } from './wishes.ts'

/** What belongs to one connect and dies with it. */
interface Connection {
  readonly client: MinioClient
  readonly feeds: Map<string, Feed>
  readonly catchUps: Set<Promise<void>>
}

/** While a bucket's connection is replaced, both tell the same. */
const IDS_REMEMBERED = 10_000

export class ListenSource implements Source {
  readonly #config: MinioConfig
  readonly #context: SourceContext
  readonly #outlet: Outlet
  readonly #marks: Marks | undefined
  readonly #warnings: RepeatGuard
  readonly #recent = new Recent(IDS_REMEMBERED)
  readonly #caughtUp: SourceCounter
  readonly #leftOut: SourceCounter
  readonly #dropped: SourceCounter
  #wishes: Wishes
  #connection: Connection | undefined
  #closed = false

  constructor(config: MinioConfig, context: SourceContext) {
    this.#config = config
    this.#context = context
    this.#warnings = new RepeatGuard(context.clock)
    this.#outlet = new Outlet(context.unsettledMax)
    this.#wishes = new Wishes([], config)
    if (config.catchUp !== 'off')
      this.#marks = new Marks(context.state, context.clock, (error) => context.log.error('minio.state-failed', `how far is known could not be written down: ${errorText(error)}`)) // prettier-ignore
    this.#caughtUp = context.counter('minio_caught_up_total', 'Changes found by a catch-up after a gap.')
    this.#leftOut = context.counter('minio_left_out_total', 'Changes that a catch-up found beyond catchUpMax, and did not bring.') // prettier-ignore
    this.#dropped = context.counter(
      'minio_dropped_total',
      'Events received that no function was handed before the end.',
    )
    context.gauge('minio_paused', 'Connections that are not read, since the hub is full: MinIO drops what it cannot keep.', [], () => [{ labels: [], value: this.#outlet.pausing }]) // prettier-ignore
  }

  async connect(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#closed) throw lostProblem(this.#config.url, 'the source is closed')
    await this.#disconnect()
    const client = new MinioClient(this.#config)
    try {
      await client.greet(signal)
      if (this.#closed) throw lostProblem(client.at, 'the source was closed while it connected')
    } catch (error) {
      await client.close()
      throw error
    }
    this.#connection = { client, feeds: new Map(), catchUps: new Set() }
    this.#outlet.open()
  }

  /**
   * What MinIO refuses is reported and missing, the other buckets work.
   * @throws HubError the first refusal when there is nothing else; HUB_SOURCE_LOST when the connection goes
   */
  async subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    const connection = this.#live()
    const wishes = new Wishes(wantedTopics(wanted, this.#config.topics), this.#config)
    this.#wishes = wishes
    const problems: HubError[] = [...wishes.refused]
    for (const wish of wishes.byBucket.values()) {
      const before = connection.feeds.get(wish.bucket)
      if (before !== undefined && equalWishes(before.wish, wish)) continue
      try {
        await this.#listen(connection, wish, signal)
        await before?.stop()
      } catch (error) {
        if (!(error instanceof HubError) || error.canRetry) throw error
        problems.push(error)
      }
    }
    for (const [bucket, feed] of connection.feeds) {
      if (wishes.byBucket.has(bucket)) continue
      connection.feeds.delete(bucket)
      await feed.stop()
    }
    reportRefusals(problems, wishes.refused.length + wishes.byBucket.size, this.#context.log)
  }

  deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    const connection = this.#live()
    return reading(this.#outlet.deliveries, signal, () => {
      if (this.#connection !== connection) return
      this.#outlet.pause()
      // Nobody takes what they would bring.
      for (const feed of connection.feeds.values()) void feed.stop()
    })
  }

  probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport> {
    return probeListen(this.#config, topics, signal)
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#disconnect()
    const lost = this.#outlet.end()
    await this.#marks?.close()
    if (lost === 0) return
    this.#dropped.add(lost)
    this.#context.log.warn('minio.dropped', `${lost} events were received and not handed to a function any more`)
  }

  async #listen(connection: Connection, wish: Wish, signal: AbortSignal): Promise<void> {
    // What is told while the state is asked for, which may be on the other side of a network, is to be told apart from what a
    // catch-up finds, too.
    const known = Promise.withResolvers<void>()
    const owner = {
      take: async (record: S3Record, stopped: AbortSignal) => {
        await orAborted(known.promise, stopped)
        await this.#take(record, stopped)
      },
      lost: (error: HubError) => this.#lost(connection, error),
    }
    try {
      const feed = await Feed.open(connection.client, wish, owner, signal)
      await this.#begin(connection, feed)
    } finally {
      known.resolve()
    }
  }

  /** It is open: what was before is caught up with where that is wanted. */
  async #begin(connection: Connection, feed: Feed): Promise<void> {
    const { bucket } = feed.wish
    if (this.#connection !== connection) {
      await feed.stop()
      throw this.#lostProblem('the connection was lost')
    }
    const isFirst = !connection.feeds.has(bucket)
    connection.feeds.set(bucket, feed)
    if (this.#marks === undefined || !isFirst) return
    const sinceMs = await this.#marks.open(bucket, feed.serverTimeMs)
    if (sinceMs === undefined) return
    const catchUp = this.#catchUp(connection, feed, sinceMs)
    connection.catchUps.add(catchUp)
    void catchUp.finally(() => connection.catchUps.delete(catchUp))
  }

  async #take(record: S3Record, signal: AbortSignal): Promise<void> {
    if (!this.#wishes.wants(record)) return
    await this.#outlet.room(signal, () => this.#warnPaused())
    const change = changeOf(record)
    // After waiting: a catch-up may have found it meanwhile.
    if (!this.#recent.add(record.id) || !this.#isNew(record.bucket, change)) return
    this.#handOut(record, change, false)
  }

  #isNew(bucket: string, change: Change | undefined): boolean {
    return change === undefined || this.#marks === undefined || this.#marks.take(bucket, change)
  }

  #handOut(record: S3Record, change: Change | undefined, caughtUp: boolean): void {
    const { instance, clock } = this.#context
    this.#outlet.push(minioEvent(record, { instance, nowMs: clock.now(), caughtUp }), () => {
      if (change !== undefined) this.#marks?.settled(record.bucket, change)
    })
  }

  /** Never throws: without it the connection works, and the next one tries again from the same place. */
  async #catchUp({ client }: Connection, { wish, signal, serverTimeMs }: Feed, markMs: number): Promise<void> {
    const { catchUpMax, catchUpScanMax, catchUpAge } = this.#config
    const sinceMs = Math.max(markMs, serverTimeMs - catchUpAge)
    const { bucket } = wish
    try {
      const options = { wish, sinceMs, changesMax: catchUpMax, scanMax: catchUpScanMax }
      const { changes, leftOut, isCut, isVersioned } = await changesSince(client, options, signal)
      let count = 0
      for (const { change, record } of changes) {
        if (!this.#wishes.wants(record)) continue
        await this.#outlet.room(signal, () => this.#warnPaused())
        if (!this.#isNew(bucket, change)) continue
        count += 1
        this.#handOut(record, change, true)
      }
      this.#caughtUp.add(count)
      this.#leftOut.add(leftOut)
      this.#marks?.complete(bucket)
      const since = new Date(sinceMs).toISOString()
      const unseen = isVersioned ? 'versions that were removed for good cannot be seen' : 'what was removed, or overwritten in between, cannot be seen' // prettier-ignore
      this.#context.log.info('minio.caught-up', `${count} changes in bucket ${bucket} since ${since}; ${unseen}`, { bucket, count }) // prettier-ignore
      if (leftOut > 0 || isCut)
        this.#context.log.warn('minio.catch-up-cut', `the catch-up of bucket ${bucket} is not complete: ${leftOut} changes were beyond catchUpMax${isCut ? ', and the bucket has more objects than catchUpScanMax' : ''}`, { bucket, leftOut }) // prettier-ignore
    } catch (error) {
      if (signal.aborted) return
      const text = error instanceof HubError ? `${error.message}. ${error.hint}` : errorText(error)
      this.#context.log.error('minio.catch-up-failed', `what changed in bucket ${bucket} is not known: ${text}`, {
        bucket,
      })
    }
  }

  #lost(connection: Connection, error: HubError): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    this.#outlet.pause(error)
    void this.#end(connection)
  }

  async #disconnect(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    if (connection === undefined) return
    this.#outlet.pause()
    await this.#end(connection)
  }

  async #end({ client, feeds, catchUps }: Connection): Promise<void> {
    await Promise.all([...feeds.values()].map((feed) => feed.stop()))
    await Promise.all(catchUps)
    await client.close()
  }

  #warnPaused(): void {
    if (this.#warnings.pass('minio.paused') === undefined) return
    this.#context.log.warn('minio.paused', 'the hub is full and does not read: MinIO drops events that it cannot keep for us. Raise the concurrency, or use receive: webhook') // prettier-ignore
  }

  #live(): Connection {
    if (this.#connection === undefined) throw this.#lostProblem('not connected')
    return this.#connection
  }

  #lostProblem(text: string): HubError {
    return lostProblem(this.#config.url, text)
  }
}
