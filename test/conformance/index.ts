// The conformance suite as vitest tests: the one call of every connectors/<name>/conformance.test.ts.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { Connector, Fields } from '../../src/sdk/index.ts'
import { BrokerUnavailable } from './contract.ts'
import type { ConformanceOptions, StartBroker } from './contract.ts'
import { reasonNotToRun, runScenario, suiteOf } from './run.ts'
import type { Suite } from './harness.ts'
import { scenarios } from './scenarios.ts'

/** A scenario waits up to its deadline several times before it fails; vitest must not cut the message off. */
const SCENARIO_TIMEOUT_MS = 180_000
const START_TIMEOUT_MS = 120_000

/**
 * Registers the whole suite. Scenarios that the connector's capabilities or the broker's features rule out are skipped
 * with the reason, and so is the suite where the broker is not available, unless `HUB_TEST_REQUIRE` lists the connector.
 */
export function conformance<F extends Fields>(
  connector: Connector<F>,
  startBroker: StartBroker,
  options: ConformanceOptions,
): void {
  const { name } = connector.manifest
  describe(`${name}${options.title === undefined ? '' : ` (${options.title})`} conforms`, () => {
    let suite: Suite | undefined
    let unavailable = 'the broker did not start'

    beforeAll(async () => {
      try {
        // The suite only hands `create` what `parseConfig` made of the connector's own fields.
        suite = suiteOf(connector, await startBroker(), options)
      } catch (error) {
        if (!(error instanceof BrokerUnavailable) || isRequired(name)) throw error
        unavailable = error.message
      }
    }, START_TIMEOUT_MS)
    afterAll(async () => {
      await suite?.broker[Symbol.asyncDispose]()
    }, START_TIMEOUT_MS)

    test.for(scenarios)('$name', { timeout: SCENARIO_TIMEOUT_MS }, async (scenario, context) => {
      if (suite === undefined) return context.skip(unavailable)
      const reason = reasonNotToRun(scenario, suite)
      if (reason !== undefined) return context.skip(reason)
      await expect(runScenario(scenario, suite)).resolves.toBeUndefined()
    })
  })
}

function isRequired(name: string): boolean {
  return (process.env['HUB_TEST_REQUIRE'] ?? '').split(',').includes(name)
}
