import { conformance } from '../../test/conformance/index.ts'
import { startMinioBroker } from './broker.ts'
import connector from './connector.ts'

const folder = import.meta.dirname

conformance(connector, () => startMinioBroker('settled'), { folder, title: 'webhook' })
conformance(connector, () => startMinioBroker('listen'), { folder, title: 'listen' })
