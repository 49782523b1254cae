// `dead-letters --async` as a process, beside a real gateway whose function fails and then does not.

import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { startReceiver } from '../gateway/receiver.ts'
import { nodeFunction, startRig, until } from '../gateway/rig.ts'
import type { Rig } from '../gateway/rig.ts'
import { cli } from './cli.ts'
import type { Ended } from './cli.ts'

let rig: Rig
beforeEach(async () => {
  const annotations = { 'com.openfaas.retry.attempts': '0' }
  rig = await startRig([nodeFunction('misbehave', 'misbehave', { annotations })])
})
afterEach(() => rig[Symbol.asyncDispose]())

const run = (...args: readonly string[]): Promise<Ended> =>
  cli(['dead-letters', ...args, '--async', '--state-dir', join(rig.directory, 'state')], {
    env: { gateway_url: rig.gateway.address },
    cwd: rig.directory,
  })

test('what its retries could not deliver is listed, and queued again with its callback', async () => {
  await using receiver = await startReceiver()
  const [done, go] = [join(rig.directory, 'done'), join(rig.directory, 'go')]
  const path = `/async-function/misbehave/append-when?file=${done}&go=${go}`
  await rig.call(path, { method: 'POST', headers: { 'X-Call-Id': 'mine', 'X-Callback-Url': receiver.url } })
  await until('it has failed', () => rig.gateway.queueLength === 0)

  const listed = await run('list', '--json')
  expect(JSON.parse(listed.stdout)).toMatchObject({
    count: 1,
    letters: [
      { id: '1', function: 'misbehave.openfaas-fn', reason: 'answered 500; gave up after 1 attempt', event: 'mine' },
    ],
  })
  writeFileSync(go, '')
  expect(await run('redrive', '1')).toMatchObject({ code: 0, stdout: expect.stringContaining('1 done, 0 failed') })
  await until('it has run, and is called back', () => existsSync(done) && receiver.received.length === 2)
  expect(receiver.received.map(({ headers }) => [headers['x-call-id'], headers['x-function-status']])).toEqual([
    ['mine', '500'],
    ['mine', '200'],
  ])
  expect(JSON.parse((await run('list', '--json')).stdout)).toMatchObject({ count: 0 })
})

test('they are at no broker', async () => {
  expect(await run('list', '--broker', 'mqtt')).toMatchObject({ code: 2, stderr: expect.stringContaining('HUB_USAGE') })
})
