// How many messages wait in each queue that is read, asked of SQS now and then and kept for the metrics. Owned by
// sqs-source.ts.

import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs'
import type { SQSClient } from '@aws-sdk/client-sqs'

import { Repeat, errorText } from '../../src/sdk/index.ts'
import type { SourceContext, TopicBacklog } from '../../src/sdk/index.ts'
import type { Part } from './entry.ts'
import type { Held } from './held.ts'
import type { Lane } from './lane.ts'

/** Each request costs, and the counts are approximate anyway. */
const EVERY_MS = 30_000

export interface DepthsOptions {
  readonly client: SQSClient
  readonly held: Held
  readonly context: Pick<SourceContext, 'clock' | 'log'>
  /** Those that are read. */
  readonly lanes: () => readonly Lane<Part>[]
}

export class Depths {
  readonly #options: DepthsOptions
  /** By URL. */
  #visible = new Map<string, number>()
  readonly #repeat: Repeat

  constructor(options: DepthsOptions) {
    this.#options = options
    this.#repeat = new Repeat(options.context.clock, EVERY_MS, () => this.#refresh())
  }

  /** Now, and then now and again: there are other queues. */
  look(): void {
    this.#repeat.now()
  }

  /** As of the last answer. */
  read(): readonly TopicBacklog[] {
    const { lanes, held } = this.#options
    return lanes().flatMap((lane) => {
      const visible = this.#visible.get(lane.queue.url)
      if (visible === undefined) return []
      const { waiting, unsettled, oldestMs: oldestUnsettledMs } = held.of(lane)
      return [{ topic: lane.queue.topic, waiting: visible + waiting, unsettled, oldestWaitingMs: undefined, oldestUnsettledMs }] // prettier-ignore
    })
  }

  stop(): void {
    this.#repeat.stop()
  }

  /** Never rejects: what cannot be asked is not told. */
  async #refresh(): Promise<void> {
    const { client, context, lanes } = this.#options
    const visible = new Map<string, number>()
    for (const { queue } of lanes()) {
      const command = new GetQueueAttributesCommand({ QueueUrl: queue.url, AttributeNames: ['ApproximateNumberOfMessages'] }) // prettier-ignore
      try {
        const { Attributes: attributes } = await client.send(command)
        visible.set(queue.url, Number(attributes?.['ApproximateNumberOfMessages'] ?? 0))
      } catch (error) {
        if (this.#repeat.isStopped) return
        context.log.debug('sqs.no-depth', `queue ${queue.name}: ${errorText(error)}`)
      }
    }
    this.#visible = visible
  }
}
