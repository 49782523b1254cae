import { connect } from '@nats-io/transport-node'
import { expect, test } from 'vitest'

import { noNats, startNats } from '../../test/servers/nats.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { Flushes } from './flushes.ts'

test('what the server has read is confirmed, many at once; a connection that ends confirms nothing', async (context) => {
  const missing = await noNats()
  if (missing !== undefined) return context.skip(missing)
  await using server = await startNats({ jetStream: false })
  await using proxy = await startTcpProxy(server.port)
  const nats = await connect({ servers: `nats://127.0.0.1:${proxy.port}`, reconnect: false })
  const flushes = new Flushes(nats)
  const read = async (): Promise<number> => {
    const { in_msgs } = (await (await fetch(`${server.monitorUrl}/varz`)).json()) as { in_msgs: number }
    return in_msgs
  }
  const confirmed = Array.from({ length: 100 }, () => {
    nats.publish('any', '')
    return flushes.done()
  })
  await Promise.all(confirmed)
  expect(await read()).toBe(100)
  // One for the first, which is under way at once, and at most one for all others.
  expect(new Set(confirmed).size).toBeLessThanOrEqual(2)
  proxy.silence(true)
  nats.publish('any', '')
  const first = flushes.done()
  const second = flushes.done()
  proxy.cut()
  await expect(first).rejects.toThrow(/ended|closed/)
  await expect(second).rejects.toThrow(/ended|closed/)
  await expect(flushes.done()).rejects.toThrow(/ended|closed/)
  expect(await read()).toBe(100)
})
