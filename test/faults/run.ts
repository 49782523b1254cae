// Runs one scenario to its verdict. Knows nothing of vitest; called by index.ts.

import { errorText } from '../../src/sdk/index.ts'
import type { Manifest } from '../../src/sdk/index.ts'
import { secondsSince } from '../servers/provide.ts'
import type { FaultBroker } from './contract.ts'
import type { Scenario } from './scenarios.ts'
import { MAIN, Trial } from './trial.ts'

export interface Outcome {
  /** What is wrong, with what helps to find out why; undefined when all is well. */
  readonly problem: string | undefined
  /** For people: events, duplicates, seconds. */
  readonly line: string
}

let runs = 0

export async function runScenario(
  scenario: Scenario,
  connector: Pick<Manifest, 'name' | 'capabilities'>,
  broker: FaultBroker,
  stallMs?: number,
): Promise<Outcome> {
  const began = Date.now()
  runs += 1
  const run = `f${process.pid}-${runs}`
  const setting = { scenario: scenario.name, connector, broker, run, ...(stallMs === undefined ? {} : { stallMs }) }
  await using trial = await Trial.open(setting, scenario.functions)
  try {
    await scenario.run(trial)
    const { duplicates } = trial.verdict(MAIN)
    const order = trial.isOrdered ? 'in order' : `order not promised (${broker.unordered?.[scenario.name]})`
    const line = `${trial.size.events} events, ${duplicates.length} duplicates of ${trial.allowed} allowed, ${order}, ${secondsSince(began)}` // prettier-ignore
    return { problem: undefined, line }
  } catch (error) {
    const problem = `${scenario.name}: ${errorText(error)}\n${trial.report()}`
    return { problem, line: `FAILED after ${secondsSince(began)}: ${errorText(error)}` }
  }
}
