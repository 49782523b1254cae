// The bare loop on SQS: a few long polls at a time, and deletes in batches. Forked by throughput.ts.

import { DeleteMessageBatchCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs'

import { Batches } from '../../connectors/sqs/batches.ts'
import { clientOf } from '../../connectors/sqs/broker.ts'
import { BareLoop, bareArguments } from './bare-loop.ts'
import { BENCH_QUEUE, benchQueueUrl } from './brokers.ts'

const { gatewayUrl, port, concurrency, window } = bareArguments()
const RECEIVED_AT_ONCE = 10
const loop = new BareLoop(gatewayUrl, concurrency)
const client = clientOf(`http://127.0.0.1:${port}`)
const QueueUrl = benchQueueUrl(port)
const deletes = new Batches({
  underWayMax: 8,
  send: async (handles: readonly string[]) => {
    const Entries = handles.map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle }))
    const { Failed: failed = [] } = await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))
    if (failed.length > 0) throw new Error(`${failed.length} messages were not deleted`)
    return handles
  },
})

async function receive(): Promise<void> {
  for (;;) {
    await loop.room(window)
    const command = new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: RECEIVED_AT_ONCE, WaitTimeSeconds: 1 })
    const { Messages: messages = [] } = await client.send(command)
    for (const { Body: body = '', ReceiptHandle: handle = '' } of messages)
      loop.take(BENCH_QUEUE, Buffer.from(body), () => void deletes.add(handle))
  }
}

await Promise.all(Array.from({ length: Math.ceil(window / RECEIVED_AT_ONCE / 4) }, receive))
