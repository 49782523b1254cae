import { conformance } from '../../test/conformance/index.ts'
import { startKafkaBroker } from './broker.ts'
import connector from './connector.ts'

conformance(connector, startKafkaBroker, { folder: import.meta.dirname })
