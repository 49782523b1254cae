#!/usr/bin/env node
// The binary. Everything else can be reached without a process.

import { processOutput } from './output.ts'
import { execute } from './program.ts'

// A reader that left (`| head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

process.exitCode = await execute(process.argv.slice(2), processOutput, process.env)
