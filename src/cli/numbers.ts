// Numbers, durations and dates as a person types them after an option.

import { HubError, parseDuration } from '../sdk/index.ts'

/** @param name of the option, for the message. @throws HubError HUB_USAGE */
export function wholeNumber(name: string, text: string): number {
  const value = Number(text)
  if (!/^\d{1,15}$/.test(text) || value < 1) throw new HubError('HUB_USAGE', `${name} ${text} is not a whole number from 1`, { hint: 'Write for example 20.' }) // prettier-ignore
  return value
}

/** `10` or `10/s`. @throws HubError HUB_USAGE */
export function ratePerSecond(text: string): number {
  const value = Number(/^(\d{1,6}(?:\.\d{1,3})?)(?:\/s)?$/.exec(text)?.[1])
  if (Number.isNaN(value) || value <= 0) throw new HubError('HUB_USAGE', `--rate ${text} is not a number of events a second`, { hint: 'Write for example --rate 10.' }) // prettier-ignore
  return value
}

/** Milliseconds. @param example for the hint. @throws HubError HUB_USAGE */
export function durationOf(
  name: string,
  text: string,
  { minMs = 0, example }: { readonly minMs?: number; readonly example: string },
): number {
  const ms = parseDuration(text)
  if (ms === undefined || ms < minMs) throw new HubError('HUB_USAGE', `${name} ${text} is not a duration`, { hint: `Write for example ${name} ${example}.` }) // prettier-ignore
  return ms
}

/** Unix milliseconds. @throws HubError HUB_USAGE */
export function dateOf(name: string, text: string): number {
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) throw new HubError('HUB_USAGE', `${name} ${text} is not a date`, { hint: 'Write an ISO date such as 2026-03-29T00:00:00Z.' }) // prettier-ignore
  return ms
}
