// What of a configuration is wrong although each field is valid. Pure; asked whenever a configuration is read.

import { certificateFault, topicProblem } from '../../src/sdk/index.ts'
import type { ConfigFault, ConfigOf } from '../../src/sdk/index.ts'
import type { fields } from './manifest.ts'

export function check(config: ConfigOf<typeof fields>): ConfigFault | undefined {
  const { servers, topics, tls } = config
  const ways = (['username', 'token', 'nkeySeed', 'credsFile'] as const).filter((way) => config[way] !== undefined)
  if (ways.length > 1) return { at: '', message: `has ${ways.join(' and ')}, which are different ways to log in`, hint: 'Keep one of them.' } // prettier-ignore
  if (servers.length === 0) return { at: 'servers', message: 'is empty', hint: 'Name at least one server.' }
  const halfOfPair = certificateFault('tls', tls)
  if (halfOfPair !== undefined) return halfOfPair
  if (topics?.length === 0) return { at: 'topics', message: 'is empty', hint: 'Name the subjects to read, or remove it.' } // prettier-ignore
  for (const topic of topics ?? []) {
    const problem = topicProblem('nats', topic)
    if (problem !== undefined) return { at: 'topics', message: `holds ${topic}: ${problem}`, hint: 'Correct the subject filter.' } // prettier-ignore
  }
  return undefined
}
