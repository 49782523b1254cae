// The SQS server of the tests is a real one: it keeps its queues and messages, holds back what is in flight, and leaves
// nothing behind.

import {
  CreateQueueCommand,
  DeleteMessageCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SQSClient,
  SendMessageCommand,
} from '@aws-sdk/client-sqs'
import type { Message } from '@aws-sdk/client-sqs'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { noElasticMq, startElasticMq } from './elasticmq.ts'
import { tracesOf } from './server-traces.ts'

const SET_UP_MS = 900_000
const TEST_MS = 120_000
let missing: string | undefined

describe('elasticmq', { timeout: TEST_MS }, () => {
  beforeAll(async () => {
    missing = await noElasticMq()
  }, SET_UP_MS)
  beforeEach((context) => context.skip(missing !== undefined, missing))

  test('queues, messages and what is in flight outlive SIGKILL and a restart, and nothing is left in the end', async () => {
    await using server = await startElasticMq()
    const client = clientOf(server.url)
    const queue = { QueueUrl: (await client.send(new CreateQueueCommand({ QueueName: 'orders' }))).QueueUrl }
    for (const body of ['first', 'second', 'third'])
      await client.send(new SendMessageCommand({ ...queue, MessageBody: body }))
    const receive = async (VisibilityTimeout: number): Promise<Message | undefined> =>
      (await client.send(new ReceiveMessageCommand({ ...queue, VisibilityTimeout }))).Messages?.[0]
    const settled = await receive(600)
    const open = await receive(600)
    await client.send(new DeleteMessageCommand({ ...queue, ReceiptHandle: settled?.ReceiptHandle }))
    await server.kill()
    await expect(client.send(new GetQueueUrlCommand({ QueueName: 'orders' }))).rejects.toThrow('ECONNREFUSED')
    await server.start()
    const left = await receive(0)
    expect(new Set([settled?.Body, open?.Body, left?.Body])).toEqual(new Set(['first', 'second', 'third']))
    await server.restart()
    expect((await receive(600))?.Body).toBe(left?.Body)
    expect(await receive(600)).toBeUndefined()
    // The receipt of before is still good.
    await client.send(new DeleteMessageCommand({ ...queue, ReceiptHandle: open?.ReceiptHandle }))
    // The process and its folder.
    expect(tracesOf(server)).toHaveLength(2)
    await server[Symbol.asyncDispose]()
    expect(tracesOf(server)).toEqual([])
  })

  test('hands out the groups of a FIFO queue in order, and nothing of a group that is in flight', async () => {
    await using server = await startElasticMq()
    const client = clientOf(server.url)
    const Attributes = { FifoQueue: 'true', ContentBasedDeduplication: 'true' }
    const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: 'orders.fifo', Attributes }))
    for (const [MessageGroupId, MessageBody] of [
      ['a', 'a1'],
      ['a', 'a2'],
      ['a', 'a3'],
      ['b', 'b1'],
    ] as const)
      // prettier-ignore
      await client.send(new SendMessageCommand({ QueueUrl, MessageGroupId, MessageBody }))
    const receive = async (MaxNumberOfMessages: number): Promise<readonly (string | undefined)[]> =>
      ((await client.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages }))).Messages ?? []).map(
        ({ Body }) => Body,
      )
    const all = [...(await receive(2)), ...(await receive(10))]
    expect(all.filter((body) => body?.startsWith('a'))).toEqual(['a1', 'a2', 'a3'].slice(0, all.length - 1))
    expect(all).toContain('b1')
    // Some of `a` was in flight at the second call, whichever group came first.
    expect(all).not.toContain('a3')
    expect(await receive(10)).toEqual([])
  })
})

function clientOf(endpoint: string): SQSClient {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
  return new SQSClient({ endpoint, region: 'eu-west-1', credentials, maxAttempts: 1 })
}
