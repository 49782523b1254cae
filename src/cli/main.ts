#!/usr/bin/env node
// The binary. Everything else can be reached without a process.

import { enableCompileCache } from 'node:module'

// A reader that left (`| head`) or a terminal that was closed is no error: the drain must still come to its end.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error
  })

// A third off the start, from the second start on; nothing where there is no place to write. It covers what is loaded
// after it only, so the rest of the program may not be among this module's imports.
enableCompileCache()
const [{ processOutput }, { execute }] = await Promise.all([import('./output.ts'), import('./program.ts')])

process.exitCode = await execute(process.argv.slice(2), processOutput, process.env)
