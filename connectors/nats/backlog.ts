// How far each subject's consumers are behind, asked of the server now and then and kept for the metrics. Owned by
// jetstream-source.ts.

import type { JetStreamManager } from '@nats-io/jetstream'

import { Repeat, errorText } from '../../src/sdk/index.ts'
import type { SourceContext, TopicBacklog } from '../../src/sdk/index.ts'
import type { Held } from './held.ts'
import type { Place } from './streams.ts'

const EVERY_MS = 5000

export interface BacklogOptions {
  readonly manager: JetStreamManager
  readonly held: Held
  readonly context: Pick<SourceContext, 'clock' | 'log'>
  /** The consumers of each subject that is read. */
  places(): Iterable<readonly [string, readonly Place[]]>
}

interface Counted {
  readonly waiting: number
  readonly unsettled: number
  readonly places: readonly Place[]
}

export class BacklogWatch {
  readonly #options: BacklogOptions
  #counted = new Map<string, Counted>()
  readonly #repeat: Repeat

  constructor(options: BacklogOptions) {
    this.#options = options
    this.#repeat = new Repeat(options.context.clock, EVERY_MS, () => this.#refresh())
    this.#repeat.now()
  }

  /** As of the last answer. */
  read(): readonly TopicBacklog[] {
    return [...this.#counted].map(([topic, { waiting, unsettled, places }]) => {
      const oldest = places.map(({ consumer }) => this.#options.held.of(consumer).oldestMs).filter((one) => one !== undefined) // prettier-ignore
      return {
        topic,
        waiting,
        unsettled,
        // The server tells how many there are, not how old.
        oldestWaitingMs: undefined,
        oldestUnsettledMs: oldest.length === 0 ? undefined : Math.min(...oldest),
      }
    })
  }

  stop(): void {
    this.#repeat.stop()
  }

  /** Never rejects: what cannot be asked keeps its last answer. */
  async #refresh(): Promise<void> {
    const { manager, context } = this.#options
    const counted = new Map<string, Counted>()
    for (const [subject, places] of this.#options.places()) {
      try {
        const infos = await Promise.all(places.map(({ stream, consumer }) => manager.consumers.info(stream, consumer)))
        const waiting = infos.reduce((sum, info) => sum + info.num_pending, 0)
        const unsettled = infos.reduce((sum, info) => sum + info.num_ack_pending, 0)
        counted.set(subject, { waiting, unsettled, places })
      } catch (error) {
        if (this.#repeat.isStopped) return
        context.log.debug('nats.no-backlog', `${subject}: ${errorText(error)}`)
        const last = this.#counted.get(subject)
        if (last !== undefined) counted.set(subject, last)
      }
    }
    this.#counted = counted
  }
}
