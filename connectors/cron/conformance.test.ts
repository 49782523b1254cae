import { conformance } from '../../test/conformance/index.ts'
import { startBroker } from './broker.ts'
import connector from './connector.ts'

const folder = import.meta.dirname

conformance(connector, () => Promise.resolve(startBroker('none')), { folder, title: 'catch-up none' })

// With catch-up a fire outlives its source, so everything that is asked of durable connectors is asked of it.
const capabilities = { ...connector.manifest.capabilities, durable: true }
const durable = { ...connector, manifest: { ...connector.manifest, capabilities } }
conformance(durable, () => Promise.resolve(startBroker('all')), { folder, title: 'catch-up all' })
