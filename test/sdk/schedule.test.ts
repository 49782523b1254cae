import { CronExpressionParser } from 'cron-parser'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { HubError, parseSchedule, scheduleProblem, splitSchedules, zoneProblem } from '../../src/sdk/index.ts'

/** The next fires after an ISO time, as ISO times. */
function fires(expression: string, after: string, count: number): string[] {
  const schedule = parseSchedule(expression)
  const found: string[] = []
  let atMs: number | undefined = Date.parse(after)
  while (found.length < count && (atMs = schedule.next(atMs)) !== undefined) found.push(iso(atMs))
  return found
}

const iso = (ms: number): string => new Date(ms).toISOString().replace(':00.000Z', 'Z')

describe('grammar (robfig/cron v3, as OpenFaaS uses it)', () => {
  test.each([
    ['*/15 * * * *', ['2026-01-01T00:15Z', '2026-01-01T00:30Z', '2026-01-01T00:45Z', '2026-01-01T01:00Z']],
    ['5/20 * * * *', ['2026-01-01T00:05Z', '2026-01-01T00:25Z', '2026-01-01T00:45Z', '2026-01-01T01:05Z']],
    ['10-14/2 3 * * ?', ['2026-01-01T03:10Z', '2026-01-01T03:12Z', '2026-01-01T03:14Z', '2026-01-02T03:10Z']],
    ['0 9 * * MON-fri', ['2026-01-01T09:00Z', '2026-01-02T09:00Z', '2026-01-05T09:00Z']],
    ['0 0 1 jan,JUL *', ['2026-07-01T00:00Z', '2027-01-01T00:00Z']],
    ['0 0 31 * *', ['2026-01-31T00:00Z', '2026-03-31T00:00Z', '2026-05-31T00:00Z', '2026-07-31T00:00Z']],
    ['@yearly', ['2027-01-01T00:00Z']],
    ['@annually', ['2027-01-01T00:00Z']],
    ['@monthly', ['2026-02-01T00:00Z', '2026-03-01T00:00Z']],
    // 4 January 2026 is a Sunday.
    ['@weekly', ['2026-01-04T00:00Z', '2026-01-11T00:00Z']],
    ['@daily', ['2026-01-02T00:00Z']],
    ['@midnight', ['2026-01-02T00:00Z']],
    ['@hourly', ['2026-01-01T01:00Z', '2026-01-01T02:00Z']],
    ['@every 1h30m', ['2026-01-01T01:30Z', '2026-01-01T03:00Z']],
    ['30 0 12 * * *', ['2026-01-01T12:00:30.000Z']],
    ['CRON_TZ=Asia/Tokyo 0 9 * * *', ['2026-01-02T00:00Z']],
    ['TZ=Asia/Tokyo @daily', ['2026-01-01T15:00Z']],
  ])('%s', (expression, expected) => {
    expect(fires(expression, '2026-01-01T00:00:00Z', expected.length)).toEqual(expected)
  })

  test('when day of month and day of week are both restricted, a day that either names fires', () => {
    // 13 February and 13 March 2026 are Fridays; the 13th of January is a Tuesday.
    expect(fires('0 0 13 * FRI', '2026-01-01T00:00:00Z', 4)).toEqual([
      '2026-01-02T00:00Z', '2026-01-09T00:00Z', '2026-01-13T00:00Z', '2026-01-16T00:00Z',
    ]) // prettier-ignore
  })

  test('a star with a step restricts, a star with step 1 does not', () => {
    expect(fires('0 0 */31 * FRI', '2026-01-02T00:00:00Z', 2)).toEqual(['2026-01-09T00:00Z', '2026-01-16T00:00Z'])
    expect(fires('0 0 */1 * FRI', '2026-01-01T00:00:00Z', 2)).toEqual(['2026-01-02T00:00Z', '2026-01-09T00:00Z'])
    expect(fires('0 0 2-31/2 * *', '2026-02-26T00:00:00Z', 2)).toEqual(['2026-02-28T00:00Z', '2026-03-02T00:00Z'])
  })

  test.each([
    ['', 'empty'],
    ['   ', 'empty'],
    ['* * * *', 'has 4 fields; write five'],
    ['* * * * * * *', 'has 7 fields; write five'],
    ['hello', 'has 1 field;'],
    ['60 * * * *', 'minute field "60" must be from 0 to 59'],
    ['* 24 * * *', 'hour field "24" must be from 0 to 23'],
    ['* * 0 * *', 'day of month field "0" must be from 1 to 31'],
    ['* * * 13 *', 'month field "13" must be from 1 to 12'],
    ['* * * * 7', 'write 0 or SUN'],
    ['* * * * 8', 'must be from 0 to 6'],
    ['60 * * * * *', 'second field "60"'],
    ['5-1 * * * *', 'write 5-59,0-1'],
    ['*/0 * * * *', 'a whole number from 1 behind "/"'],
    ['*/ * * * *', 'a whole number from 1 behind "/"'],
    ['*/1.5 * * * *', 'a whole number from 1 behind "/"'],
    ['1/2/3 * * * *', 'two steps'],
    ['1-2-3 * * * *', 'two hyphens'],
    ['1,,2 * * * *', 'empty item'],
    ['-5 * * * *', 'cannot be ""'],
    ['+5 * * * *', 'cannot be "+5"'],
    ['*-5 * * * *', 'cannot be "*"'],
    ['jan * * * *', 'cannot be "jan"'],
    ['0 0 L * *', 'L, W or #'],
    ['0 0 15W * *', 'L, W or #'],
    ['0 0 * * 5#2', 'L, W or #'],
    ['0 0 * * MONDAY', 'write MON'],
    ['0 0 * * foo', 'one of SUN, MON'],
    ['@reboot', 'write @yearly'],
    ['@dayly', 'did you mean @daily?'],
    ['@Hourly', 'did you mean @hourly?'],
    ['@every', 'needs a duration'],
    ['@every 5', 'write @every 5s'],
    ['@every -5s', 'needs a duration'],
    ['@every 500ms', 'the shortest is @every 1s'],
    ['@every 1.5s', 'whole number of seconds'],
    ['@every 9999999h', 'too long'],
    ['TZ=UTC', 'names a time zone and no times'],
    ['CRON_TZ=Europe/Londn * * * * *', 'did you mean Europe/London?'],
    ['CRON_TZ=Local * * * * *', 'is not a time zone'],
    ['CRON_TZ=+02:00 * * * * *', 'is not a time zone'],
    ['TZ= * * * * *', 'is not a time zone'],
    [`${'1,'.repeat(600)}1 * * * *`, 'at most 1024 characters'],
  ])('refuses %j and says how to write it', (expression, sentence) => {
    expect(scheduleProblem(expression)).toContain(sentence)
    expect(() => parseSchedule(expression)).toThrow(
      expect.objectContaining({ code: 'HUB_SCHEDULE_INVALID', canRetry: false }) as HubError,
    )
  })

  test('a valid expression has no problem', () => {
    expect(scheduleProblem('  0   9 * * 1-5 ')).toBeUndefined()
    expect(zoneProblem('America/Argentina/Buenos_Aires')).toBeUndefined()
  })

  test('an annotation holds several expressions', () => {
    expect(splitSchedules(' 0 9 * * *; @hourly ;;0  9 * * *;')).toEqual(['0 9 * * *', '@hourly'])
    expect(splitSchedules(' ; ')).toEqual([])
  })

  test('the default zone is UTC, whatever the zone of the machine, and can be set', () => {
    expect(parseSchedule('0 9 * * *').zone).toBe('UTC')
    const tokyo = parseSchedule('0 9 * * *', { defaultZone: 'Asia/Tokyo' })
    expect(tokyo.zone).toBe('Asia/Tokyo')
    expect(iso(tokyo.next(Date.UTC(2026, 0, 1)) as number)).toBe('2026-01-02T00:00Z')
    expect(parseSchedule('TZ=UTC 0 9 * * *', { defaultZone: 'Asia/Tokyo' }).zone).toBe('UTC')
  })
})

describe('dates', () => {
  test('29 February waits for leap years, also over 2100, which is none', () => {
    expect(fires('0 0 29 2 *', '2026-01-01T00:00:00Z', 2)).toEqual(['2028-02-29T00:00Z', '2032-02-29T00:00Z'])
    expect(fires('0 0 29 2 *', '2096-02-29T00:00:00Z', 1)).toEqual(['2104-02-29T00:00Z'])
  })

  test('a date that never comes has no next fire', () => {
    expect(parseSchedule('0 0 30 2 *').next(0)).toBeUndefined()
    expect(parseSchedule('CRON_TZ=Europe/London 0 0 31 4,6,9,11 *').next(0)).toBeUndefined()
    expect(parseSchedule('0 0 30 2 *').upcoming(0, 5)).toEqual([])
  })

  test('next is strictly after, to the millisecond', () => {
    const schedule = parseSchedule('0 9 * * *')
    const nine = Date.UTC(2026, 0, 1, 9)
    expect(schedule.next(nine - 1)).toBe(nine)
    expect(schedule.next(nine)).toBe(nine + 86_400_000)
    expect(schedule.next(nine + 0.5)).toBe(nine + 86_400_000)
  })

  test('@every fires at multiples since 1970, so that restarts and replicas agree', () => {
    const schedule = parseSchedule('@every 7m')
    for (const afterMs of [0, 1, 419_999, 1_769_000_123_456]) {
      const atMs = schedule.next(afterMs) as number
      expect(atMs % 420_000).toBe(0)
      expect(atMs - afterMs).toBeGreaterThan(0)
      expect(atMs - afterMs).toBeLessThanOrEqual(420_000)
    }
  })

  test('times before 1970 and after 9999 are answered, not looped over', () => {
    expect(parseSchedule('* * * * *').next(-1e15)).toBe(0)
    expect(parseSchedule('@every 1m').next(-1e15)).toBe(0)
    expect(parseSchedule('TZ=Europe/London * * * * *').next(8.64e15)).toBeUndefined()
    expect(parseSchedule('@every 1m').next(8.64e15)).toBeUndefined()
  })
})

describe('clock changes', () => {
  test('London: a time in the spring gap is skipped and not moved', () => {
    expect(fires('CRON_TZ=Europe/London 30 1 * * *', '2026-03-28T00:00:00Z', 2)).toEqual([
      '2026-03-28T01:30Z', '2026-03-30T00:30Z',
    ]) // prettier-ignore
  })

  test('London: a repeated time in autumn fires the first time only', () => {
    expect(fires('CRON_TZ=Europe/London 30 1 * * *', '2026-10-24T12:00:00Z', 2)).toEqual([
      '2026-10-25T00:30Z', '2026-10-26T01:30Z',
    ]) // prettier-ignore
    expect(fires('CRON_TZ=Europe/London */20 1 * * *', '2026-10-24T12:00:00Z', 4)).toEqual([
      '2026-10-25T00:00Z', '2026-10-25T00:20Z', '2026-10-25T00:40Z', '2026-10-26T01:00Z',
    ]) // prettier-ignore
  })

  test('an expression that names no hours keeps its cadence through both changes', () => {
    expect(fires('CRON_TZ=Europe/London */30 * * * *', '2026-10-25T00:00:00Z', 4)).toEqual([
      '2026-10-25T00:30Z', '2026-10-25T01:00Z', '2026-10-25T01:30Z', '2026-10-25T02:00Z',
    ]) // prettier-ignore
    expect(fires('CRON_TZ=Europe/London */30 * * * *', '2026-03-29T00:15:00Z', 3)).toEqual([
      '2026-03-29T00:30Z', '2026-03-29T01:00Z', '2026-03-29T01:30Z',
    ]) // prettier-ignore
  })

  test('New York: 8 March and 1 November 2026', () => {
    expect(fires('CRON_TZ=America/New_York 30 2 * * *', '2026-03-07T12:00:00Z', 1)).toEqual(['2026-03-09T06:30Z'])
    expect(fires('CRON_TZ=America/New_York 30 1 * * *', '2026-10-31T12:00:00Z', 2)).toEqual([
      '2026-11-01T05:30Z', '2026-11-02T06:30Z',
    ]) // prettier-ignore
  })

  test('Lord Howe: clocks change by half an hour', () => {
    // 4 October 2026: 02:00 becomes 02:30. 5 April 2026: 02:00 becomes 01:30.
    expect(fires('CRON_TZ=Australia/Lord_Howe 15 2 * * *', '2026-10-03T00:00:00Z', 1)).toEqual(['2026-10-04T15:15Z'])
    expect(fires('CRON_TZ=Australia/Lord_Howe 30 2 * * *', '2026-10-03T00:00:00Z', 1)).toEqual(['2026-10-03T15:30Z'])
    expect(fires('CRON_TZ=Australia/Lord_Howe 45 1 * * *', '2026-04-04T00:00:00Z', 2)).toEqual([
      '2026-04-04T14:45Z', '2026-04-05T15:15Z',
    ]) // prettier-ignore
  })

  test('Beirut: clocks go forward at midnight, so a daily job is skipped that day and comes the next', () => {
    expect(fires('CRON_TZ=Asia/Beirut 0 0 * * *', '2025-03-28T22:00:00Z', 2)).toEqual([
      '2025-03-30T21:00Z', '2025-03-31T21:00Z',
    ]) // prettier-ignore
    expect(fires('CRON_TZ=Asia/Beirut 0 1 * * *', '2025-03-28T23:00:00Z', 1)).toEqual(['2025-03-29T22:00Z'])
  })

  test('upcoming ends with what is asked for, the last instant included', () => {
    const half = parseSchedule('CRON_TZ=Europe/London 30 1 * * *')
    const from = Date.UTC(2026, 2, 28, 12)
    const locals = (untilMs: number): readonly string[] => half.upcoming(from, 9, untilMs).map(({ local }) => local)
    // The clocks go forward at 01:00 UTC over the fire of that day; the next one is at 00:30 UTC.
    expect(locals(Date.UTC(2026, 2, 29, 0, 59))).toEqual([])
    expect(locals(Date.UTC(2026, 2, 29, 1))).toEqual(['2026-03-29 01:30:00'])
    expect(locals(Date.UTC(2026, 2, 30, 0, 29))).toEqual(['2026-03-29 01:30:00'])
    expect(locals(Date.UTC(2026, 2, 30, 0, 30))).toEqual(['2026-03-29 01:30:00', '2026-03-30 01:30:00'])
    expect(
      parseSchedule('@every 1h')
        .upcoming(0, 9, 7_200_000)
        .map(({ atMs }) => atMs),
    ).toEqual([3_600_000, 7_200_000])
  })

  test('upcoming marks what clock changes do', () => {
    expect(parseSchedule('CRON_TZ=Europe/London 30 1 * * *').upcoming(Date.UTC(2026, 2, 28, 12), 2)).toEqual([
      {
        atMs: Date.UTC(2026, 2, 29, 1),
        local: '2026-03-29 01:30:00',
        fires: false,
        note: 'skipped: does not exist (clocks go forward)',
      },
      { atMs: Date.UTC(2026, 2, 30, 0, 30), local: '2026-03-30 01:30:00', fires: true },
    ])
    expect(parseSchedule('CRON_TZ=Europe/London 30 * * * *').upcoming(Date.UTC(2026, 9, 25), 3)).toEqual([
      { atMs: Date.UTC(2026, 9, 25, 0, 30), local: '2026-10-25 01:30:00', fires: true, note: 'repeated hour: first occurrence' },
      { atMs: Date.UTC(2026, 9, 25, 1, 30), local: '2026-10-25 01:30:00', fires: true, note: 'repeated hour: second occurrence' },
      { atMs: Date.UTC(2026, 9, 25, 2, 30), local: '2026-10-25 02:30:00', fires: true },
    ]) // prettier-ignore
    expect(parseSchedule('TZ=Asia/Kolkata @every 1h').upcoming(0, 1)).toEqual([
      { atMs: 3_600_000, local: '1970-01-01 06:30:00', fires: true },
    ])
  })
})

interface GeneratedField {
  readonly text: string
  readonly values: ReadonlySet<number>
  readonly restricts: boolean
}

/** A field together with the values it means, made the other way round than a parser: the values come first. */
function generatedField(min: number, max: number): fc.Arbitrary<GeneratedField> {
  const all = Array.from({ length: max - min + 1 }, (_, index) => min + index)
  const star = fc.constantFrom('*', '?').map((text) => ({ text, values: new Set(all), restricts: false }))
  const list = fc.uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: 4 }).map((values) => ({
    text: values.join(','),
    values: new Set(values),
    restricts: true,
  }))
  const range = fc.tuple(fc.integer({ min, max }), fc.integer({ min, max }), fc.integer({ min: 1, max: 7 })).map(([a, b, step]) => {
    const [low, high] = [Math.min(a, b), Math.max(a, b)]
    const values = new Set(all.filter((value) => value >= low && value <= high && (value - low) % step === 0))
    return { text: step === 1 ? `${low}-${high}` : `${low}-${high}/${step}`, values, restricts: true }
  }) // prettier-ignore
  const step = fc.integer({ min: 2, max: 20 }).map((every) => ({
    text: `*/${every}`,
    values: new Set(all.filter((value) => (value - min) % every === 0)),
    restricts: true,
  }))
  return fc.oneof({ weight: 3, arbitrary: star }, list, range, step)
}

const generatedExpression = fc.tuple(
  generatedField(0, 59), generatedField(0, 23), generatedField(1, 31), generatedField(1, 12), generatedField(0, 6),
) // prettier-ignore

interface Minute {
  readonly atMs: number
  readonly parts: readonly [minute: number, hour: number, day: number, month: number, weekday: number]
  /** The clock has shown this time before. */
  readonly repeated: boolean
}

/** Every minute of some days as a clock in the zone shows it. */
function minutesOf(zone: string, from: string, days: number): Minute[] {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone, weekday: 'short', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', hourCycle: 'h23',
  }) // prettier-ignore
  const shown = new Set<string>()
  return Array.from({ length: days * 1440 }, (_, index) => {
    const atMs = Date.parse(from) + index * 60_000
    const parts = Object.fromEntries(format.formatToParts(atMs).map(({ type, value }) => [type, value]))
    const text = `${parts['day']} ${parts['hour']} ${parts['minute']}`
    const repeated = shown.has(text)
    shown.add(text)
    const weekday = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'].indexOf(parts['weekday'] as string)
    const [minute, hour, day, month] = ['minute', 'hour', 'day', 'month'].map((name) => Number(parts[name])) as [number, number, number, number] // prettier-ignore
    return { atMs, parts: [minute, hour, day, month, weekday], repeated }
  })
}

describe('any expression fires exactly where a minute-by-minute look at the clock says', () => {
  test.each([
    ['UTC', '2028-02-27T00:00:00Z'],
    ['Europe/London', '2026-03-28T00:00:00Z'],
    ['Europe/London', '2026-10-24T00:00:00Z'],
    ['America/New_York', '2026-03-07T05:00:00Z'],
    ['America/New_York', '2026-10-31T04:00:00Z'],
    ['Australia/Lord_Howe', '2026-04-03T13:00:00Z'],
    ['Australia/Lord_Howe', '2026-10-02T13:30:00Z'],
    ['Asia/Beirut', '2025-03-28T22:00:00Z'],
    ['America/Havana', '2025-10-31T04:00:00Z'],
  ])('%s from %s', (zone, from) => {
    const minutes = minutesOf(zone, from, 4)
    const endMs = Date.parse(from) + 4 * 86_400_000
    fc.assert(
      fc.property(generatedExpression, (fields) => {
        const [minute, hour, day, month, weekday] = fields
        const expected = minutes.filter(({ parts, repeated }) => {
          const dayFits = day.restricts && weekday.restricts
            ? day.values.has(parts[2]) || weekday.values.has(parts[4])
            : day.values.has(parts[2]) && weekday.values.has(parts[4]) // prettier-ignore
          const fits = minute.values.has(parts[0]) && hour.values.has(parts[1]) && month.values.has(parts[3]) && dayFits
          return fits && (!repeated || hour.values.size === 24)
        })
        const schedule = parseSchedule(`CRON_TZ=${zone} ${fields.map(({ text }) => text).join(' ')}`)
        const found: number[] = []
        let atMs = schedule.next(Date.parse(from) - 1)
        for (; atMs !== undefined && atMs < endMs; atMs = schedule.next(atMs)) found.push(atMs)
        expect(found).toEqual(expected.map((one) => one.atMs))
      }),
      { numRuns: 60 },
    )
  })
})

test('over years in UTC, any expression fires where cron-parser says', () => {
  fc.assert(
    fc.property(generatedExpression, fc.integer({ min: 1e12, max: 3e12 }), (fields, afterMs) => {
      // It refuses a date that no month has (30 2) and reads ? next to a restricted field its own way.
      const expression = fields.map(({ text }) => text.replace('?', '*')).join(' ')
      const [, , day, month] = fields
      fc.pre([...month.values].some((one) => Math.min(...day.values) <= new Date(Date.UTC(2028, one, 0)).getUTCDate()))
      const reference = CronExpressionParser.parse(expression, { tz: 'UTC', currentDate: new Date(afterMs) })
      expect(parseSchedule(expression).next(afterMs)).toBe(reference.next().getTime())
    }),
    { numRuns: 300 },
  )
})
