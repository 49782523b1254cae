// The real faas-cli of OpenFaaS. Tests that drive it: `noProgram('faas-cli')` of programs.ts.

import { goProgram } from './program.ts'

/**
 * Its releases have no version that Go knows: a commit of October 2021, the newest that the module proxy gives together with
 * a checksum. It has no commands yet for what came later (`ready`, `namespace create`, `diff`).
 */
export const provideFaasCli = goProgram({
  name: 'faas-cli',
  command: 'faas-cli',
  module: 'github.com/openfaas/faas-cli',
  version: 'v0.0.0-20211012083206-08e3e965c831',
  // Its list of vendored modules comes without the modules.
  flags: ['-mod=mod'],
})
