// `cron next` as a process: coming fires, and what becomes of them while a hub is away.

import { describe, expect, test } from 'vitest'

import { cronNext } from '../../src/cli/commands/cron-next.ts'
import { cli } from './cli.ts'

const EXIT = { ok: 0, problems: 1, usage: 2 } as const
/** The day before the clocks of Europe go forward. */
const SPRING = ['--zone', 'Europe/Berlin', '--from', '2026-03-28T12:00:00Z']

interface Simulated {
  readonly away: { readonly from: string; readonly until: string }
  readonly settings: Readonly<Record<string, unknown>>
  readonly totals: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly fires: readonly {
    readonly at: string
    readonly fires: boolean
    readonly catchUp?: Readonly<Record<string, readonly { readonly outcome: string; readonly at?: string; readonly because?: string }[]>>
  }[]
} // prettier-ignore

async function simulated(...args: readonly string[]): Promise<Simulated> {
  const { code, stdout, stderr } = await cli(['cron', 'next', ...args, '--json'])
  expect([code, stderr]).toEqual([EXIT.ok, ''])
  return JSON.parse(stdout) as Simulated
}

describe('--simulate-down', () => {
  test('shows for each policy what becomes of the fires around and in the absence', async () => {
    const { code, stdout, stderr } = await cli(['cron', 'next', '30 1-4 * * *', '--simulate-down', '01:10-05:40', '--count', '1', ...SPRING]) // prettier-ignore
    expect([code, stderr]).toEqual([EXIT.ok, ''])
    expect(stdout).toBe(
      [
        'Away for 3h30m, from 2026-03-29 01:10:00 to 2026-03-29 05:40:00 in Europe/Berlin (2026-03-29T00:10:00Z/2026-03-29T03:40:00Z). Each fire is done at once (--takes), so that none overlaps.',
        '',
        'LOCAL (Europe/Berlin)  CATCH-UP none  CATCH-UP last        CATCH-UP all         NOTE',
        '2026-03-28 04:30:00    on time        on time              on time',
        '2026-03-29 01:30:00    dropped        dropped              made up at 05:40:00',
        '2026-03-29 02:30:00    -              -                    -                    skipped: does not exist (clocks go forward)',
        '2026-03-29 03:30:00    dropped        dropped              made up at 05:40:00',
        '2026-03-29 04:30:00    dropped        made up at 05:40:00  made up at 05:40:00',
        '2026-03-30 01:30:00    on time        on time              on time',
        '',
        'none: 5 fires: 2 on time, 3 missed and dropped',
        'last: 5 fires: 2 on time, 1 made up for, 2 missed and dropped',
        'all: 5 fires: 2 on time, 3 made up for',
        '',
      ].join('\n'),
    )
  })

  test('of many fires that fare alike shows some and counts the others', async () => {
    const { stdout } = await cli(['cron', 'next', '* * * * *', '--simulate-down', '02:10-05:40', '--catch-up', 'last', '--count', '2', '--from', '2026-01-01T00:00:00Z']) // prettier-ignore
    // 02:10 to 05:40, both of them within: 211 fires, of which the last is made up for.
    expect(stdout).toContain('… 206 more like these\n')
    expect(stdout).toContain('last: 215 fires: 4 on time, 1 made up for, 210 missed and dropped\n')
    expect(stdout.split('\n').length).toBeLessThan(20)
  })

  test('where clocks go back, an absence over the repeated hour misses both passes of it', async () => {
    const { away, totals } = await simulated('CRON_TZ=Europe/Berlin */30 * * * *', '--simulate-down', '01:50-03:10', '--from', '2026-10-24T12:00:00Z', '--catch-up', 'all', '--count', '1') // prettier-ignore
    expect(away).toEqual({ from: '2026-10-24T23:50:00Z', until: '2026-10-25T02:10:00Z' })
    // 02:00 and 02:30, twice, and 03:00.
    expect(totals['all']).toMatchObject({ 'on-time': 2, 'made-up': 5, dropped: 0 })
  })

  test('bounds of catch-up say why a fire is dropped', async () => {
    const { fires, settings } = await simulated('@hourly', '--simulate-down', '2026-01-01T00:30:00Z/2026-01-01T08:30:00Z', '--catch-up', 'all', '--catch-up-window', '5h', '--catch-up-max', '3', '--count', '1') // prettier-ignore
    expect(settings).toEqual({ overlap: 'allow', jitterMs: 0, takesMs: 0, catchUpWindowMs: 18_000_000, catchUpMax: 3 })
    const said = fires.map(({ at, catchUp }) => `${at.slice(11, 13)} ${catchUp?.['all']?.map(({ outcome, because }) => because ?? outcome).join()}`) // prettier-ignore
    expect(said).toEqual([
      '00 on-time',
      '01 age',
      '02 age',
      '03 age',
      '04 number',
      '05 number',
      '06 made-up',
      '07 made-up',
      '08 made-up',
      '09 on-time',
    ])
  })

  test('with a function that takes its time, overlap decides what meets what', async () => {
    const outcomes = async (overlap: string): Promise<readonly string[]> => {
      const { fires } = await simulated('@hourly', '--simulate-down', '2026-01-01T00:30:00Z/2026-01-01T02:30:00Z', '--catch-up', 'all', '--takes', '45m', '--overlap', overlap, '--count', '3') // prettier-ignore
      return fires.map(({ catchUp = {} }) => (catchUp['all'] ?? []).map(({ outcome, at }) => `${outcome} ${at?.slice(11, 16)}`).join()) // prettier-ignore
    }
    const before = ['on-time 22:00', 'on-time 23:00']
    // The fire of 00:00 is cut off and made up for with those of 01:00 and 02:00.
    expect(await outcomes('allow')).toEqual([...before, 'on-time 00:00,cut-off 00:30,made-up 02:30', 'made-up 02:30', 'made-up 02:30', 'on-time 03:00', 'on-time 04:00', 'on-time 05:00']) // prettier-ignore
    expect(await outcomes('forbid')).toEqual([...before, 'on-time 00:00,cut-off 00:30,made-up 02:30', 'made-up 03:15', 'made-up 04:00', 'overlap 03:00', 'overlap 04:00', 'on-time 05:00']) // prettier-ignore
    expect(await outcomes('replace')).toEqual([...before, 'on-time 00:00,cut-off 00:30,made-up 02:30,replaced 03:00', 'replaced 03:00', 'replaced 03:00', 'on-time 03:00', 'on-time 04:00', 'on-time 05:00']) // prettier-ignore
  })

  test('jitter is that of the function', async () => {
    const { fires, settings } = await simulated('@daily', '--simulate-down', '23:00-01:00', '--jitter', '10m', '--function', 'report.openfaas-fn', '--count', '1', '--catch-up', 'last', '--from', '2026-01-01T12:00:00Z') // prettier-ignore
    const { jitterMs } = settings as { jitterMs: number }
    expect(jitterMs > 0 && jitterMs < 600_000).toBe(true)
    expect(fires.map(({ at, catchUp }) => [at, catchUp?.['last']])).toEqual([
      ['2026-01-01T00:00:00Z', [{ outcome: 'on-time', at: new Date(Date.UTC(2026, 0, 1) + jitterMs).toISOString() }]],
      // What is made up for is made at once.
      ['2026-01-02T00:00:00Z', [{ outcome: 'made-up', at: '2026-01-02T01:00:00Z' }]],
      ['2026-01-03T00:00:00Z', [{ outcome: 'on-time', at: new Date(Date.UTC(2026, 0, 3) + jitterMs).toISOString() }]],
    ])
  })

  test('of a schedule that never fires lists nothing', async () => {
    expect((await simulated('0 0 30 2 *', '--simulate-down', '02:10-05:40')).fires).toEqual([])
  })
})

describe.concurrent('what is wrong is said with the fix', () => {
  test.for([
    [['--simulate-down', 'tonight'], 'Write for example --simulate-down 02:10-05:40'],
    [['--simulate-down', '02:10-05:40', '--catch-up', 'some'], 'Write one of none, last, all.'],
    [['--simulate-down', '02:10-05:40', '--overlap', 'no'], 'Write one of allow, forbid, replace.'],
    [['--simulate-down', '02:10-05:40', '--takes', '5'], '--takes 5 is not a duration'],
    [['--simulate-down', '02:10-05:40', '--jitter', '5m'], '--jitter needs --function'],
    [['--simulate-down', '02:10-05:40', '--catch-up-max', '0'], '--catch-up-max 0 is not a whole number from 1'],
    [['--simulate-down', '2026-01-01T00:00:00Z/2027-01-01T00:00:00Z'], 'Simulate a shorter absence.'],
    [['--catch-up', 'last'], '--catch-up is of --simulate-down'],
    [['--catch-up-max', '5'], '--catch-up-max is of --simulate-down'],
  ] as const)('%j', async ([args, text]) => {
    const { code, stdout, stderr } = await cli(['cron', 'next', '* * * * *', ...args])
    expect([code, stdout]).toEqual([EXIT.usage, ''])
    expect(stderr).toContain(text)
  })
})

test('on a terminal with colours, cells are as wide as they look', () => {
  let written = ''
  const output = { write: (text: string) => void (written += text), warn: () => {}, color: true, warnColor: false, isInteractive: true } // prettier-ignore
  cronNext('30 1 * * *', { count: '2', zone: 'Europe/London' }, output, Date.parse('2026-03-28T12:00:00Z'))
  const [, skipped = '', fire = ''] = written.split('\n')
  expect(skipped).toMatch(/^skipped +2026-03-29 01:30:00 {2}/)
  expect(skipped.indexOf('2026-03-29 01:30')).toBe(fire.indexOf('2026-03-30 01:30'))
})
