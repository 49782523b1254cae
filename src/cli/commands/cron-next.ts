// `cron next`: the coming fires of an expression, with what the change of clocks does to them.

import { HubError, parseSchedule } from '../../sdk/index.ts'
import { dateOf } from '../numbers.ts'
import { EXIT, table } from '../output.ts'
import type { Output } from '../output.ts'
import { cronAway } from './cron-away.ts'
import type { AwayOptions } from './cron-away.ts'

export interface CronNextOptions extends AwayOptions {
  readonly count: string
  readonly from?: string
  readonly zone?: string
}

/** Say nothing without --simulate-down. */
const OF_AWAY = ['catchUp', 'overlap', 'jitter', 'function', 'takes', 'catchUpWindow', 'catchUpMax'] as const

const COUNT_MAX = 1000

/** @throws HubError HUB_SCHEDULE_INVALID, HUB_USAGE */
export function cronNext(expression: string, options: CronNextOptions, output: Output, nowMs: number): number {
  const count = Number(options.count)
  if (!Number.isInteger(count) || count < 1 || count > COUNT_MAX)
    throw new HubError('HUB_USAGE', `--count ${options.count} is not a whole number from 1 to ${COUNT_MAX}`, {
      hint: 'Write for example --count 5.',
    })
  const fromMs = options.from === undefined ? nowMs : dateOf('--from', options.from)
  const schedule = parseSchedule(expression, options.zone === undefined ? {} : { defaultZone: options.zone })
  if (options.simulateDown !== undefined) return cronAway(schedule, options, count, fromMs, output)
  const idle = OF_AWAY.find((one) => options[one] !== undefined)
  if (idle !== undefined)
    throw new HubError('HUB_USAGE', `--${idle.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} is of --simulate-down`, { hint: 'Say when the hub is away, for example --simulate-down 02:10-05:40.' }) // prettier-ignore
  const fires = schedule.upcoming(fromMs, count)
  if (options.json === true) {
    output.write(
      `${JSON.stringify({ expression, zone: schedule.zone, fires: fires.map(({ atMs, ...fire }) => ({ at: new Date(atMs).toISOString(), ...fire })) }, null, 2)}\n`,
    )
    return EXIT.ok
  }
  if (fires.length === 0) {
    output.warn(`${expression} never fires.\n`)
    return EXIT.problems
  }
  const rows = fires.map(({ atMs, local, fires: does, note }) => [
    does ? new Date(atMs).toISOString() : 'skipped',
    local,
    note ?? '',
  ])
  output.write(table(['UTC', `LOCAL (${schedule.zone})`, 'NOTE'], rows, output.color))
  return EXIT.ok
}
