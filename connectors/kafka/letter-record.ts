// A record of a dead-letter topic as the letter that it holds, whoever wrote it. Pure; the other side of letters.ts.

import { LETTER_EVENT, eventOfLetter } from '../../src/sdk/index.ts'
import type { DeadLetter } from '../../src/sdk/index.ts'
import { toEvent } from './event.ts'
import type { Fetched } from './partition.ts'

export interface LetterOrigin {
  readonly instance: string
  /** Of the dead-letter topic. */
  readonly topic: string
  readonly partition: number
  readonly order: 'key' | 'partition' | 'none'
}

/** The first of those that the hub appends to the headers of the record. */
const FIRST = 'hub-function'
const OWN = new Set([FIRST, 'hub-reason', 'hub-attempts', 'hub-status', 'hub-failed-at', 'hub-connector', 'hub-event-id', 'hub-topic', 'hub-partition', 'hub-offset', 'hub-timestamp', LETTER_EVENT]) // prettier-ignore

/** Its function is empty where no hub wrote it. What a header says that makes no sense counts as not said. */
export function letterOf(record: Fetched, at: LetterOrigin): DeadLetter {
  const { instance, order } = at
  const { own, rest } = headersOf(record)
  if (own === undefined) {
    const message = toEvent(record, at, 0)
    return { message, function: '', reason: 'not written by a hub', attempts: 0, failedAtMs: record.timestampMs }
  }
  const status = numberOf(own.get('hub-status'))
  const event = toEvent(
    {
      offset: BigInt(numberOf(own.get('hub-offset')) ?? record.offset),
      timestampMs: numberOf(own.get('hub-timestamp')) ?? record.timestampMs,
      key: record.key,
      value: record.value,
      headers: rest,
    },
    {
      instance: own.get('hub-connector') ?? instance,
      topic: own.get('hub-topic') ?? at.topic,
      partition: numberOf(own.get('hub-partition')) ?? at.partition,
      order,
    },
    0,
  )
  const known = { ...event, id: own.get('hub-event-id') ?? event.id }
  return {
    message: eventOfLetter(own.get(LETTER_EVENT), known.body, known) ?? known,
    function: own.get(FIRST) ?? '',
    reason: own.get('hub-reason') ?? '',
    ...(status === undefined ? {} : { status }),
    attempts: numberOf(own.get('hub-attempts')) ?? 0,
    failedAtMs: timeOf(own.get('hub-failed-at')) ?? record.timestampMs,
  }
}

/** Those that the hub appended, if that is how the headers end; the others are the original's, even where they look alike. */
function headersOf({ headers }: Fetched): {
  readonly own: ReadonlyMap<string, string> | undefined
  readonly rest: Fetched['headers']
} {
  const first = headers.findLastIndex(([name]) => name?.toString() === FIRST)
  const block = first === -1 ? [] : headers.slice(first).map(([name, value]) => [name?.toString() ?? '', value?.toString() ?? ''] as const) // prettier-ignore
  if (block.length === 0 || !block.every(([name]) => OWN.has(name))) return { own: undefined, rest: headers }
  return { own: new Map(block.filter(([, value]) => value !== '')), rest: headers.slice(0, first) }
}

function numberOf(text: string | undefined): number | undefined {
  const number = text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined
  return Number.isSafeInteger(number) ? number : undefined
}

function timeOf(text: string | undefined): number | undefined {
  const ms = Date.parse(text ?? '')
  return Number.isNaN(ms) ? undefined : ms
}
