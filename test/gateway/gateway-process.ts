// A gateway in a process of its own, for tests that kill it. Forked with the state directory; says its address.

import { startGateway } from '../../src/gateway/gateway.ts'
import { NAMESPACE, nodeFunction, processFunction } from './rig.ts'

const [stateDir = '', pidFile = ''] = process.argv.slice(2)

const RETRY = {
  'com.openfaas.retry.attempts': '9999',
  'com.openfaas.retry.min_wait': '2s',
  'com.openfaas.retry.max_wait': '2s',
}

const gateway = await startGateway({
  port: 0,
  stateDir,
  namespace: NAMESPACE,
  log: { request: () => {}, functionOutput: () => {}, lifecycle: () => {} },
})
await gateway.deploy(nodeFunction('misbehave', 'misbehave', { annotations: RETRY }))
await gateway.deploy(processFunction('hang', './hang.sh', { envVars: { PID_FILE: pidFile } }))
process.send?.(gateway.address)
// The test is gone: nobody is left to kill this one, and the test run would wait for its output to end.
process.on('disconnect', () => process.exit(1))
