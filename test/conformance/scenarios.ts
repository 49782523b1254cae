// All scenarios at the level of a source, in the order in which a reader of a failing run wants them.

import type { Scenario } from './scenario.ts'
import { contentScenarios } from './scenarios/content.ts'
import { declarationScenarios } from './scenarios/declaration.ts'
import { faultScenarios } from './scenarios/faults.ts'
import { lifecycleScenarios } from './scenarios/lifecycle.ts'
import { securityScenarios } from './scenarios/security.ts'
import { settlingScenarios } from './scenarios/settling.ts'
import { subscribingScenarios } from './scenarios/subscribing.ts'

export const scenarios: readonly Scenario[] = [
  ...declarationScenarios,
  ...lifecycleScenarios,
  ...contentScenarios,
  ...subscribingScenarios,
  ...settlingScenarios,
  ...faultScenarios,
  ...securityScenarios,
]
