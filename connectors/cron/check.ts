// What of a configuration is wrong although each field is valid. Pure; asked whenever a configuration is read.

import { zoneProblem } from '../../src/sdk/index.ts'
import type { ConfigFault, ConfigOf } from '../../src/sdk/index.ts'
import type { fields } from './manifest.ts'

export function check({ zone }: ConfigOf<typeof fields>): ConfigFault | undefined {
  const problem = zoneProblem(zone)
  if (problem === undefined) return undefined
  return { at: 'zone', message: `cannot be used: ${problem}`, hint: 'Set it to an IANA name such as Europe/London, or leave it out for UTC.' } // prettier-ignore
}
