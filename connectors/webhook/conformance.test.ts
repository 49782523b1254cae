import { conformance } from '../../test/conformance/index.ts'
import { startBroker } from './broker.ts'
import connector from './connector.ts'

conformance(connector, startBroker, { folder: import.meta.dirname })
