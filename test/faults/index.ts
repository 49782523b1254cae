// The fault suite as vitest tests: the one call of every connectors/<name>/faults.test.ts.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { Connector, Fields } from '../../src/sdk/index.ts'
import { ServerUnavailable } from '../servers/provide.ts'
import type { FaultBroker, StartFaultBroker } from './contract.ts'
import { runScenario } from './run.ts'
import { scenarios } from './scenarios.ts'
import { SIZE } from './size.ts'

declare module 'vitest' {
  interface TaskMeta {
    /** Printed by the reporter as the test ends. */
    line?: string
  }
}

const START_TIMEOUT_MS = 180_000

/** Registers every scenario against one server; skipped where there is none, unless `HUB_TEST_REQUIRE` lists the connector. */
export function faults<F extends Fields>(connector: Connector<F>, startBroker: StartFaultBroker): void {
  const { name } = connector.manifest
  describe(`${name} under faults`, () => {
    let broker: FaultBroker | undefined
    let unavailable = 'the server did not start'

    beforeAll(async () => {
      try {
        broker = await startBroker()
      } catch (error) {
        if (!(error instanceof ServerUnavailable) || isRequired(name)) throw error
        unavailable = error.message
      }
    }, START_TIMEOUT_MS)
    afterAll(async () => {
      await broker?.[Symbol.asyncDispose]()
    }, START_TIMEOUT_MS)

    test.for(scenarios)('$name', { timeout: SIZE.timeoutMs }, async (scenario, context) => {
      if (broker === undefined) return context.skip(unavailable)
      const reason = broker.absent?.[scenario.name]
      if (reason !== undefined) return context.skip(reason)
      const outcome = await runScenario(scenario, connector.manifest, broker)
      context.task.meta.line = `${broker.name}: ${scenario.name}: ${outcome.line}`
      expect(outcome.problem).toBeUndefined()
    })
  })
}

function isRequired(name: string): boolean {
  return (process.env['HUB_TEST_REQUIRE'] ?? '').split(',').includes(name)
}
