// What the tests of this connector share: one server for a file, queues of its own for each test, and sources.

import { SendMessageCommand } from '@aws-sdk/client-sqs'
import type { MessageAttributeValue, SQSClient } from '@aws-sdk/client-sqs'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'

import { noElasticMq, startElasticMq } from '../../test/servers/elasticmq.ts'
import type { ElasticMqServer } from '../../test/servers/elasticmq.ts'
import { SourceRig } from '../../test/source-rig.ts'
import type { RigOptions } from '../../test/source-rig.ts'
import { toolsOf } from '../../test/tools-rig.ts'
import type { ToolsOptions } from '../../test/tools-rig.ts'
import type { Tools } from '../../src/sdk/index.ts'
import { CREDENTIALS, REGION, clientOf, countOf, createQueue, receiveAll } from './broker.ts'
import connector from './connector.ts'

export { ack, until } from '../../test/source-rig.ts'

export const WAIT = { timeout: 20_000, interval: 20 } as const
let queues = 0

export interface Sent {
  readonly group?: string
  readonly attributes?: Readonly<Record<string, MessageAttributeValue>>
}

export class Place implements AsyncDisposable {
  readonly server: ElasticMqServer
  readonly client: SQSClient
  readonly #sources: SourceRig[] = []

  constructor(server: ElasticMqServer) {
    this.server = server
    this.client = clientOf(server.url)
  }

  /** @returns its name, under which no other test has one */
  async queue({
    fifo = false,
    letters,
    receivesMax = 100,
  }: { readonly fifo?: boolean; readonly letters?: string; readonly receivesMax?: number } = {}): Promise<string> {
    // prettier-ignore
    const name = `queue-${process.pid}-${(queues += 1)}${fifo ? '.fifo' : ''}`
    await createQueue(this.client, name, letters, receivesMax)
    return name
  }

  urlOf(queue: string): string {
    return `${this.server.url}/000000000000/${queue}`
  }

  async send(queue: string, body: string, { group = 'group', attributes = {} }: Sent = {}): Promise<void> {
    const fifo = { MessageGroupId: group, MessageDeduplicationId: `${process.pid}-${(queues += 1)}` }
    const command = new SendMessageCommand({
      QueueUrl: this.urlOf(queue),
      MessageBody: body,
      MessageAttributes: attributes,
      ...(queue.endsWith('.fifo') ? fifo : {}),
    })
    await this.client.send(command)
  }

  /** Messages that the queue has, hidden ones included. */
  count(queue: string): Promise<number> {
    return countOf(this.client, this.urlOf(queue))
  }

  /** Those that are visible now; hidden from then on. */
  receive(queue: string): ReturnType<typeof receiveAll> {
    return receiveAll(this.client, this.urlOf(queue))
  }

  tools(config: Readonly<Record<string, unknown>> = {}, options?: ToolsOptions): Promise<Tools> {
    return toolsOf(connector, { endpoint: this.server.url, region: REGION, ...CREDENTIALS, ...config }, options)
  }

  /** Not connected. Hides messages for so long that none comes back by itself. */
  source(config: Readonly<Record<string, unknown>> = {}, options?: RigOptions): SourceRig {
    const defaults = { endpoint: this.server.url, region: REGION, ...CREDENTIALS, waitTime: '1s', visibilityTimeout: '10m' } // prettier-ignore
    const rig = new SourceRig(connector, { ...defaults, ...config }, options)
    this.#sources.push(rig)
    return rig
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const source of this.#sources) await source[Symbol.asyncDispose]()
    this.client.destroy()
  }
}

/** For a file of tests: one server for all of them, and a place for each, which `open` is told of before it runs. */
export async function placeForEachTest(open: (place: Place) => void): Promise<void> {
  const missing = await noElasticMq()
  let server: ElasticMqServer | undefined
  let place: Place | undefined
  beforeAll(async () => {
    if (missing === undefined) server = await startElasticMq()
  }, 120_000)
  afterAll(async () => await server?.[Symbol.asyncDispose]())
  beforeEach((context) => {
    if (server === undefined) return context.skip(missing)
    place = new Place(server)
    open(place)
  })
  afterEach(async () => await place?.[Symbol.asyncDispose]())
}
