// Core NATS through the whole hub: a function answers a request, whatever happens to the servers in between.

import { connect } from '@nats-io/transport-node'
import type { Msg, NatsConnection } from '@nats-io/transport-node'
import { beforeEach, expect, test } from 'vitest'

import { Gateway, runHub } from '../../test/hub/rig.ts'
import type { RunningHub } from '../../test/hub/rig.ts'
import { startNatsCluster } from '../../test/servers/nats-cluster.ts'
import { noNats, startNats } from '../../test/servers/nats.ts'

const missing = await noNats()
beforeEach((context) => context.skip(missing !== undefined, missing))

const startHub = (gateway: Gateway, env: Readonly<Record<string, string>>): Promise<RunningHub> => runHub(gateway.url, { ...env, HUB_NATS_LAYER: 'core' }, { types: ['nats'] }) // prettier-ignore

async function startGateway(): Promise<Gateway> {
  const gateway = await new Gateway().start()
  gateway.functions = {
    upper: { topic: 'ask.upper' },
    fails: { topic: 'ask.fails', 'com.openfaas.retry.attempts': '0' },
    later: { topic: 'ask.filtered', 'connector.filter': 'false' },
  }
  gateway.answer = (name, body) => name === 'upper' ? { status: 200, headers: { 'Content-Type': 'text/plain', 'X-Made-By': 'upper' }, body: body.toUpperCase() } : undefined // prettier-ignore
  return gateway
}

/** Answered by a function, once somebody listens. */
async function answered(client: NatsConnection, subject: string, body: string): Promise<Msg> {
  let answer: Msg | undefined
  await expect.poll(async () => {
    answer = await client.request(subject, body, { timeout: 2000 }).catch(() => undefined)
    return answer
  }, { timeout: 20_000 }).toBeDefined() // prettier-ignore
  return answer as Msg
}

test('a request is answered with what the function answers, and a failure says so at once', async () => {
  await using server = await startNats({ jetStream: false })
  await using gateway = await startGateway()
  await using running = await startHub(gateway, { broker_host: `127.0.0.1:${server.port}` })
  const client = await connect({ servers: server.url })
  const fine = await answered(client, 'ask.upper', 'secret question')
  expect(fine.string()).toBe('SECRET QUESTION')
  expect(fine.headers?.get('Content-Type')).toBe('text/plain')
  expect(fine.headers?.get('X-Made-By')).toBe('upper')
  expect(fine.headers?.get('X-Function-Name')).toBe('upper.openfaas-fn')
  expect(fine.headers?.has('Nats-Service-Error')).toBe(false)
  const failed = await client.request('ask.fails', '', { timeout: 60_000 })
  expect(failed.headers?.get('Nats-Service-Error-Code')).toBe('500')
  expect(running.hub.deadLetters.count()).toBe(1)
  await expect(client.request('ask.filtered', '', { timeout: 300 })).rejects.toThrow('timeout')
  const metrics = await (await running.admin('/metrics')).text()
  expect(metrics).toMatch(/^connector_hub_nats_replies_total\{[^}]*outcome="sent"[^}]*\} 2$/m)
  expect(metrics).toMatch(/^connector_hub_nats_waiting\{[^}]*\} 0$/m)
  expect(running.log.join('\n')).not.toMatch(/secret question/i)
  await client.close()
})

test('with the asynchronous route the answer is that the call was accepted', async () => {
  await using server = await startNats({ jetStream: false })
  await using gateway = await startGateway()
  gateway.functions = { later: { topic: 'ask.later', 'connector.mode': 'async' } }
  await using running = await startHub(gateway, { HUB_NATS_SERVERS: server.url })
  const client = await connect({ servers: server.url })
  const accepted = await answered(client, 'ask.later', '')
  expect([accepted.headers?.get('X-Function-Status'), accepted.string()]).toEqual(['202', ''])
  expect(running.hub.deadLetters.count()).toBe(0)
  await client.close()
})

test(
  'of two servers one dies, comes back, and the other shuts down: requests are answered again',
  { timeout: 60_000 },
  async () => {
    await using cluster = await startNatsCluster(2, { jetStream: false })
    const [first, second] = cluster.servers
    if (first === undefined || second === undefined) throw new Error('two were started')
    await using gateway = await startGateway()
    await using running = await startHub(gateway, { HUB_NATS_SERVERS: `${first.url},${second.url}` })
    const client = await connect({ servers: [first.url, second.url], reconnectTimeWait: 50, maxReconnectAttempts: -1 })
    expect((await answered(client, 'ask.upper', 'a')).string()).toBe('A')
    await first.kill()
    expect((await answered(client, 'ask.upper', 'b')).string()).toBe('B')
    await first.start()
    second.lameDuck()
    const active = (): string | undefined => running.hub.status[0]?.state
    await expect.poll(() => running.log.some((line) => line.includes('nats.lame-duck')) && active() === 'active', { timeout: 20_000 }).toBe(true) // prettier-ignore
    await second.kill()
    expect((await answered(client, 'ask.upper', 'c')).string()).toBe('C')
    await client.close()
  },
)
