// Values of environment variables in the forms that OpenFaaS takes; what cannot be read is an error that names the variable.
// Called by the settings.

import { HubError, TIMEOUT_MAX_MS, parseDuration } from '../sdk/index.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export function isSet(text: string | undefined): text is string {
  return text !== undefined && text !== ''
}

/** Milliseconds of whole seconds (`65`) or of Go's form (`1m5s`); undefined for what is neither. */
export function durationMs(text: string): number | undefined {
  return parseDuration(/^\d+$/.test(text) ? `${text}s` : text)
}

/** Whole seconds, or Go's form; undefined where it is not set. @throws HubError HUB_CONFIG_INVALID */
export function millisecondsIn(env: Environment, name: string, minMs = 1): number | undefined {
  const text = env[name]?.trim()
  if (!isSet(text)) return undefined
  const ms = durationMs(text)
  if (ms !== undefined && ms >= minMs && ms <= TIMEOUT_MAX_MS) return ms
  throw new HubError('HUB_CONFIG_INVALID', `${name} "${text}" is not a duration from ${minMs}ms to 24 days`, {
    hint: `Set ${name} to whole seconds (65) or to a duration (1m5s).`,
  })
}

/** @throws HubError HUB_CONFIG_INVALID for what is neither true nor false */
export function isTrue(env: Environment, name: string): boolean {
  const text = env[name]?.trim().toLowerCase() ?? ''
  if (text === 'true' || text === '1') return true
  if (text === '' || text === 'false' || text === '0') return false
  throw new HubError('HUB_CONFIG_INVALID', `${name} "${text}" is neither true nor false`, {
    hint: `Set ${name} to true or false.`,
  })
}

/** Undefined where it is not set. @throws HubError HUB_CONFIG_INVALID */
export function wholeNumberIn(env: Environment, name: string, min: number, max: number): number | undefined {
  const text = env[name]?.trim()
  if (!isSet(text)) return undefined
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (number >= min && number <= max) return number
  throw new HubError('HUB_CONFIG_INVALID', `${name} "${text}" is not a whole number from ${min} to ${max}`, {
    hint: `Set ${name} to a whole number from ${min} to ${max}.`,
  })
}

/** What the word stands for; undefined where it is not set. @throws HubError HUB_CONFIG_INVALID */
export function choiceIn<const C extends Readonly<Record<string, unknown>>>(
  env: Environment,
  name: string,
  choices: C,
): C[keyof C] | undefined {
  const text = env[name]?.trim()
  if (!isSet(text)) return undefined
  if (Object.hasOwn(choices, text)) return choices[text] as C[keyof C]
  const words = Object.keys(choices).join(', ')
  throw new HubError('HUB_CONFIG_INVALID', `${name} "${text}" is none of ${words}`, {
    hint: `Set ${name} to one of ${words}.`,
  })
}
