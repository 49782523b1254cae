import { conformance } from '../../test/conformance/index.ts'
import { startNatsBroker } from './broker.ts'
import connector from './connector.ts'

conformance(connector, startNatsBroker, { folder: import.meta.dirname })
