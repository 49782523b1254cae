// Webhooks through the whole hub: kept while the gateway is away, and answered by a function.

import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { Gateway, runHub, until } from '../../test/hub/rig.ts'
import type { RunningHub } from '../../test/hub/rig.ts'
import { pickPorts } from '../../test/servers/server.ts'
import { SECRET, hmac } from './rig.ts'

const HOOKS = JSON.stringify([{ name: 'github', scheme: 'github', secret: SECRET }])

interface Place extends AsyncDisposable {
  readonly running: RunningHub
  post(body: string, delivery: string): Promise<Response>
}

async function startHub(gateway: Gateway, env: Readonly<Record<string, string>> = {}): Promise<Place> {
  const [port = 0] = await pickPorts(1)
  const listen = { HUB_WEBHOOK_LISTEN_HOST: '127.0.0.1', HUB_WEBHOOK_LISTEN_PORT: String(port), HUB_WEBHOOK_HOOKS: HOOKS } // prettier-ignore
  const running = await runHub(gateway.url, { ...listen, ...env }, { types: ['webhook'] })
  await until(() => running.hub.status.every(({ state }) => state === 'active'), 'it listens')
  return {
    running,
    post: (body, delivery) =>
      fetch(`http://127.0.0.1:${port}/hooks/github`, {
        method: 'POST',
        body,
        headers: { 'X-GitHub-Event': 'push', 'X-GitHub-Delivery': delivery, 'X-Hub-Signature-256': `sha256=${hmac(body)}` }, // prettier-ignore
      }),
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  }
}

test('what arrives while the gateway is away is accepted, outlives a restart, and is sent when it is back', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'webhook-hub-'))
  const state = { HUB_STATE_DIR: folder.path }
  await using gateway = await new Gateway().start()
  gateway.functions = { deploy: { topic: 'github:push' } }
  {
    await using place = await startHub(gateway, state)
    expect((await place.post('before', '1')).status).toBe(202)
    await until(() => gateway.invoked.length === 1, 'the function is invoked')
    await gateway.stop()
    expect((await place.post('one', '2')).status).toBe(202)
    expect((await place.post('two', '3')).status).toBe(202)
    await until(() => place.running.log.some((line) => line.includes('gateway.unreachable')), 'the hub has noticed')
    expect((await place.post('three', '4')).status).toBe(202)
    const metrics = await (await place.running.admin('/metrics')).text()
    expect(metrics).toMatch(/^connector_hub_webhook_stored_events\{[^}]*\} 3$/m)
    expect(metrics).toMatch(/^connector_hub_webhook_requests_total\{[^}]*outcome="accepted"[^}]*\} 4$/m)
    expect(metrics).not.toContain(SECRET)
  }
  await gateway.start()
  await using place = await startHub(gateway, state)
  await until(() => gateway.invoked.length === 4, 'everything is sent')
  expect(gateway.invoked.map(({ body }) => body).toSorted()).toEqual(['before', 'one', 'three', 'two'])
  // Known over the restart, too.
  expect(await (await place.post('one', '2')).text()).toBe('accepted before\n')
})

test('respond: function answers the caller with what the function says, after its retries', async () => {
  await using gateway = await new Gateway().start()
  gateway.functions = { answers: { topic: 'github' } }
  let calls = 0
  gateway.answer = (_, body) => {
    calls += 1
    const headers = { 'Content-Type': 'text/x-answer' }
    return calls === 1 ? { status: 500, headers, body: 'not yet' } : { status: 201, headers, body: body.toUpperCase() }
  }
  await using place = await startHub(gateway, { HUB_WEBHOOK_RESPOND: 'function', initial_retry_wait: '10ms' })
  const response = await place.post('question', '1')
  expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([201, 'text/x-answer', 'QUESTION']) // prettier-ignore
  expect([calls, place.running.hub.deadLetters.count()]).toEqual([2, 0])
})

test('respond: function tells of a failure, which is a dead letter and may be sent again', async () => {
  await using gateway = await new Gateway().start()
  gateway.functions = { fails: { topic: 'github', 'com.openfaas.retry.attempts': '0' } }
  await using place = await startHub(gateway, { HUB_WEBHOOK_RESPOND: 'function' })
  expect((await place.post('question', '1')).status).toBe(500)
  expect((await place.post('question', '1')).status).toBe(500)
  expect([gateway.invoked.length, place.running.hub.deadLetters.count()]).toEqual([2, 2])
})
