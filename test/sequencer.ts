// The order of test files: those that wait for servers longest come first, so that none of them is alone at the end.

import { BaseSequencer } from 'vitest/node'
import type { TestSpecification } from 'vitest/node'

const LONGEST = [
  /\/kubernetes\/cron\./,
  /\/kubernetes\/discovery-faults\./,
  /\/minio\/faults\./,
  /\/rabbitmq\/faults\./,
  /\/faults\.test/,
  /\/rabbitmq\/conformance\./,
  /\/servers\//,
  /\/conformance\.test/,
]

export default class Sequencer extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONGEST.findIndex((pattern) => pattern.test(moduleId))
      return at === -1 ? LONGEST.length : at
    }
    return sorted.toSorted((left, right) => rank(left) - rank(right))
  }
}
