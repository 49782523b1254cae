import { conformance } from '../../test/conformance/index.ts'
import { startNatsBroker } from './broker.ts'
import connector from './connector.ts'

const folder = import.meta.dirname

conformance(connector, () => startNatsBroker('jetstream'), { folder, title: 'JetStream' })
conformance(connector, () => startNatsBroker('core'), { folder, title: 'core' })
