// The promise itself, from outside: a hub process that is killed in the middle of a stream loses nothing.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { connectAsync } from 'mqtt'
import { expect, test } from 'vitest'

import { MosquittoUnavailable, startMosquitto } from '../../test/servers/mosquitto.ts'

const EVENTS = 5000
const KILLED_AT = 1500
const MAIN = join(import.meta.dirname, '../../src/cli/main.ts')

test(
  'a hub killed in the middle of 5,000 QoS 1 events delivers every one of them after it starts again',
  { timeout: 120_000 },
  async (context) => {
    const server = await startMosquitto().catch((error: unknown) => {
      if (!(error instanceof MosquittoUnavailable) || process.env['HUB_TEST_REQUIRE']?.includes('mosquitto') === true)
        throw error
      return context.skip(error.message)
    })
    await using _ = server
    const received = new Set<string>()
    let invocations = 0
    let unanswered = false
    const gateway = createServer((request, response) => {
      if (request.url?.startsWith('/system/namespaces') === true) return void response.end('["openfaas-fn"]')
      if (request.url?.startsWith('/system/functions') === true)
        return void response.end('[{"name":"sink","namespace":"openfaas-fn","annotations":{"topic":"kill/+"}}]')
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      request.on('end', () => {
        invocations += 1
        received.add(body)
        // From here on nothing is answered: what is in flight at the kill was never settled.
        if (!unanswered) response.end()
        if (received.size >= KILLED_AT && !killedOnce) {
          killedOnce = true
          unanswered = true
          hub.kill('SIGKILL')
        }
      })
    })
    let killedOnce = false
    gateway.listen(0, '127.0.0.1')
    await once(gateway, 'listening')
    const stateDir = mkdtempSync(join(tmpdir(), 'hub-kill-'))
    const start = (): ReturnType<typeof spawn> =>
      spawn(process.execPath, [MAIN, 'run', 'mqtt'], {
        stdio: 'ignore',
        env: {
          ...process.env,
          gateway_url: `http://127.0.0.1:${(gateway.address() as AddressInfo).port}`,
          HUB_MQTT_URL: server.url,
          HUB_MQTT_CLIENT_ID: 'kill-test',
          HUB_STATE_DIR: stateDir,
          HUB_ADMIN_PORT: '0',
          rebuild_interval: '1s',
        },
      })
    let hub = start()
    const client = await connectAsync(server.url, { protocolVersion: 5 })
    try {
      // Each topic is a lane of its own; the first event that arrives says that the hub has subscribed.
      while (received.size === 0) {
        await client.publishAsync('kill/0', 'hello', { qos: 1 })
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      received.clear()
      for (let event = 0; event < EVENTS; event++)
        await client.publishAsync(`kill/${event % 50}`, `event ${event}`, { qos: 1 })
      if (hub.exitCode === null && hub.signalCode === null) await once(hub, 'exit')
      expect(hub.signalCode).toBe('SIGKILL')
      unanswered = false
      const before = invocations
      hub = start()
      await expect.poll(() => [...received].filter((body) => body !== 'hello').length, { timeout: 60_000 }).toBe(EVENTS)
      expect(invocations).toBeGreaterThan(before)
    } finally {
      hub.kill('SIGKILL')
      await client.endAsync(true)
      gateway.closeAllConnections()
      gateway.close()
      rmSync(stateDir, { recursive: true, force: true })
    }
  },
)
