// What a function's labels say about its number of replicas (OpenFaaS contract, scaling labels). Plain data; decides nothing.

import { nearest, parseDuration } from '../sdk/index.ts'

/** How many replicas a load calls for. */
export interface LoadTarget {
  /** `rps`: calls finished in a second. `capacity`: calls in flight. */
  readonly type: 'rps' | 'capacity'
  /** Of one replica. */
  readonly target: number
  /** The part of `target` that is used before another replica is started. */
  readonly proportion: number
  /** A smaller number is taken only when none larger was called for in this time. */
  readonly downWindowMs: number
}

export interface ScaleSettings {
  /** At deployment, and the floor of every decision but scaling to zero. */
  readonly min: number
  readonly max: number
  /** Step of an alert, in percent of `max`. */
  readonly factor: number
  /** Undefined: the load changes nothing. */
  readonly load: LoadTarget | undefined
  /** Without a call for so long, there are no replicas; undefined: they stay. */
  readonly zeroAfterMs: number | undefined
}

/** Of one function: each is a process or more on this machine. */
export const REPLICAS_MAX = 100
const DOWN_WINDOW_MAX_MS = 5 * 60_000
const LABEL = 'com.openfaas.scale.'
const NAMES = [
  'min', 'max', 'factor', 'type', 'target', 'target-proportion', 'down.window', 'zero', 'zero-duration',
] as const // prettier-ignore
type Name = (typeof NAMES)[number]
/** A label is anybody's text, and may be long. */
const SHOWN_MAX = 100

/** Never throws: a value that cannot be used falls back to the default, with a sentence for the function's log. */
export function scaleSettings(labels: Readonly<Record<string, string>>): {
  readonly settings: ScaleSettings
  readonly problems: readonly string[]
} {
  const labelled = new ScaleLabels(labels)
  labelled.reportUnknown()
  const min = labelled.read('min', '1', `a whole number from 0 to ${REPLICAS_MAX}`, wholeFrom(0, REPLICAS_MAX))
  const max = labelled.read('max', '20', `a whole number from 1 to ${REPLICAS_MAX}`, wholeFrom(1, REPLICAS_MAX))
  const factor = labelled.read('factor', '10', 'a whole number from 1 to 100', wholeFrom(1, 100))
  if (min > max) labelled.problems.push(`${LABEL}min ${min} is above max ${max}: there are ${min} replicas, always`)
  const load = loadTarget(labelled)
  const zeroAfterMs = idleLimitMs(labelled)
  return {
    settings: { min, max: Math.max(min, max), factor, load: min < max ? load : undefined, zeroAfterMs },
    problems: labelled.problems,
  }
}

/** Only where a label asks for it: everything else keeps the replicas it has. */
function loadTarget(labelled: ScaleLabels): LoadTarget | undefined {
  const type = labelled.text('type')
  const target = labelled.read('target', '50', 'a number above 0', (text) => positive(number(text)))
  const proportion = labelled.read('target-proportion', '0.90', 'a number above 0, at most 1', proportionOf)
  const windowMs = labelled.read('down.window', '30s', 'a duration such as 30s', parseDuration)
  if (windowMs > DOWN_WINDOW_MAX_MS) labelled.problems.push(`${LABEL}down.window is longer than 5m; 5m is used`)
  if (type === undefined && labelled.text('target') === undefined) return undefined
  if (type === 'rps' || type === 'capacity' || type === undefined)
    return { type: type ?? 'rps', target, proportion, downWindowMs: Math.min(windowMs, DOWN_WINDOW_MAX_MS) }
  labelled.problems.push(`${LABEL}type ${shown(type)} is not measured here, only rps and capacity; it is not scaled`)
  return undefined
}

function idleLimitMs(labelled: ScaleLabels): number | undefined {
  const isOn = labelled.read('zero', 'false', 'true or false', trueOrFalse)
  const durationMs = labelled.read('zero-duration', '15m', 'a duration above 0 such as 15m', (text) =>
    positive(parseDuration(text)),
  )
  return isOn ? durationMs : undefined
}

class ScaleLabels {
  readonly problems: string[] = []
  readonly #labels: Readonly<Record<string, string>>

  constructor(labels: Readonly<Record<string, string>>) {
    this.#labels = labels
  }

  /** A mistyped one would be as good as absent, in silence. */
  reportUnknown(): void {
    for (const label of Object.keys(this.#labels)) {
      const name = label.startsWith(LABEL) ? label.slice(LABEL.length) : undefined
      if (name === undefined || (NAMES as readonly string[]).includes(name)) continue
      const near = nearest(name, NAMES)
      this.problems.push(
        `${shown(label)} is not a scaling label${near === undefined ? '' : `; did you mean ${LABEL}${near}?`}`,
      )
    }
  }

  text(name: Name): string | undefined {
    return this.#labels[LABEL + name]?.trim()
  }

  /** @param fallback as it would be written in the label */
  read<T>(name: Name, fallback: string, what: string, parse: (text: string) => T | undefined): T {
    const text = this.text(name)
    const value = text === undefined ? undefined : parse(text)
    if (value !== undefined) return value
    if (text !== undefined) this.problems.push(`${LABEL}${name} ${shown(text)} is not ${what}; ${fallback} is used`)
    return parse(fallback) as T
  }
}

function shown(text: string): string {
  return JSON.stringify(text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text)
}

function number(text: string): number | undefined {
  return /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) : undefined
}

function positive(value: number | undefined): number | undefined {
  return value !== undefined && value > 0 ? value : undefined
}

function wholeFrom(from: number, to: number): (text: string) => number | undefined {
  return (text) => {
    const value = number(text)
    return value !== undefined && Number.isInteger(value) && value >= from && value <= to ? value : undefined
  }
}

function proportionOf(text: string): number | undefined {
  const value = positive(number(text))
  return value !== undefined && value <= 1 ? value : undefined
}

function trueOrFalse(text: string): boolean | undefined {
  return text === 'true' ? true : text === 'false' ? false : undefined
}
