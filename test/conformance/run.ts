// Runs one scenario against one connector and broker. Knows nothing of vitest, so that mutants can be judged with it.

import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

import { instanceConfig, termsOf } from '../../src/sdk/index.ts'
import type { Connector } from '../../src/sdk/index.ts'
import type { ConformanceOptions, TestBroker } from './contract.ts'
import { Harness } from './harness.ts'
import type { Suite } from './harness.ts'
import type { Scenario } from './scenario.ts'

export function suiteOf(connector: Connector, broker: TestBroker, options: ConformanceOptions): Suite {
  const { manifest } = connector
  const config = instanceConfig(manifest, broker.config({ run: 'terms', replica: 0 }))
  return {
    // What holds under the configuration of this broker is what is asked for.
    connector: { ...connector, manifest: { ...manifest, ...termsOf(manifest, config) } },
    broker,
    folder: options.folder,
    module: options.module ?? pathToFileURL(join(options.folder, 'connector.ts')).href,
    unsettledMax: options.unsettledMax ?? 8,
    deadlineMs: options.deadlineMs ?? 30_000,
    absenceMs: options.absenceMs ?? 150,
  }
}

/** Why the scenario does not apply to this suite; undefined when it does. */
export function reasonNotToRun(scenario: Scenario, { connector, broker }: Suite): string | undefined {
  return scenario.unless?.({ manifest: connector.manifest, features: broker.features, broker })
}

/** Rejects when the guarantee does not hold. */
export async function runScenario(scenario: Scenario, suite: Suite): Promise<void> {
  await using harness = new Harness(suite)
  await scenario.run(harness)
  await harness.finish()
}
