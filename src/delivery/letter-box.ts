// The dead letters of the embedded store as a box like those of brokers, and which letters of a box are meant. For redrive
// and for the command line.

import type { Clock, DeadLetter, HeldLetter, LetterBox } from '../sdk/index.ts'
import type { SqliteDeadLetters } from './dead-letters.ts'

/** Which letters are meant; what is left out does not matter. */
export interface LetterFilter {
  /** As `HeldLetter.id`. */
  readonly ids?: ReadonlySet<string> | undefined
  /** Full name. */
  readonly function?: string | undefined
  readonly topic?: string | undefined
  /** Connector instance. */
  readonly source?: string | undefined
  /** Unix milliseconds: failed before this. */
  readonly beforeMs?: number | undefined
}

const PAGE = 100

/** @param place of the store, for people; it is closed by whoever opened it */
export function storeBox(store: SqliteDeadLetters, place: string, clock: Clock): LetterBox {
  return {
    place,
    caution: undefined,
    removal: undefined,
    async *letters(signal) {
      // What comes in later is left alone; what fails again keeps its number, so each page begins behind the last one.
      const last = store.lastNumber()
      for (let after = 0; after < last && !signal.aborted;) {
        const page = store.list(PAGE, after)
        for (const letter of page) if (letter.number <= last) yield held(store, letter.number, letter, clock)
        after = page.at(-1)?.number ?? last
      }
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

function held(store: SqliteDeadLetters, number: number, letter: DeadLetter, clock: Clock): HeldLetter {
  return {
    id: String(number),
    letter,
    remove: async () => void (await store.remove(number)),
    failedAgain: (reason, status) => store.failedAgain(number, reason, status, clock.now()),
  }
}

export function isMeant({ id, letter }: HeldLetter, filter: LetterFilter): boolean {
  const { ids, function: name, topic, source, beforeMs } = filter
  if (ids !== undefined && !ids.has(id)) return false
  if (name !== undefined && letter.function !== name) return false
  if (topic !== undefined && letter.message.topic !== topic) return false
  if (source !== undefined && letter.message.source !== source) return false
  return beforeMs === undefined || letter.failedAtMs < beforeMs
}

/** Those that are meant, as they come. Ends early when the signal is aborted, or when each named one was found. */
export async function* meantLetters(
  box: LetterBox,
  filter: LetterFilter,
  signal: AbortSignal,
): AsyncGenerator<HeldLetter, void> {
  let found = 0
  for await (const letter of box.letters(signal)) {
    if (signal.aborted) return
    if (!isMeant(letter, filter)) continue
    yield letter
    found += 1
    if (found === filter.ids?.size) return
  }
}
