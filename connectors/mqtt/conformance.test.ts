import { conformance } from '../../test/conformance/index.ts'
import { startEmbeddedBroker, startMosquittoBroker } from './broker.ts'
import connector from './connector.ts'

const folder = import.meta.dirname

conformance(connector, () => startMosquittoBroker(1, true), { folder, title: 'Mosquitto, QoS 1, shared group' })

// Replicas share with a sharedGroup only, and the embedded broker knows no shared subscriptions.
const capabilities = { ...connector.manifest.capabilities, shared: false }
const alone = { ...connector, manifest: { ...connector.manifest, capabilities } }
conformance(alone, () => startMosquittoBroker(2, false), { folder, title: 'Mosquitto, QoS 2' })
conformance(alone, startEmbeddedBroker, { folder, title: 'embedded broker' })
