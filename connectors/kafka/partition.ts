// One partition that is ours: what was fetched and not handed out, what was handed out and not committed, and the commit
// that follows from it. Knows no connection. Owned by kafka-source.ts, read by the fetcher and the committer.

import type { SettleResult } from '../../src/sdk/index.ts'
import { decodeProgress, encodeProgress } from './progress.ts'

/** A record as it was fetched. */
export interface Fetched {
  readonly offset: bigint
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly (readonly [Buffer | null, Buffer | null])[]
}

/** A record that was handed out. */
export interface Handed {
  readonly offset: bigint
  readonly timestampMs: number
  /** Invocations, over all members that had it. */
  tries: number
  settled: boolean
  /** Resolves the settlement once a commit has carried it, or the partition is gone. */
  confirm: ((result: SettleResult) => void) | undefined
  /** Told when the partition is taken away before it is settled. */
  withdraw: () => void
}

/** What is to be committed, and whom it confirms. */
export interface Commit {
  readonly offset: bigint
  readonly metadata: string
  readonly carries: readonly Handed[]
}

export class Partition {
  readonly topic: string
  readonly index: number
  /** Where fetching goes on. */
  position: bigint
  /** End of the log as of the last fetch. */
  end: bigint
  /** Nothing more is handed out. */
  leaving = false
  /** Its position is not in the log; another one is being looked for. */
  lost = false
  /** The group has a commit for it. */
  isCommitted = false
  /** It was taken away: nothing of it can be settled any more. */
  gone = false
  #fetched: (Fetched | undefined)[] = []
  #fetchedHead = 0
  #handed: Handed[] = []
  #handedHead = 0
  /** Settled, and not in a confirmed commit yet. */
  #unconfirmed: Handed[] = []
  #outstanding = 0
  /** Known from the commit that we began with. */
  readonly #before: Set<bigint>
  readonly #triesBefore: Map<bigint, number>
  readonly #aheadMax: bigint
  #quiet: (() => void) | undefined

  /** @param metadata of the commit at `offset` */
  constructor(topic: string, index: number, offset: bigint, metadata: string | null, aheadMax: number) {
    this.topic = topic
    this.index = index
    this.position = offset
    this.end = offset
    this.#aheadMax = BigInt(aheadMax)
    const { settled, tries } = decodeProgress(metadata)
    this.#before = new Set(settled.map((distance) => offset + BigInt(distance)))
    this.#triesBefore = new Map([...tries].map(([distance, count]) => [offset + BigInt(distance), count]))
  }

  /** Fetched records that were not handed out. */
  get waiting(): number {
    return this.#fetched.length - this.#fetchedHead
  }

  /** Handed out, and not settled as far as the broker knows. */
  get outstanding(): number {
    return this.#outstanding
  }

  /** It runs too far ahead of its oldest unsettled record. */
  get paused(): boolean {
    const next = this.#fetched[this.#fetchedHead]
    return next !== undefined && next.offset - this.committable >= this.#aheadMax
  }

  /** All before it is settled. */
  get committable(): bigint {
    this.#advance()
    return this.#handed[this.#handedHead]?.offset ?? this.#fetched[this.#fetchedHead]?.offset ?? this.position
  }

  get oldestUnsettledMs(): number | undefined {
    this.#advance()
    return this.#handed[this.#handedHead]?.timestampMs
  }

  get oldestWaitingMs(): number | undefined {
    return this.#fetched[this.#fetchedHead]?.timestampMs
  }

  /** @param next where fetching goes on, behind markers and gaps */
  accept(records: readonly Fetched[], next: bigint): void {
    // Not spread into arguments: a compressed answer may hold more records than a call takes.
    for (const record of records) this.#fetched.push(record)
    if (next > this.position) this.position = next
  }

  /** Fetching goes on elsewhere. */
  moveTo(position: bigint): void {
    this.position = position
    this.lost = false
  }

  /** The next record, now handed out; undefined when there is none, or it would run too far ahead. */
  handOut(): { readonly record: Fetched; readonly handed: Handed } | undefined {
    for (;;) {
      if (this.leaving || this.paused) return undefined
      const record = this.#shift()
      if (record === undefined) return undefined
      const { offset, timestampMs } = record
      const tries = this.#triesBefore.get(offset) ?? 0
      this.#triesBefore.delete(offset)
      // Settled before we came: it only takes its place.
      const settled = this.#before.delete(offset)
      const handed: Handed = { offset, timestampMs, tries, settled, confirm: undefined, withdraw: nothing }
      this.#handed.push(handed)
      if (settled) continue
      this.#outstanding += 1
      return { record, handed }
    }
  }

  #shift(): Fetched | undefined {
    const record = this.#fetched[this.#fetchedHead]
    if (record === undefined) return undefined
    this.#fetched[this.#fetchedHead] = undefined
    this.#fetchedHead += 1
    if (this.#fetchedHead > 1024) {
      this.#fetched = this.#fetched.slice(this.#fetchedHead)
      this.#fetchedHead = 0
    }
    return record
  }

  /** Resolves `settled` once a commit has carried it, `stale` when the partition is taken away before. */
  settle(handed: Handed): Promise<SettleResult> {
    if (this.gone) return Promise.resolve('stale')
    handed.settled = true
    this.#unconfirmed.push(handed)
    return new Promise((resolve) => (handed.confirm = resolve))
  }

  /** It was only looked at: nothing waits for its settlement, and it holds up nothing. Not for what is committed. */
  forgo(handed: Handed): void {
    handed.settled = true
    this.#outstanding -= 1
    this.#advance()
  }

  /** What stands to be committed now. It is confirmed with `confirmed`, or given back with `failed`. */
  commit(): Commit {
    const offset = this.committable
    const settled: number[] = []
    const tries = new Map<number, number>()
    // What we were told to be settled and did not come to yet stays so for whoever is next.
    for (const known of this.#before) if (known >= offset) settled.push(Number(known - offset))
    for (const [known, count] of this.#triesBefore) if (known >= offset) tries.set(Number(known - offset), count)
    for (let at = this.#handedHead; at < this.#handed.length; at++) {
      const handed = this.#handed[at] as Handed
      const distance = Number(handed.offset - offset)
      if (handed.settled) settled.push(distance)
      else if (handed.tries > 0) tries.set(distance, handed.tries)
    }
    settled.sort((left, right) => left - right)
    const carries = this.#unconfirmed
    this.#unconfirmed = []
    return { offset, metadata: encodeProgress({ settled, tries }), carries }
  }

  confirmed({ carries }: Commit): void {
    this.isCommitted = true
    for (const handed of carries) handed.confirm?.('settled')
    this.#outstanding -= carries.length
    this.#checkQuiet()
  }

  failed({ carries }: Commit): void {
    if (this.gone) for (const handed of carries) handed.confirm?.('stale')
    else this.#unconfirmed = [...carries, ...this.#unconfirmed]
  }

  /** Resolves when nothing of it is out any more. */
  quiet(): Promise<void> {
    return this.#outstanding === 0 ? Promise.resolve() : new Promise((resolve) => (this.#quiet = resolve))
  }

  /** Another member has it now, or nobody. */
  takeAway(): void {
    this.leaving = true
    this.gone = true
    for (const handed of this.#unconfirmed) handed.confirm?.('stale')
    this.#unconfirmed = []
    for (const handed of this.#handed) if (!handed.settled) handed.withdraw()
    this.#outstanding = 0
    this.#checkQuiet()
  }

  #checkQuiet(): void {
    if (this.#outstanding === 0) this.#quiet?.()
  }

  #advance(): void {
    while (this.#handed[this.#handedHead]?.settled === true) this.#handedHead += 1
    if (this.#handedHead > 1024 && this.#handedHead * 2 > this.#handed.length) {
      this.#handed = this.#handed.slice(this.#handedHead)
      this.#handedHead = 0
    }
  }
}

function nothing(): void {}
