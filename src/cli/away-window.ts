// When a hub is away, as a person types it: `02:10-05:40` by the clock of a zone, or two ISO dates. Pure; for `cron next`.

import { HubError } from '../sdk/index.ts'
import { instantsOf, timeZone, wallText } from '../sdk/time-zone.ts'
import type { TimeZone } from '../sdk/time-zone.ts'
import type { Absence } from './away.ts'

const DAY_MS = 86_400_000
const TIMES = /^(\d\d):(\d\d)(?::(\d\d))?-(\d\d):(\d\d)(?::(\d\d))?$/
const LOCAL = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$/
const HINT = 'Write for example --simulate-down 02:10-05:40, or 2026-03-29T00:30:00Z/2026-03-29T05:00:00Z.'

/**
 * Times of day are the first such ones that begin at `fromMs` or later; an end that is not after the beginning is on the next
 * day. The beginning of a time that comes twice is the first, the end the second; one that does not exist is when the clocks
 * go forward over it. ISO dates without an offset are of the zone.
 * @throws HubError HUB_USAGE
 */
export function absenceOf(text: string, zoneName: string, fromMs: number): Absence {
  const zone = timeZone(zoneName) as TimeZone
  const times = TIMES.exec(text)
  const absence = times === null ? between(text, zone) : daily(text, times.slice(1), zone, fromMs)
  if (absence.untilMs <= absence.fromMs)
    throw usage(`--simulate-down ${text} is over before it begins: from ${iso(absence.fromMs)} to ${iso(absence.untilMs)} in ${zone.name}`) // prettier-ignore
  return absence
}

function between(text: string, zone: TimeZone): Absence {
  const [from, until, ...more] = text.split('/')
  if (from === undefined || until === undefined || more.length > 0) throw usage(`--simulate-down ${text} is not a window of time`) // prettier-ignore
  return { fromMs: instant(from, zone).first, untilMs: instant(until, zone).last }
}

function daily(text: string, parts: readonly (string | undefined)[], zone: TimeZone, fromMs: number): Absence {
  const [hours, minutes, seconds = '00', endHours, endMinutes, endSeconds = '00'] = parts as [string, string, string?, string?, string?, string?] // prettier-ignore
  const begin = timeOfDay(text, hours, minutes, seconds)
  const end = timeOfDay(text, String(endHours), String(endMinutes), endSeconds)
  const wallMs = fromMs + zone.pieceAt(fromMs).offsetMs
  // A beginning that has passed is followed by another within two days, whatever the clocks do.
  for (let dayMs = Math.floor(wallMs / DAY_MS) * DAY_MS; ; dayMs += DAY_MS) {
    const { first } = atWall(zone, dayMs + begin)
    if (first < fromMs) continue
    return { fromMs: first, untilMs: atWall(zone, dayMs + end + (end > begin ? 0 : DAY_MS)).last }
  }
}

function timeOfDay(text: string, hours: string, minutes: string, seconds: string): number {
  if (Number(hours) > 23 || Number(minutes) > 59 || Number(seconds) > 59) throw usage(`--simulate-down ${text} has a time that no clock shows`) // prettier-ignore
  return ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000
}

function instant(text: string, zone: TimeZone): { readonly first: number; readonly last: number } {
  const isLocal = LOCAL.test(text)
  const atMs = Date.parse(isLocal ? `${text}Z` : text)
  if (Number.isNaN(atMs) || !/^\d{4}-/.test(text)) throw usage(`${text} is not an ISO date`)
  return isLocal ? atWall(zone, atMs) : { first: atMs, last: atMs }
}

function atWall(zone: TimeZone, wallMs: number): { readonly first: number; readonly last: number } {
  const { shown, skippedAtMs } = instantsOf(zone, wallMs)
  const first = shown[0] ?? skippedAtMs
  if (first === undefined) throw usage(`${wallText(wallMs)} is out of range`)
  return { first, last: shown.at(-1) ?? first }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}

function usage(message: string): HubError {
  return new HubError('HUB_USAGE', message, { hint: HINT })
}
