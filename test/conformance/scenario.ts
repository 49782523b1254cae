// A scenario is plain data, so that it runs as a vitest test and, against a mutant, under the eyes of another test.

import type { Manifest } from '../../src/sdk/index.ts'
import type { BrokerFeatures, TestBroker } from './contract.ts'
import type { Harness } from './harness.ts'

/** What decides whether a scenario applies. */
export interface Facts {
  readonly manifest: Manifest
  readonly features: BrokerFeatures
  readonly broker: TestBroker
}

export interface Scenario {
  /** The guarantee, as a sentence. */
  readonly name: string
  /** Why the scenario does not apply; undefined when it does. */
  readonly unless?: (facts: Facts) => string | undefined
  /** Rejects when the guarantee does not hold. */
  run(harness: Harness): Promise<void>
}

/** The first reason of several. */
export function anyOf(
  ...reasons: readonly ((facts: Facts) => string | undefined)[]
): (facts: Facts) => string | undefined {
  return (facts) => {
    for (const reason of reasons) {
      const found = reason(facts)
      if (found !== undefined) return found
    }
    return undefined
  }
}

export const unlessDurable = ({ manifest }: Facts): string | undefined =>
  manifest.capabilities.durable ? undefined : 'the connector promises no redelivery (capabilities.durable)'

export const unlessRedelivers = ({ manifest }: Facts): string | undefined =>
  manifest.capabilities.retry === 'held' ? 'the broker cannot redeliver; the hub holds (capabilities.retry)' : undefined

export const unlessBodies = ({ features }: Facts): string | undefined =>
  features.bodies === 'generated' ? 'the broker makes the bodies itself (features.bodies)' : undefined
