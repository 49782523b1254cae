// Numbers and dates as a person types them after an option.

import { HubError } from '../sdk/index.ts'

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
