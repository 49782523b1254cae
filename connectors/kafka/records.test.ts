import type { RecordsBatch } from '@platformatic/kafka'
import { describe, expect, test } from 'vitest'

import { recordsOf } from './records.ts'

const TRANSACTIONAL = 1 << 4
const CONTROL = 1 << 5
const LOG_APPEND_TIME = 1 << 3

function batch(first: number, count: number, more: Partial<RecordsBatch> = {}): RecordsBatch {
  return {
    firstOffset: BigInt(first),
    length: 0,
    partitionLeaderEpoch: 0,
    magic: 2,
    crc: 0,
    attributes: 0,
    lastOffsetDelta: count - 1,
    firstTimestamp: 1000n,
    maxTimestamp: 5000n,
    producerId: -1n,
    producerEpoch: -1,
    firstSequence: -1,
    records: Array.from({ length: count }, (_, index) => ({ length: 0, attributes: 0, timestampDelta: BigInt(index), offsetDelta: index, key: null, value: null, headers: [] })), // prettier-ignore
    ...more,
  }
}

/** Version, then type 0 for an abort, 1 for a commit. */
function marker(offset: number, producerId: bigint, type: 0 | 1): RecordsBatch {
  const [record] = batch(offset, 1).records
  return batch(offset, 1, { producerId, attributes: CONTROL | TRANSACTIONAL, records: [{ ...(record as NonNullable<typeof record>), key: Buffer.from([0, 0, 0, type]) }] }) // prettier-ignore
}

const offsets = ({ records }: ReturnType<typeof recordsOf>): readonly number[] => records.map(({ offset }) => Number(offset)) // prettier-ignore

describe('records of a fetch', () => {
  test('begin at our position, although the broker answers with whole batches', () => {
    const found = recordsOf([batch(10, 5)], 12n, [])
    expect([offsets(found), found.next]).toEqual([[12, 13, 14], 15n])
    expect(found.records[0]?.timestampMs).toBe(1002)
  })

  test('have the time of the log where the topic says so', () => {
    expect(recordsOf([batch(0, 1, { attributes: LOG_APPEND_TIME })], 0n, []).records[0]?.timestampMs).toBe(5000)
  })

  test('of a compacted batch end where the batch did', () => {
    const [record] = batch(0, 1).records
    const compacted = batch(20, 1, { lastOffsetDelta: 9, records: [{ ...(record as NonNullable<typeof record>), offsetDelta: 3 }] }) // prettier-ignore
    const found = recordsOf([compacted], 20n, [])
    expect([offsets(found), found.next]).toEqual([[23], 30n])
  })

  test('leave out markers, and what was aborted until its marker', () => {
    const transaction = { attributes: TRANSACTIONAL, producerId: 7n }
    const batches = [
      batch(0, 2, transaction),
      batch(2, 1, { attributes: TRANSACTIONAL, producerId: 8n }),
      batch(3, 1),
      marker(4, 7n, 0),
      marker(5, 8n, 1),
      batch(6, 2, transaction),
      marker(8, 7n, 1),
    ]
    const found = recordsOf(batches, 0n, [{ producerId: 7n, firstOffset: 0n }])
    expect([offsets(found), found.next]).toEqual([[2, 3, 6, 7], 9n])
  })

  test('of a transaction that is aborted twice are left out twice', () => {
    const transaction = { attributes: TRANSACTIONAL, producerId: 7n }
    const batches = [
      batch(0, 1, transaction),
      marker(1, 7n, 0),
      batch(2, 1, transaction),
      marker(3, 7n, 0),
      batch(4, 1),
    ]
    const found = recordsOf(batches, 0n, [{ producerId: 7n, firstOffset: 2n }, { producerId: 7n, firstOffset: 0n }]) // prettier-ignore
    expect(offsets(found)).toEqual([4])
  })
})
