// All scenarios, in the order in which a reader of a failing run wants them: the source first, then through the hub.

import type { Scenario } from './scenario.ts'
import { contentScenarios } from './scenarios/content.ts'
import { declarationScenarios } from './scenarios/declaration.ts'
import { faultScenarios } from './scenarios/faults.ts'
import { hubScenarios } from './scenarios/hub.ts'
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
  ...hubScenarios,
]
