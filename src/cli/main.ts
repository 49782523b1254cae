#!/usr/bin/env node
// The binary. Everything else can be reached without a process.

import { enableCompileCache } from 'node:module'

import { processOutput } from './output.ts'
import { execute } from './program.ts'

// A reader that left (`| head`) or a terminal that was closed is no error: the drain must still come to its end.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error
  })

// A fifth off the start of the larger commands, from the second start on; nothing where there is no place to write.
enableCompileCache()

process.exitCode = await execute(process.argv.slice(2), processOutput, process.env)
