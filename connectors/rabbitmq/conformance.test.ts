import { conformance } from '../../test/conformance/index.ts'
import { startRabbitBroker } from './broker.ts'
import connector from './connector.ts'

const folder = import.meta.dirname

conformance(connector, () => startRabbitBroker({ type: 'classic' }), { folder, title: 'classic queues' })
conformance(connector, () => startRabbitBroker({ type: 'quorum', requeue: true }), { folder, title: 'quorum queues' })
conformance(connector, () => startRabbitBroker({ type: 'classic', letters: true }), { folder, title: 'dead letters' })
conformance(connector, () => startRabbitBroker({ type: 'classic', exchange: true }), { folder, title: 'exchange' })
