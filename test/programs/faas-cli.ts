// The real faas-cli of OpenFaaS. Tests that drive it: `noProgram('faas-cli')` of programs.ts.

import { goProgram } from './program.ts'

/**
 * Its releases have no version that Go knows: a commit of January 2023, the newest that the module proxy gives. The public
 * checksum database does not have it (it ends in October 2021), so what it is compared with stands here, as it was when it
 * came into use. It has no commands yet for what came later (`ready`, `namespace create`, `diff`): see go-sdk.ts.
 */
export const provideFaasCli = goProgram({
  name: 'faas-cli',
  command: 'faas-cli',
  module: 'github.com/openfaas/faas-cli',
  version: 'v0.0.0-20230119133646-fea2bf5a6d0c',
  sum: 'h1:bKdpxt1nwx1gORMakzuqQ5M6iDeowMxBAXQGGmBMZks=',
  // Its list of vendored modules comes without the modules.
  flags: ['-mod=mod'],
})
