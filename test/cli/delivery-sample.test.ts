import { describe, expect, test } from 'vitest'

import type { DeliveryLine } from '../../src/cli/delivery-lines.ts'
import { DeliverySample, LINES_A_SECOND, leftOutText } from '../../src/cli/delivery-sample.ts'
import type { DeliveryEnd } from '../../src/delivery/ledger.ts'
import { ManualClock } from '../../src/sdk/index.ts'

interface Shown {
  readonly second: number
  readonly text: string
}

class Rig {
  readonly clock = new ManualClock()
  readonly shown: Shown[] = []
  readonly sample = new DeliverySample((text) => void this.shown.push({ second: Math.floor(this.clock.monotonic() / 1000), text }), this.clock) // prettier-ignore
  #next = 0

  add(end: DeliveryEnd, count = 1): void {
    const lines = Array.from({ length: count }, (): DeliveryLine => ({ end, text: `${end} ${this.#next++}` }))
    this.sample.add(lines)
  }

  /** How many lines of deliveries were shown, of all or of one kind. */
  count(kind = ''): number {
    return this.shown.filter(({ text }) => !text.startsWith('…') && text.startsWith(kind)).length
  }

  /** What the lines with dots say was left out. */
  get leftOut(): number {
    return this.shown.reduce((sum, { text }) => sum + Number(/^… (\d+) more: /.exec(text)?.[1] ?? 0), 0)
  }

  /** The most lines that were shown between two turns of the second, dots and all. */
  get mostInASecond(): number {
    const bySecond = Map.groupBy(this.shown, ({ second }) => second)
    return Math.max(...[...bySecond.values()].map((lines) => lines.length))
  }
}

describe('what a person can follow', () => {
  test('is shown at once', async () => {
    const rig = new Rig()
    for (let second = 0; second < 5; second++) {
      rig.add('acked', LINES_A_SECOND / 2)
      expect(rig.count()).toBe((second + 1) * (LINES_A_SECOND / 2))
      await rig.clock.advance(1000)
    }
    expect(rig.leftOut).toBe(0)
    await rig.clock.advance(5000)
    // Nothing is waited for once it is quiet.
    expect(rig.clock.pending).toBe(0)
  })

  test('of 1,000 a second is some lines and the count of the rest, to the last one', async () => {
    const rig = new Rig()
    for (let tick = 0; tick < 1000; tick++) {
      rig.add('acked', 10)
      await rig.clock.advance(10)
    }
    rig.sample[Symbol.dispose]()
    expect(rig.count() + rig.leftOut).toBe(10_000)
    expect(rig.mostInASecond).toBeLessThanOrEqual(LINES_A_SECOND + 1)
    expect(rig.count()).toBeGreaterThanOrEqual(10 * LINES_A_SECOND)
  })

  test('of a burst of 10,000 is a line for the rest, without another event', async () => {
    const rig = new Rig()
    rig.add('acked', 9000)
    rig.add('filtered', 900)
    rig.add('unmatched', 100)
    expect(rig.shown).toHaveLength(LINES_A_SECOND)
    await rig.clock.advance(1000)
    expect(rig.shown.at(-1)?.text).toBe('… 9980 more: 8980 acked, 900 filtered out, 100 unmatched')
  })
})

describe('failures', () => {
  test('are all shown among any number of successes, as long as a person can follow them', async () => {
    const rig = new Rig()
    for (let tick = 0; tick < 1000; tick++) {
      rig.add('acked', 10)
      // 10 a second.
      if (tick % 10 === 9) rig.add(tick % 20 === 9 ? 'deadLettered' : 'returned')
      await rig.clock.advance(10)
    }
    rig.sample[Symbol.dispose]()
    expect([rig.count('deadLettered'), rig.count('returned')]).toEqual([50, 50])
    expect(rig.mostInASecond).toBeLessThanOrEqual(LINES_A_SECOND + 1)
    expect(rig.count() + rig.leftOut).toBe(10_100)
  })

  test('that are too many as well take the place of the successes and are counted', async () => {
    const rig = new Rig()
    for (let tick = 0; tick < 500; tick++) {
      rig.add('acked', 5)
      rig.add('deadLettered', 5)
      await rig.clock.advance(10)
    }
    rig.sample[Symbol.dispose]()
    // But for the first second, in which nobody knows yet what will come.
    expect(rig.count('acked')).toBeLessThanOrEqual(LINES_A_SECOND)
    expect(rig.count('deadLettered')).toBeGreaterThanOrEqual(4 * LINES_A_SECOND)
    expect(rig.count() + rig.leftOut).toBe(5000)
  })

  test('come first in the count', () => {
    expect(leftOutText({ acked: 970, returned: 2, deadLettered: 3 })).toBe('3 dead letters, 2 returned, 970 acked')
  })
})
