// What labels ask for and how many replicas that makes (OpenFaaS contract, scaling labels, alerts).

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { scaleSettings } from '../../src/gateway/scale-settings.ts'
import { replicasForLoad, scaleForAlert } from '../../src/gateway/scaling-rules.ts'

const MINUTE_MS = 60_000
const DEFAULTS = { min: 1, max: 20, factor: 10, load: undefined, zeroAfterMs: undefined }

function labelled(labels: Readonly<Record<string, string>>): ReturnType<typeof scaleSettings> {
  return scaleSettings(
    Object.fromEntries(Object.entries(labels).map(([name, value]) => [`com.openfaas.scale.${name}`, value])),
  )
}

describe('labels', () => {
  test('none: one replica, nothing scales', () => {
    expect(scaleSettings({ team: 'shop' })).toEqual({ settings: DEFAULTS, problems: [] })
  })

  test('all of them', () => {
    const { settings, problems } = labelled({
      min: '2',
      max: '8',
      factor: '50',
      type: 'capacity',
      target: '2.5',
      'target-proportion': '0.7',
      'down.window': '1m30s',
      zero: 'true',
      'zero-duration': '5m',
    })
    expect(problems).toEqual([])
    expect(settings).toEqual({
      min: 2,
      max: 8,
      factor: 50,
      load: { type: 'capacity', target: 2.5, proportion: 0.7, downWindowMs: 90_000 },
      zeroAfterMs: 5 * MINUTE_MS,
    })
  })

  test.each([
    [{ type: 'capacity' }, { type: 'capacity', target: 50, proportion: 0.9, downWindowMs: 30_000 }],
    [{ target: '10' }, { type: 'rps', target: 10, proportion: 0.9, downWindowMs: 30_000 }],
    [
      { target: '10', 'down.window': '0s' },
      { type: 'rps', target: 10, proportion: 0.9, downWindowMs: 0 },
    ],
  ])('%o: the rest are the defaults', (labels, load) => {
    expect(labelled(labels)).toEqual({ settings: { ...DEFAULTS, load }, problems: [] })
  })

  test('scaling to zero is off unless asked for, and takes 15 minutes', () => {
    expect(labelled({ 'zero-duration': '1m' }).settings.zeroAfterMs).toBeUndefined()
    expect(labelled({ zero: 'false' }).settings.zeroAfterMs).toBeUndefined()
    expect(labelled({ zero: 'true' }).settings.zeroAfterMs).toBe(15 * MINUTE_MS)
  })

  test('min equal to max: the load changes nothing', () => {
    expect(labelled({ min: '3', max: '3', type: 'rps' })).toEqual({
      settings: { ...DEFAULTS, min: 3, max: 3 },
      problems: [],
    })
  })

  test('a min of 0 is none at deployment', () => {
    expect(labelled({ min: '0' })).toEqual({ settings: { ...DEFAULTS, min: 0 }, problems: [] })
  })

  test.each([
    ['min', '-1', 'is not a whole number from 0 to 100; 1 is used'],
    ['min', '1e1', 'is not a whole number from 0 to 100; 1 is used'],
    ['min', '101', 'is not a whole number from 0 to 100; 1 is used'],
    ['max', '0', 'is not a whole number from 1 to 100; 20 is used'],
    ['max', '2.5', 'is not a whole number from 1 to 100; 20 is used'],
    ['max', '9'.repeat(400), 'is not a whole number from 1 to 100; 20 is used'],
    ['max', '', 'is not a whole number from 1 to 100; 20 is used'],
    ['factor', '0', 'is not a whole number from 1 to 100; 10 is used'],
    ['factor', '101', 'is not a whole number from 1 to 100; 10 is used'],
    ['target', '0', 'is not a number above 0; 50 is used'],
    ['target', 'Infinity', 'is not a number above 0; 50 is used'],
    ['target-proportion', '1.5', 'is not a number above 0, at most 1; 0.90 is used'],
    ['down.window', '90', 'is not a duration such as 30s; 30s is used'],
    ['zero', 'yes', 'is not true or false; false is used'],
    ['zero-duration', '0', 'is not a duration above 0 such as 15m; 15m is used'],
    ['zero-duration', '15 minutes', 'is not a duration above 0 such as 15m; 15m is used'],
  ])('%s %j falls back and says so', (name, value, sentence) => {
    const { settings, problems } = labelled({ [name]: value })
    expect(settings).toMatchObject({ min: 1, max: 20, factor: 10 })
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(`com.openfaas.scale.${name} "`)
    expect(problems[0]).toContain(sentence)
    expect((problems[0] as string).length).toBeLessThan(250)
  })

  test.each(['cpu', 'queue', 'custom', 'RPS'])('type %s is not measured: a line, and no scaling by load', (type) => {
    const { settings, problems } = labelled({ type, target: '100' })
    expect(settings).toEqual(DEFAULTS)
    expect(problems).toEqual([
      `com.openfaas.scale.type "${type}" is not measured here, only rps and capacity; it is not scaled`,
    ])
  })

  test('a longer window than 5m is 5m; a min above max is both', () => {
    const { settings, problems } = labelled({ type: 'rps', 'down.window': '10m' })
    expect(settings.load?.downWindowMs).toBe(5 * MINUTE_MS)
    expect(problems).toEqual(['com.openfaas.scale.down.window is longer than 5m; 5m is used'])
    expect(labelled({ min: '5', max: '2', type: 'rps' })).toEqual({
      settings: { ...DEFAULTS, min: 5, max: 5 },
      problems: ['com.openfaas.scale.min 5 is above max 2: there are 5 replicas, always'],
    })
  })

  test('an unknown one is named, with what may be meant', () => {
    expect(labelled({ minimum: '3', zeroduration: '1m', whatever: 'x', profile: 'y' })).toEqual({
      settings: DEFAULTS,
      problems: [
        '"com.openfaas.scale.minimum" is not a scaling label',
        '"com.openfaas.scale.zeroduration" is not a scaling label; did you mean com.openfaas.scale.zero-duration?',
        '"com.openfaas.scale.whatever" is not a scaling label',
        '"com.openfaas.scale.profile" is not a scaling label',
      ],
    })
  })

  test('whatever is written, the settings can be used', () => {
    const names = [
      'min',
      'max',
      'factor',
      'type',
      'target',
      'target-proportion',
      'zero',
      'zero-duration',
      'down.window',
    ]
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), fc.string()), (labels) => {
        const { min, max, factor, load, zeroAfterMs } = labelled(labels).settings
        expect(min >= 0 && max >= min && max <= 100 && factor >= 1 && factor <= 100).toBe(true)
        expect((load?.target ?? 1) > 0 && (zeroAfterMs ?? 1) > 0).toBe(true)
      }),
    )
  })
})

describe('by load', () => {
  const LIMITS = { min: 1, max: 20 }
  // ceil(ready × (load / ready) / (target × proportion))
  test.each([
    [1, 1, 46, 50, 0.9, 2],
    [1, 1, 45, 50, 0.9, 1],
    [3, 3, 12.6, 7, 0.9, 2],
    [3, 3, 10, 10, 1, 1],
    [2, 2, 0, 50, 0.9, 1],
    [4, 2, 900, 50, 0.9, 20],
    // Nothing is ready: what a replica can take is not known.
    [4, 0, 900, 50, 0.9, 4],
  ])('current %i, ready %i, load %f of %f × %f: %i', (current, ready, load, target, proportion, expected) => {
    expect(replicasForLoad({ current, ready, load }, { target, proportion }, LIMITS)).toBe(expected)
  })

  test('within min and max; little to do is not nothing to do', () => {
    const load = { target: 10, proportion: 1 }
    expect(replicasForLoad({ current: 5, ready: 5, load: 1 }, load, { min: 3, max: 20 })).toBe(3)
    expect(replicasForLoad({ current: 5, ready: 5, load: 1000 }, load, { min: 3, max: 7 })).toBe(7)
    expect(replicasForLoad({ current: 1, ready: 1, load: 0 }, load, { min: 0, max: 7 })).toBe(1)
  })
})

describe('by alert', () => {
  test.each([
    ['firing', 1, { min: 1, max: 20, factor: 10 }, 3],
    ['firing', 1, { min: 1, max: 20, factor: 20 }, 5],
    ['firing', 19, { min: 1, max: 20, factor: 20 }, 20],
    ['firing', 20, { min: 1, max: 20, factor: 20 }, 20],
    ['firing', 1, { min: 1, max: 5, factor: 10 }, 2],
    ['firing', 0, { min: 1, max: 7, factor: 100 }, 7],
    ['firing', 3, { min: 3, max: 3, factor: 50 }, 3],
    ['resolved', 20, { min: 2, max: 20, factor: 20 }, 2],
    ['resolved', 2, { min: 2, max: 20, factor: 20 }, 2],
  ] as const)('%s at %i of %o: %i', (status, current, settings, expected) => {
    expect(scaleForAlert(current, settings, status)).toBe(expected)
  })
})
