// `cron next --simulate-down`: what the missed-run policies do to the fires of a schedule while its hub is away.

import { CATCH_UP_DEFAULTS, HubError, formatDuration, jitterOf, missedFires } from '../../sdk/index.ts'
import type { CatchUpPolicy, OverlapPolicy, Schedule, UpcomingFire } from '../../sdk/index.ts'
import { timeZone, wallClock } from '../../sdk/time-zone.ts'
import type { TimeZone } from '../../sdk/time-zone.ts'
import { absenceOf } from '../away-window.ts'
import { simulateAbsence } from '../away.ts'
import type { Absence, AwaySettings, Fate, Fates } from '../away.ts'
import { durationOf, wholeNumber } from '../numbers.ts'
import { EXIT, counted, table } from '../output.ts'
import type { Output } from '../output.ts'

export interface AwayOptions {
  readonly simulateDown?: string
  readonly catchUp?: string
  readonly overlap?: string
  readonly jitter?: string
  readonly function?: string
  readonly takes?: string
  readonly catchUpWindow?: string
  readonly catchUpMax?: string
  readonly json?: boolean
}

interface Row extends UpcomingFire {
  /** One list for each policy. */
  readonly fates: readonly (readonly Fate[])[]
}

const POLICIES: readonly CatchUpPolicy[] = ['none', 'last', 'all']
const OVERLAPS: readonly OverlapPolicy[] = ['allow', 'forbid', 'replace']
/** What a schedule is listed in; a minute's schedule over a week is below it. */
const ROWS_MAX = 20_000
/** A schedule that did not fire for so long before the absence has no row before it. */
const BEFORE_MS = 3 * 366 * 86_400_000
/** Rows that say the same, beyond which the ones in the middle are counted. */
const ALIKE_MAX = 6
const ALIKE_SHOWN = 2

/** @param count of fires before and after. @throws HubError HUB_USAGE */
export function cronAway(
  schedule: Schedule,
  options: AwayOptions,
  count: number,
  fromMs: number,
  output: Output,
): number {
  const zone = timeZone(schedule.zone) as TimeZone
  const absence = absenceOf(String(options.simulateDown), schedule.zone, fromMs)
  const settings = settingsOf(schedule, options)
  const policies = options.catchUp === undefined ? POLICIES : [oneOf('--catch-up', options.catchUp, POLICIES)]
  const { startMs, endMs } = around(schedule, absence, count)
  const fires = schedule.upcoming(startMs, ROWS_MAX + 1, endMs)
  if (fires.length > ROWS_MAX)
    throw usage(`${schedule.expression} fires more than ${ROWS_MAX} times then`, 'Simulate a shorter absence.')
  const simulated = policies.map((catchUp): Fates => simulateAbsence(schedule, absence, { ...settings, catchUp }, startMs, endMs)) // prettier-ignore
  const rows = fires.map((fire): Row => ({ ...fire, fates: simulated.map((fates) => (fire.fires ? (fates.get(fire.atMs) ?? []) : [])) })) // prettier-ignore
  if (options.json === true)
    output.write(`${JSON.stringify(document(schedule, absence, settings, policies, rows), null, 2)}\n`) // prettier-ignore
  else output.write(text(zone, absence, settings, policies, rows, output.color))
  return EXIT.ok
}

function settingsOf(schedule: Schedule, options: AwayOptions): Omit<AwaySettings, 'catchUp'> {
  const overlap = options.overlap === undefined ? 'allow' : oneOf('--overlap', options.overlap, OVERLAPS)
  const jitterMs = durationOf('--jitter', options.jitter ?? '0', { example: '90s' })
  if (jitterMs > 0 && options.function === undefined)
    throw usage('--jitter needs --function: how much of the jitter a schedule is delayed by goes by the name of the function and the expression', 'Add for example --function report.openfaas-fn.') // prettier-ignore
  return {
    overlap,
    // As annotations are read.
    jitterMs: jitterOf({ function: options.function ?? '', expression: schedule.expression.replaceAll(/\s+/g, ' '), jitterMs }), // prettier-ignore
    takesMs: durationOf('--takes', options.takes ?? '0', { example: '90s' }),
    catchUpWindow: durationOf('--catch-up-window', options.catchUpWindow ?? CATCH_UP_DEFAULTS.catchUpWindow, {
      example: '90s',
    }),
    catchUpMax: wholeNumber('--catch-up-max', options.catchUpMax ?? String(CATCH_UP_DEFAULTS.catchUpMax)),
  }
}

/** From `count` fires before the absence to `count` after it. */
function around(
  schedule: Schedule,
  { fromMs, untilMs }: Absence,
  count: number,
): { readonly startMs: number; readonly endMs: number } {
  const sinceMs = Math.max(0, fromMs - BEFORE_MS)
  const before = missedFires(schedule, sinceMs, fromMs - 1, { policy: 'all', fireMax: count, oldestMs: sinceMs })
  let endMs = untilMs
  for (let left = count; left > 0; left -= 1) endMs = schedule.next(endMs) ?? endMs
  return { startMs: (before.fires[0] ?? fromMs) - 1, endMs }
}

function text(
  zone: TimeZone,
  { fromMs, untilMs }: Absence,
  settings: Omit<AwaySettings, 'catchUp'>,
  policies: readonly CatchUpPolicy[],
  rows: readonly Row[],
  color: boolean,
): string {
  const takes = settings.takesMs === 0 ? ' Each fire is done at once (--takes), so that none overlaps.' : ` Each fire takes ${formatDuration(settings.takesMs)}, overlap is ${settings.overlap}.` // prettier-ignore
  const jitter = settings.jitterMs === 0 ? '' : ` Its jitter delays each fire by ${formatDuration(settings.jitterMs)}.`
  const head = `Away for ${formatDuration(untilMs - fromMs)}, from ${wallClock(zone, fromMs)} to ${wallClock(zone, untilMs)} in ${zone.name} (${iso(fromMs)}/${iso(untilMs)}).${takes}${jitter}\n` // prettier-ignore
  const cells = folded(rows, policies).map((row) => (typeof row === 'string' ? [row] : cellsOf(row, zone)))
  const columns = policies.map((policy) => `CATCH-UP ${policy}`)
  const sums = policies.map((policy, column) => `${policy}: ${totals(rows, column)}\n`).join('')
  return `${head}\n${table([`LOCAL (${zone.name})`, ...columns, 'NOTE'], cells, color)}\n${sums}`
}

/** Rows that say the same as those around them are counted. */
function folded(rows: readonly Row[], policies: readonly CatchUpPolicy[]): readonly (Row | string)[] {
  const shown: (Row | string)[] = []
  const kinds = (row: Row): string => policies.map((_, column) => row.fates[column]?.map(({ kind }) => kind).join(' ') ?? '').join() + String(row.note) // prettier-ignore
  for (let at = 0; at < rows.length;) {
    let end = at
    while (end < rows.length && kinds(rows[end] as Row) === kinds(rows[at] as Row)) end += 1
    const alike = rows.slice(at, end)
    if (alike.length <= ALIKE_MAX) shown.push(...alike)
    else shown.push(...alike.slice(0, ALIKE_SHOWN), `… ${alike.length - 2 * ALIKE_SHOWN} more like these`, ...alike.slice(-ALIKE_SHOWN)) // prettier-ignore
    at = end
  }
  return shown
}

function cellsOf({ atMs, local, fates, note, fires }: Row, zone: TimeZone): readonly string[] {
  const day = local.slice(0, 10)
  const clock = (ms: number): string => {
    const at = wallClock(zone, ms)
    return at.startsWith(day) ? at.slice(11) : at
  }
  const said = (fate: Fate): string => {
    switch (fate.kind) {
      case 'on-time':
        return fate.atMs === atMs ? 'on time' : `on time at ${clock(fate.atMs)}`
      case 'made-up':
        return `made up at ${clock(fate.atMs)}`
      case 'dropped':
        return { policy: 'dropped', age: 'dropped: too old', number: 'dropped: too many' }[fate.because]
      case 'overlap':
        return 'skipped: overlap'
      case 'replaced':
        return `replaced at ${clock(fate.atMs)}`
      case 'cut-off':
        return `cut off at ${clock(fate.atMs)}`
    }
  }
  return [local, ...fates.map((list) => (fires ? list.map(said).join(', ') : '-')), note ?? '']
}

/** What became of the fires in the end; a fire that was begun twice counts once. */
function countsOf(rows: readonly Row[], column: number): Readonly<Record<Fate['kind'], number>> {
  const counts = { 'on-time': 0, 'made-up': 0, dropped: 0, overlap: 0, replaced: 0, 'cut-off': 0 }
  for (const { fates } of rows) {
    const last = fates[column]?.at(-1)
    if (last !== undefined) counts[last.kind] += 1
  }
  return counts
}

const COUNTED: Readonly<Record<Fate['kind'], string>> = {
  'on-time': 'on time',
  'made-up': 'made up for',
  dropped: 'missed and dropped',
  overlap: 'skipped because of overlap',
  replaced: 'replaced',
  'cut-off': 'cut off',
}

function totals(rows: readonly Row[], column: number): string {
  const counts = Object.entries(countsOf(rows, column)).filter(([, count]) => count > 0)
  const fires = rows.filter((row) => row.fires).length
  return `${counted(fires, 'fire')}: ${counts.map(([kind, count]) => `${count} ${COUNTED[kind as Fate['kind']]}`).join(', ') || 'none'}` // prettier-ignore
}

function document(
  { expression, zone }: Schedule,
  { fromMs, untilMs }: Absence,
  { catchUpWindow, ...settings }: Omit<AwaySettings, 'catchUp'>,
  policies: readonly CatchUpPolicy[],
  rows: readonly Row[],
): unknown {
  const fate = (one: Fate): unknown => ('atMs' in one ? { outcome: one.kind, at: iso(one.atMs) } : { outcome: one.kind, because: one.because }) // prettier-ignore
  const byPolicy = (of: (column: number) => unknown): unknown => Object.fromEntries(policies.map((policy, column) => [policy, of(column)])) // prettier-ignore
  return {
    expression,
    zone,
    away: { from: iso(fromMs), until: iso(untilMs) },
    settings: { ...settings, catchUpWindowMs: catchUpWindow },
    totals: byPolicy((column) => countsOf(rows, column)),
    fires: rows.map(({ atMs, local, fires, note, fates }) => ({ at: iso(atMs), local, fires, note, catchUp: fires ? byPolicy((column) => (fates[column] ?? []).map(fate)) : undefined })), // prettier-ignore
  }
}

function oneOf<T extends string>(name: string, value: string, known: readonly T[]): T {
  const found = known.find((one) => one === value)
  if (found === undefined) throw usage(`${name} ${value} is none`, `Write one of ${known.join(', ')}.`)
  return found
}

function usage(message: string, hint: string): HubError {
  return new HubError('HUB_USAGE', message, { hint })
}

function iso(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z')
}
