import { conformance } from '../../test/conformance/index.ts'
import { startEmbeddedBroker, startMosquittoBroker } from './broker.ts'
import connector from './connector.ts'

const folder = import.meta.dirname

conformance(connector, () => startMosquittoBroker(1), { folder, title: 'Mosquitto, QoS 1' })
conformance(connector, () => startMosquittoBroker(2), { folder, title: 'Mosquitto, QoS 2' })
conformance(connector, startEmbeddedBroker, { folder, title: 'embedded broker' })
