// Which functions of a stack file are meant: `--filter` and `--regex`, as faas-cli has them. Pure.

import { HubError, errorText } from '../sdk/index.ts'

export interface ChoiceOptions {
  /** `*` stands for anything, all else for itself. */
  readonly filter?: string
  /** Found anywhere in the name. */
  readonly regex?: string
}

/** By the name without its namespace. */
export type FunctionChoice = (name: string) => boolean

/** @throws HubError HUB_USAGE for both at once, and for what is no regular expression */
export function functionChoice({ filter = '', regex = '' }: ChoiceOptions): FunctionChoice {
  if (filter !== '' && regex !== '')
    throw new HubError('HUB_USAGE', '--filter and --regex are both given', { hint: 'Give one of them.' })
  if (regex !== '') return matcher(regex)
  if (filter === '') return () => true
  return matcher(
    `^${filter
      .split('*')
      .map((part) => RegExp.escape(part))
      .join('.*')}$`,
  )
}

/** @throws HubError HUB_USAGE */
function matcher(source: string): FunctionChoice {
  try {
    const pattern = new RegExp(source)
    return (name) => pattern.test(name)
  } catch (error) {
    throw new HubError('HUB_USAGE', `--regex ${source}: ${errorText(error)}`, {
      cause: error,
      hint: 'Write a regular expression such as ^report-.',
    })
  }
}
