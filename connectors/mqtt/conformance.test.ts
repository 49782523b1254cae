import { conformance } from '../../test/conformance/index.ts'
import { startEmbeddedBroker, startMosquittoBroker } from './broker.ts'
import connector from './connector.ts'

const folder = import.meta.dirname

conformance(connector, () => startMosquittoBroker(1, true), { folder, title: 'Mosquitto, QoS 1, shared group' })
conformance(connector, () => startMosquittoBroker(2, false), { folder, title: 'Mosquitto, QoS 2' })
conformance(connector, startEmbeddedBroker, { folder, title: 'embedded broker' })
