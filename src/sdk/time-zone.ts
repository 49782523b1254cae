// The offset of a time zone from UTC as pieces of constant offset, so that a schedule can see where clocks change.
// Not a date library: reads the zone data that Node brings (Intl). Called by schedule.ts.

const DAY_MS = 86_400_000
/** Nothing is searched beyond the year 9999, where text forms of times change. */
export const INSTANT_MAX_MS = Date.UTC(9999, 11, 31)
const YEARS_CACHED_MAX = 64
const SPELLINGS_CACHED_MAX = 1024

/** A stretch of time in which the offset is constant. Ends at a change of offset or of the UTC year, whichever is first. */
export interface OffsetPiece {
  /** First instant, Unix milliseconds. */
  readonly startMs: number
  /** First instant after it. */
  readonly endMs: number
  /** Local time minus UTC, milliseconds. */
  readonly offsetMs: number
  /** Offset just before `startMs`; equal to `offsetMs` where no clock changes. */
  readonly previousOffsetMs: number
}

export interface TimeZone {
  /** As the zone database spells it. */
  readonly name: string
  /** @param instantMs from 1970 to `INSTANT_MAX_MS` */
  pieceAt(instantMs: number): OffsetPiece
}

/** By the database's spelling, which bounds their number. */
const zones = new Map<string, TimeZone>()
/** By the spelling that was asked for: finding the database's one costs a tenth of a millisecond. */
const spellings = new Map<string, TimeZone>()

/**
 * The zone of an IANA name (`Europe/London`, `UTC`); undefined when there is none. Offsets (`+02:00`) and `Local` are
 * refused: the one has no clock changes, the other depends on the machine.
 */
export function timeZone(name: string): TimeZone | undefined {
  // The default of most, and asking Node the first time loads all of its zone data.
  if (name === 'UTC') return utc
  const known = spellings.get(name)
  if (known !== undefined) return known
  if (!/^[A-Za-z][A-Za-z0-9_+\-/]*$/.test(name)) return undefined
  let canonical: string
  try {
    canonical = new Intl.DateTimeFormat('en-US', { timeZone: name }).resolvedOptions().timeZone
  } catch {
    return undefined
  }
  let zone = zones.get(canonical)
  if (zone === undefined) zones.set(canonical, (zone = canonical === 'UTC' ? utc : new IntlZone(canonical)))
  if (spellings.size >= SPELLINGS_CACHED_MAX) spellings.clear()
  spellings.set(name, zone)
  return zone
}

/** `2026-03-29 01:30:00` of a wall time, given as the Unix milliseconds at which a clock in UTC shows it. */
export function wallText(wallMs: number): string {
  return new Date(wallMs).toISOString().slice(0, 19).replace('T', ' ')
}

/** What a clock in the zone shows at an instant. */
export function wallClock(zone: TimeZone, instantMs: number): string {
  return wallText(instantMs + zone.pieceAt(instantMs).offsetMs)
}

/** No zone is further from UTC than this. */
const OFFSET_MAX_MS = 26 * 3_600_000

/** When a clock in the zone shows a wall time: once, twice where clocks go back, or not at all, and then when they go forward over it. */
export function instantsOf(
  zone: TimeZone,
  wallMs: number,
): { readonly shown: readonly number[]; readonly skippedAtMs: number | undefined } {
  // prettier-ignore
  const shown: number[] = []
  let skippedAtMs: number | undefined
  let piece = zone.pieceAt(Math.max(0, wallMs - OFFSET_MAX_MS))
  for (; piece.startMs <= wallMs + OFFSET_MAX_MS; piece = zone.pieceAt(piece.endMs)) {
    const atMs = wallMs - piece.offsetMs
    if (atMs >= piece.startMs && atMs < piece.endMs) shown.push(atMs)
    if (wallMs >= piece.startMs + piece.previousOffsetMs && atMs < piece.startMs) skippedAtMs = piece.startMs
    if (piece.endMs >= INSTANT_MAX_MS) break
  }
  return { shown, skippedAtMs }
}

const utc: TimeZone = {
  name: 'UTC',
  pieceAt: () => ({ startMs: 0, endMs: INSTANT_MAX_MS, offsetMs: 0, previousOffsetMs: 0 }),
}

class IntlZone implements TimeZone {
  readonly name: string
  readonly #format: Intl.DateTimeFormat
  readonly #years = new Map<number, readonly OffsetPiece[]>()

  constructor(name: string) {
    this.name = name
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
  }

  pieceAt(instantMs: number): OffsetPiece {
    const year = new Date(instantMs).getUTCFullYear()
    let pieces = this.#years.get(year)
    if (pieces === undefined) {
      if (this.#years.size >= YEARS_CACHED_MAX) this.#years.clear()
      this.#years.set(year, (pieces = this.#piecesOf(year)))
    }
    return pieces.find((piece) => instantMs < piece.endMs) as OffsetPiece
  }

  #piecesOf(year: number): readonly OffsetPiece[] {
    const endMs = Date.UTC(year + 1, 0, 1)
    let startMs = Date.UTC(year, 0, 1)
    let offsetMs = this.#offsetAt(startMs)
    let previousOffsetMs = this.#offsetAt(startMs - 1000)
    const pieces: OffsetPiece[] = []
    // A day is shorter than the time between any two changes of a zone, so none is stepped over.
    for (let dayMs = startMs; dayMs < endMs; dayMs += DAY_MS) {
      const nextMs = Math.min(dayMs + DAY_MS, endMs - 1000)
      const nextOffsetMs = this.#offsetAt(nextMs)
      if (nextOffsetMs === offsetMs) continue
      const changeMs = this.#changeBetween(dayMs, nextMs, nextOffsetMs)
      pieces.push({ startMs, endMs: changeMs, offsetMs, previousOffsetMs })
      startMs = changeMs
      previousOffsetMs = offsetMs
      offsetMs = nextOffsetMs
    }
    pieces.push({ startMs, endMs, offsetMs, previousOffsetMs })
    return pieces
  }

  /** The first second that has the new offset. */
  #changeBetween(beforeMs: number, afterMs: number, newOffsetMs: number): number {
    let before = beforeMs / 1000
    let after = afterMs / 1000
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2)
      if (this.#offsetAt(middle * 1000) === newOffsetMs) after = middle
      else before = middle
    }
    return after * 1000
  }

  /** @param instantMs on a whole second */
  #offsetAt(instantMs: number): number {
    // `11/21/2026, 01:42:07`
    const text = this.#format.format(instantMs)
    const [month, day, year, hour, minute, second] = (text.match(/\d+/g) as string[]).map(Number) as [number, number, number, number, number, number] // prettier-ignore
    return Date.UTC(year, month - 1, day, hour, minute, second) - instantMs
  }
}
