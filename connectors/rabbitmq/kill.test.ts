// The promise from outside for a stream, whose place is ours to keep: hub and server are killed in the middle of it, and
// every event reaches its function. For queues, see faults.test.ts.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import amqp from 'amqplib'
import { expect, test } from 'vitest'

import { CliProcess } from '../../test/cli/cli.ts'
import { Gateway } from '../../test/hub/rig.ts'
import { noRabbit, startRabbit } from '../../test/servers/rabbitmq.ts'

const EVENTS = 5000
const KILLED_AT = 1500

test(
  'a stream: hub killed with SIGKILL, then its server: each of 5,000 events reaches its function',
  { timeout: 180_000 },
  async (context) => {
    const missing = await noRabbit()
    if (missing !== undefined) return context.skip(missing)
    await using server = await startRabbit()
    await using gateway = await new Gateway().start()
    gateway.functions = { sink: { topic: 'kill' } }
    const folder = mkdtempSync(join(tmpdir(), 'hub-kill-rabbitmq-'))
    const start = (): CliProcess =>
      new CliProcess(['run', 'rabbitmq'], {
        env: {
          gateway_url: gateway.url,
          rabbitmq_url: server.url,
          queues: '[{"name":"kill","durable":true,"type":"stream"}]',
          HUB_STATE_DIR: folder,
          HUB_ADMIN_PORT: '0',
        },
      })
    const received = (): number => new Set(gateway.invoked.map(({ body }) => body)).size
    try {
      await server.manage('PUT', 'queues/%2f/kill', { durable: true, arguments: { 'x-queue-type': 'stream' } })
      const client = await amqp.connect(server.url)
      const channel = await client.createConfirmChannel()
      for (let event = 0; event < EVENTS; event++) channel.sendToQueue('kill', Buffer.from(`event ${event}`))
      await channel.waitForConfirms()
      await client.close()

      {
        await using hub = start()
        await expect.poll(received, { timeout: 60_000, interval: 5 }).toBeGreaterThan(KILLED_AT)
        hub.signal('SIGKILL')
        await hub.ended()
      }
      expect(received()).toBeLessThan(EVENTS)
      const before = gateway.invoked.length
      await using again = start()
      await expect.poll(() => gateway.invoked.length, { timeout: 60_000, interval: 5 }).toBeGreaterThan(before + 500)
      await server.saved()
      await server.kill()
      await server.start()
      await expect.poll(received, { timeout: 90_000, interval: 50 }).toBe(EVENTS)
      again.signal('SIGTERM')
      expect((await again.ended()).code).toBe(0)
      // Twice is allowed for what was in flight at one of the two kills.
      expect(gateway.invoked.length - EVENTS).toBeLessThanOrEqual(2 * (128 + 1000))
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
)
