// A caller that does not send its body to the end is its own affair: whoever else calls the function does not wait for it.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'

import { expect, test } from 'vitest'

import { HttpFunction } from '../../src/gateway/runtime/http-function.ts'
import { Reaper } from '../../src/gateway/runtime/reaper.ts'
import { launchRunner } from '../../src/gateway/runtime/runner.ts'
import type { RuntimeRequest } from '../../src/gateway/runtime/runtime.ts'
import { FIXTURES, nodeFunction } from './rig.ts'

const RUNNER = fileURLToPath(new URL('../../src/gateway/runtime/node-runner.ts', import.meta.url))
/** For the end of a process that has broken a connection: longer than a test. */
const EXIT_WAIT_MS = 600_000

const calling: RuntimeRequest = {
  method: 'POST',
  path: '/fine',
  headers: ['Host', 'x'],
  body: undefined,
  timeoutMs: 60_000,
  signal: new AbortController().signal,
}

test('a body that is late is a 500 at once, and no call waits to see whether the process ends', async () => {
  const socketDirectory = mkdtempSync(join(tmpdir(), 'late-body-'))
  using reaper = new Reaper(socketDirectory)
  const directory = join(FIXTURES, 'misbehave')
  const env = { PATH: process.env['PATH'] ?? '', HUB_HANDLER: directory }
  await using runtime = new HttpFunction({
    spec: nodeFunction('patient', 'misbehave'),
    log: { output: () => {}, lifecycle: () => {}, watchdog: () => {} },
    limits: { execMs: 0, readMs: 200, writeMs: 0 },
    prefixLogs: false,
    isEager: false,
    exitWaitMs: EXIT_WAIT_MS,
    launch: () => launchRunner({ socketDirectory, reaper }, { command: [process.execPath, RUNNER], directory, env }),
  })
  const body = new PassThrough()
  body.write('and then nothing')
  const headers = [...calling.headers, 'Content-Type', 'text/plain']
  expect((await runtime.call({ ...calling, headers, body })).status).toBe(500)
  expect((await runtime.call(calling)).status).toBe(200)
  rmSync(socketDirectory, { recursive: true, force: true })
})
