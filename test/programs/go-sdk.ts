// OpenFaaS's go-sdk behind a small program of ours (go-sdk/main.go). Tests that drive it: `noProgram('go-sdk')` of programs.ts.

import { readFileSync } from 'node:fs'

import { goProgram } from './program.ts'

const MAIN = readFileSync(new URL('./go-sdk/main.go', import.meta.url), 'utf8')

/**
 * The version of July 2024 that faas-cli of that time names in its `go.mod`. As with faas-cli.ts, the public checksum database
 * does not have it, and what it is compared with stands here.
 */
export const provideGoSdk = goProgram({
  name: 'go-sdk',
  command: 'sdk-calls',
  module: 'github.com/openfaas/go-sdk',
  path: 'sdk-calls',
  version: 'v0.2.12',
  sum: 'h1:ClQbozDel1KgrIrI+eLS8d4Im12n9xJYZ+LJ2XOwRMM=',
  added: { 'sdk-calls/main.go': MAIN },
})
