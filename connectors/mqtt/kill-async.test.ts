// The same promise over the asynchronous queue: hub and gateway are both killed in the middle of a stream, and every event
// reaches its function.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { connectAsync } from 'mqtt'
import { expect, test } from 'vitest'

import { CliProcess } from '../../test/cli/cli.ts'
import { noMosquitto, startMosquitto } from '../../test/servers/mosquitto.ts'
import { freePort } from '../../test/servers/process.ts'

const EVENTS = 5000
const KILLED_AT = 1500

/** Appends every body to a file, so that what it got outlives it. */
const HANDLER = `
const { appendFileSync } = require('node:fs')
module.exports = async (event, context) => {
  appendFileSync(process.env.SINK, event.body + '\\n')
  return context.status(200).succeed('')
}
`

test(
  'hub and gateway killed in the middle of 5,000 QoS 1 events: each one reaches its function through the queue',
  { timeout: 120_000 },
  async (context) => {
    const missing = noMosquitto({ any: true })
    if (missing !== undefined) return context.skip(missing)
    await using server = await startMosquitto({ any: true })
    const folder = mkdtempSync(join(tmpdir(), 'hub-kill-async-'))
    const sink = join(folder, 'sink.txt')
    writeFileSync(sink, '')
    mkdirSync(join(folder, 'sink'))
    writeFileSync(join(folder, 'sink/handler.js'), HANDLER)
    writeFileSync(
      join(folder, 'stack.yaml'),
      `functions:\n  sink:\n    lang: node22\n    handler: ./sink\n    environment: { SINK: ${sink} }\n    annotations: { topic: "${folder}/+" }\n`,
    )
    const received = (): Set<string> => new Set(readFileSync(sink, 'utf8').split('\n').filter((line) => line !== '')) // prettier-ignore
    const port = await freePort()
    const startGateway = (): CliProcess =>
      new CliProcess(['gateway', '--stack', join(folder, 'stack.yaml'), '--port', String(port), '--state-dir', join(folder, 'gateway')]) // prettier-ignore
    const startHub = (): CliProcess =>
      new CliProcess(['run', 'mqtt'], {
        env: {
          gateway_url: `http://127.0.0.1:${port}`,
          asynchronous_invocation: 'true',
          rebuild_interval: '1s',
          HUB_MQTT_URL: server.url,
          HUB_MQTT_CLIENT_ID: folder,
          HUB_STATE_DIR: join(folder, 'hub'),
          HUB_ADMIN_PORT: '0',
        },
      })
    const client = await connectAsync(server.url, { protocolVersion: 5 })
    try {
      const before = [startGateway(), startHub()]
      // The first event that arrives says that the hub has subscribed.
      await expect
        .poll(
          async () => {
            await client.publishAsync(`${folder}/0`, 'hello', { qos: 1 })
            return received().size
          },
          { timeout: 20_000 },
        )
        .toBe(1)
      const published = (async () => {
        for (let event = 0; event < EVENTS; event++)
          await client.publishAsync(`${folder}/${event % 50}`, `event ${event}`, { qos: 1 })
      })()
      await expect.poll(() => received().size, { timeout: 60_000, interval: 10 }).toBeGreaterThan(KILLED_AT)
      await Promise.all(before.map((one) => one[Symbol.asyncDispose]()))
      expect(received().size).toBeLessThan(EVENTS)
      await published

      await using again = startGateway()
      await using hub = startHub()
      await expect.poll(() => received().size, { timeout: 60_000, interval: 50 }).toBe(EVENTS + 1)
      expect(`${again.stderr}${hub.stderr}`).not.toContain('dead letter')
    } finally {
      await client.endAsync(true)
      rmSync(folder, { recursive: true, force: true })
    }
  },
)
