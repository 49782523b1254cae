// A gateway without functions in a process of its own, for tests that kill it. Forked with a directory; says its address.

import { join } from 'node:path'

import { startGateway } from '../../src/gateway/gateway.ts'
import { Images } from '../../src/gateway/images.ts'
import { FIXTURES, NAMESPACE } from './rig.ts'

const [directory = ''] = process.argv.slice(2)

const gateway = await startGateway({
  port: 0,
  stateDir: join(directory, 'state'),
  sharedSecretsDirectory: join(directory, 'shared-secrets'),
  namespace: NAMESPACE,
  images: new Images({ directory: FIXTURES }),
  log: { request: () => {}, functionOutput: () => {}, lifecycle: () => {} },
})
process.send?.(gateway.address)
// The test is gone: nobody is left to kill this one, and the test run would wait for its output to end.
process.on('disconnect', () => process.exit(1))
