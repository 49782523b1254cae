// In a file of its own, to run beside the other modes: MinIO looks into its queue every three seconds.

import { conformance } from '../../test/conformance/index.ts'
import { startMinioBroker } from './broker.ts'
import connector from './connector.ts'

conformance(connector, () => startMinioBroker('stored'), { folder: import.meta.dirname, title: 'webhook, stored' })
