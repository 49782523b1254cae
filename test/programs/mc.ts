// MinIO's client. Tests that run examples with it: `noProgram('mc')` and `new Shell(['mc'])` of programs.ts and shell.ts.

import { goProgram } from './program.ts'

/** Its releases have no version that Go knows: a commit of March 2025. */
export const provideMc = goProgram({
  name: 'mc',
  command: 'mc',
  module: 'github.com/minio/mc',
  version: 'v0.0.0-20250313080218-cf909e1063a9',
})
