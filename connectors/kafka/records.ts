// From the batches of a fetch to the records that count: behind our position, no markers, nothing of aborted transactions.
// Pure; called by fetcher.ts.

import type { RecordsBatch } from '@platformatic/kafka'

import type { Fetched } from './partition.ts'

interface Aborted {
  readonly producerId: bigint
  readonly firstOffset: bigint
}

// Attributes of a batch, message format v2.
const IS_LOG_APPEND_TIME = 1 << 3
const IS_TRANSACTIONAL = 1 << 4
const IS_CONTROL = 1 << 5
/** Type of a control record, in the last two bytes of its key. */
const ABORT_MARKER = 0

/**
 * @param position records before it were had already: brokers answer with whole batches
 * @param aborted transactions, as the broker lists them for this answer
 * @returns and where to go on, behind the last batch
 */
export function recordsOf(
  batches: readonly RecordsBatch[],
  position: bigint,
  aborted: readonly Aborted[],
): { readonly records: readonly Fetched[]; readonly next: bigint } {
  const records: Fetched[] = []
  const pending = aborted.toSorted((left, right) => (left.firstOffset < right.firstOffset ? -1 : 1))
  /** Producers whose transaction at this place of the log was aborted. */
  const aborting = new Set<bigint>()
  let next = position
  for (const batch of batches) {
    const last = batch.firstOffset + BigInt(batch.lastOffsetDelta)
    while (pending[0] !== undefined && pending[0].firstOffset <= last) aborting.add((pending.shift() as Aborted).producerId) // prettier-ignore
    if ((batch.attributes & IS_CONTROL) !== 0) {
      if (isAbort(batch)) aborting.delete(batch.producerId)
    } else if ((batch.attributes & IS_TRANSACTIONAL) === 0 || !aborting.has(batch.producerId))
      append(records, batch, position)
    if (last >= next) next = last + 1n
  }
  return { records, next }
}

function append(records: Fetched[], batch: RecordsBatch, position: bigint): void {
  const isAppendTime = (batch.attributes & IS_LOG_APPEND_TIME) !== 0
  for (const { offsetDelta, timestampDelta, key, value, headers } of batch.records) {
    const offset = batch.firstOffset + BigInt(offsetDelta)
    if (offset < position) continue
    const timestampMs = Number(isAppendTime ? batch.maxTimestamp : batch.firstTimestamp + timestampDelta)
    records.push({ offset, timestampMs, key, value, headers })
  }
}

function isAbort({ records }: RecordsBatch): boolean {
  const key = records[0]?.key
  return key !== undefined && key !== null && key.length >= 4 && key.readInt16BE(2) === ABORT_MARKER
}
