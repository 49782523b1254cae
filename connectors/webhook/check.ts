// What of a configuration is wrong although each field is valid. Pure; asked whenever a configuration is read.

import { certificateFault } from '../../src/sdk/index.ts'
import type { ConfigFault, ConfigOf } from '../../src/sdk/index.ts'
import { hookProblem } from './hooks.ts'
import type { fields } from './manifest.ts'

export function check({ hooks, listen }: ConfigOf<typeof fields>): ConfigFault | undefined {
  const names = new Set<string>()
  for (const [index, hook] of hooks.entries()) {
    const problem = hookProblem(hook)
    if (problem !== undefined) return { at: `hooks.${index}`, message: `(${hook.name}) cannot work: ${problem}`, hint: "See the table of schemes in the connector's README." } // prettier-ignore
    if (names.has(hook.name)) return { at: `hooks.${index}`, message: `has the name of another one, ${hook.name}`, hint: 'Give each hook a name of its own.' } // prettier-ignore
    names.add(hook.name)
  }
  return certificateFault('listen', listen)
}
