// NATS's command line, `nats`.

import { goProgram } from './program.ts'

export const provideNatsCli = goProgram({
  name: 'natscli',
  command: 'nats',
  module: 'github.com/nats-io/natscli',
  path: 'nats',
  version: 'v0.1.6',
})
