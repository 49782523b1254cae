// The cron grammar of robfig/cron v3, which OpenFaaS uses, made strict: what it would quietly ignore is refused with the
// fix. Finds matching wall-clock times and knows nothing of time zones. Called by schedule.ts.

const DAY_MS = 86_400_000
/** 29 February is at most eight years away (1896 to 1904, 2096 to 2104); what does not match within this never will. */
const SEARCH_YEARS = 9

interface Bounds {
  readonly name: string
  readonly min: number
  readonly max: number
  /** Names of the values from `min` upwards. */
  readonly names?: readonly string[]
}

const SECOND: Bounds = { name: 'second', min: 0, max: 59 }
const MINUTE: Bounds = { name: 'minute', min: 0, max: 59 }
const HOUR: Bounds = { name: 'hour', min: 0, max: 23 }
const DAY: Bounds = { name: 'day of month', min: 1, max: 31 }
const MONTH: Bounds = { name: 'month', min: 1, max: 12, names: 'JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC'.split(' ') } // prettier-ignore
const WEEKDAY: Bounds = { name: 'day of week', min: 0, max: 6, names: 'SUN MON TUE WED THU FRI SAT'.split(' ') }

interface FieldValues {
  /** Ascending. */
  readonly values: readonly number[]
  /** Written with `*` or `?` and no step: does not restrict. */
  readonly star: boolean
}

/** A parsed five- or six-field expression. */
export interface CronFields {
  readonly seconds: readonly number[]
  readonly minutes: readonly number[]
  readonly hours: readonly number[]
  readonly days: ReadonlySet<number>
  readonly months: ReadonlySet<number>
  readonly weekdays: ReadonlySet<number>
  /** Both day fields restrict: a day that either of them names will do. */
  readonly eitherDay: boolean
}

/** @throws SyntaxError with a sentence that says what is wrong and what to write. */
export function parseCronFields(text: string): CronFields {
  const fields = text.split(/\s+/)
  if (fields.length !== 5 && fields.length !== 6)
    throw new SyntaxError(
      `"${text}" has ${fields.length} ${fields.length === 1 ? 'field' : 'fields'}; ` +
        'write five: minute hour day-of-month month day-of-week (or six, with seconds first)',
    )
  const [second, minute, hour, day, month, weekday] = (fields.length === 5 ? ['0', ...fields] : fields) as [string, string, string, string, string, string] // prettier-ignore
  const parsed = {
    seconds: parseField(second, SECOND),
    minutes: parseField(minute, MINUTE),
    hours: parseField(hour, HOUR),
    days: parseField(day, DAY),
    months: parseField(month, MONTH),
    weekdays: parseField(weekday, WEEKDAY),
  }
  return {
    seconds: parsed.seconds.values,
    minutes: parsed.minutes.values,
    hours: parsed.hours.values,
    days: new Set(parsed.days.values),
    months: new Set(parsed.months.values),
    weekdays: new Set(parsed.weekdays.values),
    eitherDay: !parsed.days.star && !parsed.weekdays.star,
  }
}

function parseField(text: string, bounds: Bounds): FieldValues {
  const values = new Set<number>()
  let star = false
  for (const item of text.split(',')) {
    const [range, stepText, ...rest] = item.split('/') as [string, ...string[]]
    if (item === '' || rest.length > 0) throw refused(text, bounds, item === '' ? 'has an empty item' : 'has two steps')
    const step = stepText === undefined ? 1 : parseStep(text, stepText, bounds)
    const whole = range === '*' || range === '?'
    const [low, high] = whole ? [bounds.min, bounds.max] : parseRange(text, range, bounds, stepText !== undefined)
    for (let value = low; value <= high; value += step) values.add(value)
    if (whole && step === 1) star = true
  }
  return { values: [...values].sort((a, b) => a - b), star }
}

function parseStep(text: string, stepText: string, bounds: Bounds): number {
  if (!/^\d+$/.test(stepText) || Number(stepText) === 0)
    throw refused(text, bounds, `needs a whole number from 1 behind "/", not "${stepText}"`)
  return Number(stepText)
}

function parseRange(text: string, range: string, bounds: Bounds, hasStep: boolean): readonly [number, number] {
  const ends = range.split('-')
  if (ends.length > 2) throw refused(text, bounds, 'has two hyphens in one range')
  const low = parseValue(text, ends[0] as string, bounds)
  if (ends.length === 1) return [low, hasStep ? bounds.max : low]
  const high = parseValue(text, ends[1] as string, bounds)
  if (low > high)
    throw refused(text, bounds, `has a range that runs backwards; write ${low}-${bounds.max},${bounds.min}-${high}`)
  return [low, high]
}

function parseValue(text: string, value: string, bounds: Bounds): number {
  const named = bounds.names?.indexOf(value.toUpperCase()) ?? -1
  if (named >= 0) return bounds.min + named
  if (/^\d+$/.test(value)) {
    const number = Number(value)
    if (bounds === WEEKDAY && number === 7) throw refused(text, bounds, 'counts Sunday as 7; write 0 or SUN')
    if (number < bounds.min || number > bounds.max)
      throw refused(text, bounds, `must be from ${bounds.min} to ${bounds.max}, not ${value}`)
    return number
  }
  if (/^(\d*[LW]|LW|.*#.*)$/i.test(value))
    throw refused(
      text,
      bounds,
      'uses L, W or #, which OpenFaaS schedules do not have; test for the day in the function',
    )
  throw refused(text, bounds, `cannot be "${value}"; ${instead(value, bounds)}`)
}

function instead(value: string, { names, min, max }: Bounds): string {
  const short = names?.find((name) => value.toUpperCase().startsWith(name))
  if (short !== undefined) return `write ${short}`
  return `write a number from ${min} to ${max}${names === undefined ? '' : ` or one of ${names.join(', ')}`}`
}

function refused(text: string, bounds: Bounds, what: string): SyntaxError {
  return new SyntaxError(`the ${bounds.name} field "${text}" ${what}`)
}

/**
 * The first matching wall-clock time at or after `fromMs`, both as milliseconds of a clock that never changes (as if
 * UTC). Undefined when the fields never match, such as 30 February.
 */
export function nextWallTime(fields: CronFields, fromMs: number): number | undefined {
  let dayMs = Math.floor(fromMs / DAY_MS) * DAY_MS
  let second = Math.ceil((fromMs - dayMs) / 1000)
  const last = new Date(fromMs)
  last.setUTCFullYear(last.getUTCFullYear() + SEARCH_YEARS)
  const lastMs = last.getTime()
  // Beyond the last Date the bound is NaN, and nothing more fires.
  while (dayMs <= lastMs) {
    const date = new Date(dayMs)
    if (fields.months.has(date.getUTCMonth() + 1)) {
      const found = dayMatches(fields, date) ? nextSecondOfDay(fields, second) : undefined
      if (found !== undefined) return dayMs + found * 1000
      dayMs += DAY_MS
    } else {
      dayMs = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1)
    }
    second = 0
  }
  return undefined
}

function dayMatches(fields: CronFields, date: Date): boolean {
  const day = fields.days.has(date.getUTCDate())
  const weekday = fields.weekdays.has(date.getUTCDay())
  return fields.eitherDay ? day || weekday : day && weekday
}

function nextSecondOfDay({ hours, minutes, seconds }: CronFields, from: number): number | undefined {
  for (const hour of hours) {
    if (hour * 3600 + 3599 < from) continue
    for (const minute of minutes) {
      const start = hour * 3600 + minute * 60
      if (start + 59 < from) continue
      for (const second of seconds) if (start + second >= from) return start + second
    }
  }
  return undefined
}
