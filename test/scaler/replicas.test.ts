// What the replicas of a hub say that they have, over real HTTP at several addresses of one port.

import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

import { afterEach, expect, test } from 'vitest'

import { heldByReplicas } from '../../src/scaler/index.ts'

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

/** At 127.0.0.1, 127.0.0.2, … and one port for all. @returns the port */
async function replicas(...answers: readonly unknown[]): Promise<number> {
  let port = 0
  for (const [index, answer] of answers.entries()) {
    const server = createServer((_request, response) => {
      // As a hub that is not ready.
      if (answer !== 'silent') response.writeHead(503).end(typeof answer === 'string' ? answer : JSON.stringify(answer))
    })
    await new Promise<void>((resolve) => server.listen(port, `127.0.0.${index + 1}`, resolve))
    port = (server.address() as AddressInfo).port
    servers.push(server)
  }
  return port
}

const hub = (unsettled: number, connector = 'rabbit'): unknown => ({ ready: false, connectors: [{ connector: 'cron', unsettled: 100 }, { connector, unsettled }] }) // prettier-ignore
const asked = (port: number, addresses: readonly string[]): Promise<number> =>
  heldByReplicas(`http://pods.openfaas:${port}`, 'rabbit', new AbortController().signal, () => Promise.resolve(addresses)) // prettier-ignore

test('every replica behind the name is asked once, and what they have is added', async () => {
  const port = await replicas(hub(3), hub(4), hub(9, 'other'))
  expect(await asked(port, ['127.0.0.1', '127.0.0.2', '127.0.0.1', '127.0.0.3'])).toBe(7)
})

test('a name that stands for nobody has nothing', async () => {
  const missing = Object.assign(new Error('getaddrinfo ENOTFOUND pods.openfaas'), { code: 'ENOTFOUND' })
  expect(await heldByReplicas('http://pods.openfaas:8081', 'rabbit', new AbortController().signal, () => Promise.reject(missing))).toBe(0) // prettier-ignore
})

test('names that cannot be looked up at the moment are not taken for nobody', async () => {
  const late = Object.assign(new Error('getaddrinfo EAI_AGAIN'), { code: 'EAI_AGAIN' })
  await expect(heldByReplicas('http://pods.openfaas:8081', 'rabbit', new AbortController().signal, () => Promise.reject(late))).rejects.toMatchObject({ code: 'HUB_SOURCE_UNREACHABLE' }) // prettier-ignore
})

test.each([
  ['what is no JSON', 'hello'],
  ['what no hub says', { connectors: 'many' }],
  ['a number in words', { connectors: [{ connector: 'rabbit', unsettled: 'many' }] }],
  ['more than a hub says', 'x'.repeat(2 * 1024 * 1024)],
])('one that answers %s makes the sum unknown', async (_, answer) => {
  const port = await replicas(hub(3), answer)
  await expect(asked(port, ['127.0.0.1', '127.0.0.2'])).rejects.toMatchObject({ code: 'HUB_SOURCE_UNREACHABLE', canRetry: true }) // prettier-ignore
})

test('one that does not listen makes the sum unknown', async () => {
  const port = await replicas(hub(3))
  await expect(asked(port, ['127.0.0.1', '127.0.0.9'])).rejects.toMatchObject({ code: 'HUB_SOURCE_UNREACHABLE' })
})

test('asking ends when it is not wanted any more', async () => {
  const port = await replicas('silent')
  const stop = new AbortController()
  const asking = heldByReplicas(`http://127.0.0.1:${port}`, 'rabbit', stop.signal)
  stop.abort()
  await expect(asking).rejects.toMatchObject({ code: 'HUB_SOURCE_UNREACHABLE' })
})
