// The suite is itself tested: each seeded defect must be caught by the scenario that is named for it, for its reason.

import { expect, test } from 'vitest'

import { runScenario, suiteOf } from '../run.ts'
import { scenarios } from '../scenarios.ts'
import { startBroker } from './broker.ts'
import { mutants } from './mutants.ts'
import type { Mutant } from './mutants.ts'
import { variantConnector, variantModule } from './variant.ts'

/** Events of this broker arrive within milliseconds; a mutant that hangs should not take long. */
const MUTANT_DEADLINE_MS = 1500

async function verdict({ name, caughtBy, variant = 'delayed' }: Mutant): Promise<string> {
  const scenario = scenarios.find((candidate) => candidate.name === caughtBy)
  if (scenario === undefined) return `there is no scenario named ${caughtBy}`
  await using broker = await startBroker()
  const suite = suiteOf(variantConnector(variant, name), broker, {
    folder: import.meta.dirname,
    module: variantModule(variant, name),
    deadlineMs: MUTANT_DEADLINE_MS,
    absenceMs: 10,
  })
  try {
    await runScenario(scenario, suite)
    return `${caughtBy} passed`
  } catch (error) {
    return String(error)
  }
}

test.for(mutants)('a connector that $name is caught', async (mutant) => {
  expect(await verdict(mutant)).toMatch(mutant.because)
})

test('every scenario has a mutant that it catches', () => {
  const caught = new Set(mutants.map(({ caughtBy }) => caughtBy))
  const without = scenarios.map(({ name }) => name).filter((name) => !caught.has(name))
  // Unknown keys are refused by the SDK, whatever the connector does; test/sdk has its tests.
  expect(without).toEqual(['an unknown key of the configuration is refused and the nearest known key is named'])
})

test('no two mutants have the same name', () => {
  const names = mutants.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
})
