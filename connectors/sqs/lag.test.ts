// What SQS tells an autoscaler of the queues, on ElasticMQ. Receives nothing.

import { DeleteQueueCommand } from '@aws-sdk/client-sqs'
import { describe, expect, test } from 'vitest'

import { lagOf, lagProbe } from '../../test/tools-rig.ts'
import { Place, placeForEachTest } from './rig.ts'

let place: Place
await placeForEachTest((opened) => (place = opened))

describe('how much waits', { timeout: 60_000 }, () => {
  test('is what can be received, and what somebody has received and not deleted', async () => {
    const queue = await place.queue()
    for (let sent = 0; sent < 3; sent++) await place.send(queue, `${sent}`)
    const tools = await place.tools()
    expect(await lagOf(tools, [queue])).toEqual([{ topic: queue, kind: 'known', waiting: 3, unsettled: 0 }])
    await place.receive(queue)
    expect(await lagOf(tools, [queue])).toEqual([{ topic: queue, kind: 'known', waiting: 0, unsettled: 3 }])
    expect(await lagOf(tools, [place.urlOf(queue)])).toMatchObject([{ topic: place.urlOf(queue), unsettled: 3 }])
  })

  test('of a queue that is missing is unknown, and the others are known', async () => {
    const queue = await place.queue()
    await using probe = await lagProbe(await place.tools())
    const wanted = [queue, 'not-there'].map((topic) => ({ kind: 'topic', topic }) as const)
    const { signal } = new AbortController()
    expect(await probe.read(wanted, signal)).toMatchObject([{ topic: queue, kind: 'known' }, { topic: 'not-there', kind: 'unknown', problem: { code: 'HUB_SOURCE_FORBIDDEN' } }]) // prettier-ignore
    await place.client.send(new DeleteQueueCommand({ QueueUrl: place.urlOf(queue) }))
    expect(await probe.read(wanted, signal)).toMatchObject([{ kind: 'unknown' }, { kind: 'unknown' }])
  })

  test('cannot be asked where nothing answers', async () => {
    await expect(lagProbe(await place.tools({ endpoint: 'http://127.0.0.1:1' }))).rejects.toMatchObject({ code: 'HUB_SOURCE_UNREACHABLE' }) // prettier-ignore
  })
})
