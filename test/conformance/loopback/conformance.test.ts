// The correct loopback connector passes the whole suite in each variant of capabilities.

import { conformance } from '../index.ts'
import { startBroker } from './broker.ts'
import { VARIANTS } from './manifest.ts'
import type { Variant } from './manifest.ts'
import { variantConnector, variantModule } from './variant.ts'

for (const variant of Object.keys(VARIANTS) as Variant[]) {
  conformance(variantConnector(variant), startBroker, {
    folder: import.meta.dirname,
    title: variant,
    module: variantModule(variant),
    absenceMs: 10,
  })
}
