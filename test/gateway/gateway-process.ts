// A gateway in a process of its own, for tests that kill it. Forked with the state directory, and with
// the URL of NATS where calls are kept there; says its address.

import { startGateway } from '../../src/gateway/gateway.ts'
import { natsSettings } from '../../src/gateway/queue/settings.ts'
import { NAMESPACE, nodeFunction, processFunction } from './rig.ts'

const [stateDir = '', pidFile = '', natsUrl = ''] = process.argv.slice(2)

const RETRY = {
  'com.openfaas.retry.attempts': '9999',
  'com.openfaas.retry.min_wait': '2s',
  'com.openfaas.retry.max_wait': '2s',
}

const gateway = await startGateway({
  port: 0,
  stateDir,
  // What a killed one held comes again soon.
  ...(natsUrl === '' ? {} : { queue: { nats: natsSettings(natsUrl), ackWaitMs: 2000 } }),
  namespace: NAMESPACE,
  log: { request: () => {}, functionOutput: () => {}, lifecycle: () => {} },
})
await gateway.deploy(nodeFunction('misbehave', 'misbehave', { annotations: RETRY }))
await gateway.deploy(processFunction('hang', './hang.sh', { envVars: { PID_FILE: pidFile } }))
process.send?.(gateway.address)
// The test is gone: nobody is left to kill this one, and the test run would wait for its output to end.
process.on('disconnect', () => process.exit(1))
