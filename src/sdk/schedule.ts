// Schedule expressions: when does a cron function fire next? Grammar in schedule-fields.ts, clock changes in time-zone.ts.
// Pure: no clock, no timer, independent of the machine's time zone. Called by discovery, the cron connector and the CLI.

import { HubError } from './errors.ts'
import { nearest } from './nearest.ts'
import { nextWallTime, parseCronFields, type CronFields } from './schedule-fields.ts'
import { INSTANT_MAX_MS, timeZone, wallClock, wallText, type OffsetPiece, type TimeZone } from './time-zone.ts'
import { parseDuration } from './units.ts'

const EXPRESSION_CHARS_MAX = 1024
/** Longer than a hundred years is a typing error. */
const EVERY_MAX_HOURS = 100 * 366 * 24
/** How far clock changes are searched for a time that exists. */
const SEARCH_MS = 10 * 366 * 86_400_000

const DESCRIPTORS: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}

export type FireNote =
  | 'skipped: does not exist (clocks go forward)'
  | 'repeated hour: first occurrence'
  | 'repeated hour: second occurrence'

/** One line of `cron next`. */
export interface UpcomingFire {
  /** Unix milliseconds; of a skipped one, the moment at which the clocks go forward over it. */
  readonly atMs: number
  /** What a clock in the schedule's zone shows, or would show: `2026-03-29 01:30:00`. */
  readonly local: string
  /** False: listed only to say that it is skipped. */
  readonly fires: boolean
  readonly note?: FireNote
}

/**
 * A parsed expression. Immutable.
 *
 * Where clocks go forward, a time that does not exist is skipped, not moved. Where they go back, a time that comes twice
 * fires the first time only; but an expression that names no hours (`* * * * *`, `30 * * * *`) means "every hour" and
 * fires in both, so that its cadence keeps. (robfig/cron fires every repeated time twice.)
 *
 * `@every` fires at the multiples of its interval since 1970-01-01T00:00:00Z and not since the start of the process, so
 * that restarts and replicas agree on the times.
 */
export interface Schedule {
  /** As written, trimmed. */
  readonly expression: string
  /** IANA name of the zone whose clock counts. */
  readonly zone: string
  /** The first fire strictly after `afterMs` (Unix milliseconds) and not before 1970; undefined: never again (30 February). */
  next(afterMs: number): number | undefined
  /** The next `count` fires after `afterMs`, up to and including `untilMs`, with what clock changes do to them; skipped ones count. */
  upcoming(afterMs: number, count: number, untilMs?: number): readonly UpcomingFire[]
}

/**
 * Parses `minute hour day-of-month month day-of-week` (or six fields, seconds first: an extension), a descriptor such as
 * `@hourly`, or `@every 90s`; each may follow `CRON_TZ=Area/City` or `TZ=Area/City`. OpenFaaS contract, cron-connector.
 * @param options.defaultZone used without a prefix; by default UTC
 * @throws HubError HUB_SCHEDULE_INVALID with a sentence that says what is wrong and what to write
 */
export function parseSchedule(expression: string, options: { readonly defaultZone?: string } = {}): Schedule {
  try {
    return parse(expression, options.defaultZone ?? 'UTC')
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new HubError('HUB_SCHEDULE_INVALID', error.message, { details: { expression } })
  }
}

/** What is wrong with an expression, as a sentence; undefined when it is valid. */
export function scheduleProblem(expression: string): string | undefined {
  try {
    parse(expression, 'UTC')
    return undefined
  } catch (error) {
    if (error instanceof SyntaxError) return error.message
    throw error
  }
}

/** What is wrong with a zone name, as a sentence; undefined when it is known. */
export function zoneProblem(name: string): string | undefined {
  if (timeZone(name) !== undefined) return undefined
  const near = nearest(name, Intl.supportedValuesOf('timeZone'))
  return `"${name}" is not a time zone; ${near === undefined ? 'write one such as Europe/London' : `did you mean ${near}?`}`
}

/** The expressions of an annotation: split at `;`, trimmed, without empty ones and repetitions. */
export function splitSchedules(annotation: string): string[] {
  const parts = annotation.split(';').map((part) => part.trim().replace(/\s+/g, ' '))
  return [...new Set(parts)].filter((part) => part !== '')
}

function parse(expression: string, defaultZone: string): Schedule {
  const text = expression.trim()
  if (text === '') throw new SyntaxError('a schedule must not be empty; write five fields such as "0 9 * * 1-5"')
  if (text.length > EXPRESSION_CHARS_MAX)
    throw new SyntaxError(`a schedule has at most ${EXPRESSION_CHARS_MAX} characters, not ${text.length}`)
  const prefix = /^(CRON_TZ|TZ)=(\S*)\s*/.exec(text)
  const zoneName = prefix?.[2] ?? defaultZone
  const zone = timeZone(zoneName)
  if (zone === undefined) throw new SyntaxError(zoneProblem(zoneName))
  const rest = prefix === null ? text : text.slice(prefix[0].length)
  if (rest === '') throw new SyntaxError(`"${text}" names a time zone and no times; add five fields`)
  if (/^@every(\s|$)/.test(rest))
    return new IntervalSchedule(text, zone, parseEvery(rest.slice('@every'.length).trim()))
  return new CronSchedule(text, zone, parseCronFields(rest.startsWith('@') ? described(rest) : rest))
}

function described(descriptor: string): string {
  const fields = DESCRIPTORS[descriptor]
  if (fields !== undefined) return fields
  const near = nearest(descriptor, [...Object.keys(DESCRIPTORS), '@every'])
  const instead = near === undefined ? `write ${Object.keys(DESCRIPTORS).join(', ')} or @every 30s` : `did you mean ${near === '@every' ? '@every 30s' : near}?` // prettier-ignore
  throw new SyntaxError(`"${descriptor}" is not a known descriptor; ${instead}`)
}

function parseEvery(text: string): number {
  const everyMs = parseDuration(text)
  if (everyMs === undefined)
    throw new SyntaxError(
      `@every needs a duration such as 30s or 1h30m, not "${text}"${/^\d+$/.test(text) ? `; write @every ${text}s` : ''}`,
    )
  if (everyMs < 1000) throw new SyntaxError(`@every ${text} is too short; the shortest is @every 1s`)
  if (everyMs % 1000 !== 0)
    throw new SyntaxError(
      `@every ${text} is not a whole number of seconds; write @every ${Math.round(everyMs / 1000)}s`,
    )
  if (everyMs > EVERY_MAX_HOURS * 3_600_000)
    throw new SyntaxError(`@every ${text} is too long; the longest is @every ${EVERY_MAX_HOURS}h`)
  return everyMs
}

class IntervalSchedule implements Schedule {
  readonly expression: string
  readonly zone: string
  readonly #zone: TimeZone
  readonly #everyMs: number

  constructor(expression: string, zone: TimeZone, everyMs: number) {
    this.expression = expression
    this.zone = zone.name
    this.#zone = zone
    this.#everyMs = everyMs
  }

  next(afterMs: number): number | undefined {
    const atMs = (Math.floor(Math.max(-1, afterMs) / this.#everyMs) + 1) * this.#everyMs
    return atMs <= INSTANT_MAX_MS ? atMs : undefined
  }

  upcoming(afterMs: number, count: number, untilMs = INSTANT_MAX_MS): readonly UpcomingFire[] {
    const fires: UpcomingFire[] = []
    for (
      let atMs = this.next(afterMs);
      atMs !== undefined && atMs <= untilMs && fires.length < count;
      atMs = this.next(atMs)
    )
      // prettier-ignore
      fires.push({ atMs, local: wallClock(this.#zone, atMs), fires: true })
    return fires
  }
}

class CronSchedule implements Schedule {
  readonly expression: string
  readonly zone: string
  readonly #zone: TimeZone
  readonly #fields: CronFields
  /** Names no hours: counts elapsed time, so a repeated hour is one more hour. */
  readonly #everyHour: boolean

  constructor(expression: string, zone: TimeZone, fields: CronFields) {
    this.expression = expression
    this.zone = zone.name
    this.#zone = zone
    this.#fields = fields
    this.#everyHour = fields.hours.length === 24
  }

  next(afterMs: number): number | undefined {
    const fromMs = Math.max(0, (Math.floor(afterMs / 1000) + 1) * 1000)
    const untilMs = Math.min(fromMs + SEARCH_MS, INSTANT_MAX_MS - 1)
    let piece: OffsetPiece
    for (let startMs = fromMs; startMs <= untilMs; startMs = piece.endMs) {
      piece = this.#zone.pieceAt(startMs)
      const wallMs = nextWallTime(this.#fields, this.#firstWallTime(piece, startMs))
      if (wallMs === undefined) return undefined
      if (wallMs - piece.offsetMs < piece.endMs) return wallMs - piece.offsetMs
    }
    return undefined
  }

  upcoming(afterMs: number, count: number, untilMs = INSTANT_MAX_MS): readonly UpcomingFire[] {
    const fires: UpcomingFire[] = []
    let fromMs = Math.max(0, afterMs)
    while (fires.length < count) {
      const nextMs = this.next(fromMs)
      const gapsMs = Math.min(nextMs ?? fromMs + SEARCH_MS, untilMs)
      if (!this.#everyHour) fires.push(...this.#skipped(fromMs, gapsMs, count - fires.length))
      if (nextMs === undefined || nextMs > untilMs || fires.length >= count) break
      fires.push(this.#described(nextMs))
      fromMs = nextMs
    }
    return fires
  }

  /** Where the search in a piece begins: after what was already shown by the clocks before they went back. */
  #firstWallTime(piece: OffsetPiece, startMs: number): number {
    const wallMs = startMs + piece.offsetMs
    return this.#everyHour ? wallMs : Math.max(wallMs, piece.startMs + piece.previousOffsetMs)
  }

  #described(atMs: number): UpcomingFire {
    const piece = this.#zone.pieceAt(atMs)
    const wallMs = atMs + piece.offsetMs
    const following = this.#zone.pieceAt(piece.endMs)
    const fire = { atMs, local: wallText(wallMs), fires: true }
    if (wallMs >= piece.endMs + following.offsetMs) return { ...fire, note: 'repeated hour: first occurrence' }
    if (wallMs < piece.startMs + piece.previousOffsetMs) return { ...fire, note: 'repeated hour: second occurrence' }
    return fire
  }

  /** Wall-clock times between two instants that no clock shows. */
  #skipped(afterMs: number, untilMs: number, count: number): UpcomingFire[] {
    const skipped: UpcomingFire[] = []
    const endMs = Math.min(untilMs, INSTANT_MAX_MS - 1)
    for (let piece = this.#zone.pieceAt(afterMs); piece.endMs <= endMs && skipped.length < count;) {
      piece = this.#zone.pieceAt(piece.endMs)
      const gapEndMs = piece.startMs + piece.offsetMs
      let wallMs = nextWallTime(this.#fields, piece.startMs + piece.previousOffsetMs)
      while (wallMs !== undefined && wallMs < gapEndMs && skipped.length < count) {
        skipped.push({
          atMs: piece.startMs,
          local: wallText(wallMs),
          fires: false,
          note: 'skipped: does not exist (clocks go forward)',
        })
        wallMs = nextWallTime(this.#fields, wallMs + 1000)
      }
    }
    return skipped
  }
}
