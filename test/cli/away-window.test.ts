import { describe, expect, test } from 'vitest'

import { absenceOf } from '../../src/cli/away-window.ts'
import { HubError } from '../../src/sdk/index.ts'

const window = (text: string, zone: string, from: string): string => {
  const { fromMs, untilMs } = absenceOf(text, zone, Date.parse(from))
  return [fromMs, untilMs].map((ms) => new Date(ms).toISOString().replace('.000Z', 'Z')).join(' ')
}

describe('times of day', () => {
  test.for([
    ['UTC', '2026-01-01T00:00:00Z', '02:10-05:40', '2026-01-01T02:10:00Z 2026-01-01T05:40:00Z'],
    ['UTC', '2026-01-01T02:10:00Z', '02:10-05:40', '2026-01-01T02:10:00Z 2026-01-01T05:40:00Z'],
    ['UTC', '2026-01-01T02:10:01Z', '02:10-05:40', '2026-01-02T02:10:00Z 2026-01-02T05:40:00Z'],
    ['UTC', '2026-01-01T00:00:00Z', '02:10:30-02:10:31', '2026-01-01T02:10:30Z 2026-01-01T02:10:31Z'],
    // Over midnight, and a whole day.
    ['UTC', '2026-01-01T00:00:00Z', '22:00-06:00', '2026-01-01T22:00:00Z 2026-01-02T06:00:00Z'],
    ['UTC', '2026-01-01T00:00:00Z', '06:00-06:00', '2026-01-01T06:00:00Z 2026-01-02T06:00:00Z'],
    // By the clock of the zone, also where its day is another one than that of UTC.
    ['America/New_York', '2026-01-01T00:00:00Z', '02:10-05:40', '2026-01-01T07:10:00Z 2026-01-01T10:40:00Z'],
    ['Pacific/Kiritimati', '2026-01-01T13:00:00Z', '02:10-05:40', '2026-01-02T12:10:00Z 2026-01-02T15:40:00Z'],
    // 2026-03-29, Berlin: 02:00 to 03:00 does not exist. 2026-10-25: it comes twice.
    ['Europe/Berlin', '2026-03-28T12:00:00Z', '01:30-05:40', '2026-03-29T00:30:00Z 2026-03-29T03:40:00Z'],
    ['Europe/Berlin', '2026-03-28T12:00:00Z', '02:10-05:40', '2026-03-29T01:00:00Z 2026-03-29T03:40:00Z'],
    ['Europe/Berlin', '2026-03-28T12:00:00Z', '01:10-02:40', '2026-03-29T00:10:00Z 2026-03-29T01:00:00Z'],
    ['Europe/Berlin', '2026-10-24T12:00:00Z', '02:10-05:40', '2026-10-25T00:10:00Z 2026-10-25T04:40:00Z'],
    ['Europe/Berlin', '2026-10-24T12:00:00Z', '02:10-02:40', '2026-10-25T00:10:00Z 2026-10-25T01:40:00Z'],
    ['Europe/Berlin', '2026-10-24T21:00:00Z', '23:30-02:10', '2026-10-24T21:30:00Z 2026-10-25T01:10:00Z'],
  ] as const)('%s from %s: %s', ([zone, from, text, expected]) => {
    expect(window(text, zone, from)).toBe(expected)
  })
})

describe('dates', () => {
  test.for([
    ['2026-03-29T00:30:00Z/2026-03-29T05:00:00Z', '2026-03-29T00:30:00Z 2026-03-29T05:00:00Z'],
    ['2026-03-29T00:30:00+02:00/2026-04-02T05:00Z', '2026-03-28T22:30:00Z 2026-04-02T05:00:00Z'],
    // Without an offset they are of the zone.
    ['2026-10-25T02:30/2026-10-25T02:30:00', '2026-10-25T00:30:00Z 2026-10-25T01:30:00Z'],
  ] as const)('%s', ([text, expected]) => {
    expect(window(text, 'Europe/Berlin', '2020-01-01T00:00:00Z')).toBe(expected)
  })
})

test.for([
  ['02:10', 'is not a window of time'],
  ['2:10-5:40', 'is not a window of time'],
  ['02:10-25:40', 'has a time that no clock shows'],
  ['tomorrow/2026-03-29T05:00:00Z', 'tomorrow is not an ISO date'],
  ['2026-03-29T05:00:00Z/2026-03-29T00:30:00Z', 'is over before it begins'],
  ['02:10-02:40', 'is over before it begins: from 2026-03-29T01:00:00.000Z to 2026-03-29T01:00:00.000Z'],
] as const)('%s is refused with an example', ([text, message]) => {
  const refused = (): unknown => absenceOf(text, 'Europe/Berlin', Date.parse('2026-03-28T12:00:00Z'))
  expect(refused).toThrow(HubError)
  expect(refused).toThrow(message)
})
