// What a real broker tells an autoscaler of the queues, and that asking leaves no trace.

import { describe, expect, test } from 'vitest'

import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { lagOf, lagProbe } from '../../test/tools-rig.ts'
import { Place, placeForEachTest } from './rig.ts'

let place: Place
await placeForEachTest((opened) => (place = opened))

const never = new AbortController().signal
const topic = (name: string) => ({ kind: 'topic', topic: name }) as const

describe('how much waits', () => {
  test('is what is ready in each queue, and stays there', async () => {
    await place.queue('full', { 'x-queue-type': 'quorum' })
    await place.queue('empty')
    for (let sent = 0; sent < 3; sent++) await place.send('full', `${sent}`)
    const tools = await place.tools()
    await expect.poll(() => lagOf(tools, ['full', 'empty'])).toEqual([
      { topic: 'empty', kind: 'known', waiting: 0, unsettled: undefined },
      { topic: 'full', kind: 'known', waiting: 3, unsettled: undefined },
    ]) // prettier-ignore
    expect(await place.ready('full')).toBe(3)
    expect((await place.channel.checkQueue('full')).consumerCount).toBe(0)
    // Never delivered: not even marked so.
    expect((await place.take('full'))?.fields.redelivered).toBe(false)
  })

  test('one probe says what is true at each time, of what is wanted at that time', async () => {
    await place.queue('first')
    await place.queue('second')
    await using probe = await lagProbe(await place.tools())
    expect(await probe.read([topic('first')], never)).toEqual([{ topic: 'first', kind: 'known', waiting: 0, unsettled: undefined }]) // prettier-ignore
    await place.send('second', 'event')
    expect(await probe.read([topic('second')], never)).toEqual([{ topic: 'second', kind: 'known', waiting: 1, unsettled: undefined }]) // prettier-ignore
    expect(await probe.read([], never)).toEqual([])
  })

  test('is unread where a hub makes the queue, and unknown where nobody does; the others are known', async () => {
    await place.queue('there')
    const wanted = ['there', 'gone']
    expect(await lagOf(await place.tools({ declare: true }), wanted)).toMatchObject([{ topic: 'gone', kind: 'unread' }, { topic: 'there', kind: 'known' }]) // prettier-ignore
    expect(await lagOf(await place.tools({ queues: [{ name: 'gone', durable: true }] }), wanted)).toMatchObject([{ kind: 'unread' }, { kind: 'known' }]) // prettier-ignore
    expect(await lagOf(await place.tools(), wanted)).toMatchObject([{ topic: 'gone', kind: 'unknown', problem: { code: 'HUB_TOPIC_MISSING' } }, { kind: 'known' }]) // prettier-ignore
    expect(await place.names('queues')).toEqual(['there'])
  })

  test('of a stream is not known', async () => {
    await place.queue('log', { 'x-queue-type': 'stream' })
    await place.send('log', 'event')
    const [lag] = await lagOf(await place.tools(), ['log'])
    expect(lag).toMatchObject({ kind: 'unknown', problem: { code: 'HUB_TOPIC_INVALID', message: expect.stringContaining('log is a stream') as string } }) // prettier-ignore
  })

  test('with an exchange is that of the one queue of this instance', async () => {
    await place.channel.assertExchange('events', 'topic')
    const tools = await place.tools({ exchange: 'events', declare: true })
    expect(await lagOf(tools, ['orders.*', 'bills.#'])).toEqual([{ topic: 'connector-hub-rabbitmq', kind: 'unread' }])
    await place.queue('connector-hub-rabbitmq')
    await place.send('connector-hub-rabbitmq', 'event')
    expect(await lagOf(tools, ['orders.*', 'bills.#'])).toEqual([{ topic: 'connector-hub-rabbitmq', kind: 'known', waiting: 1, unsettled: undefined }]) // prettier-ignore
    expect(await lagOf(tools, [])).toEqual([])
  })

  test('cannot be asked over a connection that broke, and can be over another', async () => {
    await place.queue('orders')
    await using proxy = await startTcpProxy(Number(new URL(place.vhost.url).port))
    const url = new URL(place.vhost.url)
    url.port = String(proxy.port)
    const tools = await place.tools({ url: url.href })
    await using probe = await lagProbe(tools)
    expect(await probe.read([topic('orders')], never)).toHaveLength(1)
    proxy.cut()
    await expect.poll(() => probe.read([topic('orders')], never).catch((error: unknown) => error)).toMatchObject({ code: 'HUB_SOURCE_LOST', canRetry: true }) // prettier-ignore
    expect(await lagOf(tools, ['orders'])).toMatchObject([{ kind: 'known' }])
  })

  test('is refused as the source is: credentials', async () => {
    const url = new URL(place.vhost.url)
    url.password = 'wrong-secret'
    await expect(lagProbe(await place.tools({ url: url.href }))).rejects.toMatchObject({ code: 'HUB_SOURCE_AUTH', canRetry: false }) // prettier-ignore
  })
})
