import { describe, expect, test } from 'vitest'

import type { Call } from '../kubernetes/cron-rig.ts'
import { sharedTurns, violations } from '../kubernetes/cron-verdict.ts'

/** `planned:epoch`, by a hub for each epoch; `+` made again; in the order of arrival, a second apart. */
const calls = (...texts: readonly string[]): Call[] =>
  texts.map((text, order) => {
    const [, planned, epoch, again] = /^(\d+):(\d+)(\+?)$/.exec(text) ?? []
    return { function: 'f', planned: Number(planned), epoch: Number(epoch), hub: `pod-${epoch}`, order, atMs: order * 1000, caughtUp: again === '+', body: '' } // prettier-ignore
  })

describe('the verdict on replicas that take turns', () => {
  test('finds nothing wrong with every second made once', () => {
    expect(violations(calls('1:0', '2:0', '3:1'), 'none', 3)).toEqual([])
    expect(violations(calls('1:0', '2:0', '3:1'), 'all', 3)).toEqual([])
  })

  test('finds every fire that is made twice where that is promised not to be', () => {
    expect(violations(calls('1:0', '2:0', '2:1+', '3:1'), 'none', 3)).toEqual(['2 was made 2 times: by pod-0 in 0, by pod-1 in 1']) // prettier-ignore
  })

  test('allows what was begun at the end of a turn to be made again in the next one, and nothing else', () => {
    expect(violations(calls('1:0', '2:0', '2:1+', '3:1'), 'all', 3)).toEqual([])
    expect(violations(calls('1:0', '2:0', '2:0+', '3:1'), 'all', 3)).toHaveLength(1)
    expect(violations(calls('1:0', '2:0', '2:1', '3:1'), 'all', 3)).toHaveLength(1)
    const early = calls('1:0', '2:0', '3:0', '4:0', '5:0', '6:0', '1:1+', '7:1')
    expect(violations(early, 'all', 7)).toEqual(['1 was made 2 times: by pod-0 in 0, by pod-1 in 1'])
  })

  test('allows a fire to be lost between two turns, never within one, and never with catch-up', () => {
    expect(violations(calls('1:0', '3:1'), 'none', 3)).toEqual([])
    expect(violations(calls('1:0', '3:0'), 'none', 3)).toEqual(['2 was not made, within the turn 0'])
    expect(violations(calls('1:0', '2:0'), 'none', 3)).toEqual(['3 was not made, nor anything after it'])
    expect(violations(calls('1:0', '3:1'), 'all', 3)).toEqual(['2 was not made'])
    expect(violations([], 'all', 3)).toEqual(['nothing was made'])
  })

  test('finds turns that two had', () => {
    expect(sharedTurns(calls('1:0', '2:1'))).toEqual([])
    expect(sharedTurns([...calls('1:0'), { ...(calls('2:0')[0] as Call), hub: 'pod-9' }])).toEqual(['turn 0: pod-0 and pod-9']) // prettier-ignore
  })
})
