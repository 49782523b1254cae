// Which dead letters are done with, since Kafka removes no single record: kept as the offsets of a group of their own, which
// nobody is a member of. Up to the offset all are; which ones behind it, its metadata says. Owned by dead-letters.ts.

import { deleteRecordsV2, offsetCommitV7 } from '@platformatic/kafka'

import { HubError } from '../../src/sdk/index.ts'
import { partitionKey } from './assignor.ts'
import type { Cluster } from './cluster.ts'
import { commits } from './offsets.ts'
import type { Coordinator } from './offsets.ts'
import { errorIds, grantHint, kafkaProblem } from './problems.ts'
import { decodeProgress, encodeProgress } from './progress.ts'
import { leaderOf } from './topic-state.ts'

/** How far behind the oldest letter that stays one can be noted: as many bits as the metadata of a commit takes by default. */
export const SPAN_MAX = 24_000
const NO_GENERATION = -1
const NO_MEMBER = ''
const NO_LEADER_EPOCH = -1

export interface MarksOptions {
  readonly group: string
  readonly topic: string
  readonly partition: number
  readonly coordinator: Coordinator
}

export class LetterMarks {
  readonly #options: MarksOptions
  /** All before it are done with. */
  #floor: bigint
  /** Done with behind the floor: where the record before it ended, and where it ends itself. */
  readonly #islands = new Map<bigint, bigint>()
  /** Offsets of all of them. */
  readonly #done = new Set<bigint>()
  #committed: bigint | undefined
  /** The next commit, as long as it has not begun. */
  #next: Promise<void> | undefined
  #committing: Promise<void> = Promise.resolve()

  /** @param floor where reading begins */
  constructor(options: MarksOptions, floor: bigint) {
    this.#options = options
    this.#floor = floor
  }

  /** As far as a commit of ours has noted that all are done with; undefined: there was none. */
  get committed(): bigint | undefined {
    return this.#committed
  }

  /**
   * This record is done with. Resolves once the brokers know.
   * @param after the record before it, or where reading began: between them there is none
   * @throws HubError
   */
  async remove(offset: bigint, after: bigint): Promise<void> {
    if (offset - this.#floor >= SPAN_MAX && after > this.#floor) throw this.#tooFar(offset)
    this.settled(offset, after)
    this.#next ??= this.#committing.catch(() => undefined).then(() => {
      this.#next = undefined
      return (this.#committing = this.#commit())
    }) // prettier-ignore
    await this.#next
  }

  /** It was done with before. */
  settled(offset: bigint, after: bigint): void {
    this.#done.add(offset)
    this.#islands.set(after, offset + 1n)
    for (let end = this.#islands.get(this.#floor); end !== undefined; end = this.#islands.get(this.#floor)) {
      this.#islands.delete(this.#floor)
      this.#done.delete(end - 1n)
      this.#floor = end
    }
  }

  #tooFar(offset: bigint): HubError {
    const { topic, partition } = this.#options
    const key = partitionKey(topic, partition)
    return new HubError('HUB_USAGE', `${key}@${offset} is ${offset - this.#floor} records behind ${key}@${this.#floor}, the oldest that stays`, {
      hint: `Redrive or purge the oldest ones first: Kafka has room to note ${SPAN_MAX} records behind the oldest that stays.`,
    }) // prettier-ignore
  }

  async #commit(): Promise<void> {
    const { group, topic, partition, coordinator } = this.#options
    const about = `group ${group}: what is removed of ${topic} cannot be noted`
    try {
      const known = (await commits([{ topic, partition }], group, coordinator)).get(partitionKey(topic, partition))
      const offset = known !== undefined && known.offset > this.#floor ? known.offset : this.#floor
      // Somebody else may have removed others meanwhile.
      const theirs = known === undefined ? [] : decodeProgress(known.metadata).settled.map((one) => known.offset + BigInt(one))
      const settled = [...new Set([...this.#done, ...theirs])].filter((one) => one >= offset).map((one) => Number(one - offset)).toSorted((left, right) => left - right) // prettier-ignore
      const committedMetadata = encodeProgress({ settled, tries: new Map() })
      const commit = { partitionIndex: partition, committedOffset: offset, committedLeaderEpoch: NO_LEADER_EPOCH, committedMetadata } // prettier-ignore
      await coordinator.ask((connection) => offsetCommitV7.api.async(connection, group, NO_GENERATION, NO_MEMBER, null, [{ name: topic, partitions: [commit] }])) // prettier-ignore
      this.#committed = offset
    } catch (error) {
      throw commitProblem(error, about, group)
    }
  } // prettier-ignore
}

function commitProblem(error: unknown, about: string, group: string): HubError {
  const ids = errorIds(error)
  const { code, message, canRetry, hint } = kafkaProblem(error, about)
  const own = ids.includes('OFFSET_METADATA_TOO_LARGE')
    ? 'Redrive or purge the oldest ones first, or raise offset.metadata.max.bytes of the brokers to its default.'
    : ids.includes('GROUP_AUTHORIZATION_FAILED')
      ? grantHint('Read', 'group', group)
      : ids.includes('UNKNOWN_MEMBER_ID')
        ? `The group ${group} has members: stop what reads with it, its offsets are where the removed letters are noted.`
        : hint
  return new HubError(code, message, { cause: error, canRetry, hint: own })
}

/** Of the records before `offset`: they are gone for every reader. @throws HubError, or what the client library throws */
export async function deleteBefore(
  topic: string,
  partition: number,
  offset: bigint,
  cluster: Cluster,
  timeoutMs: number,
): Promise<void> {
  const leader = leaderOf((await cluster.topics([topic])).get(topic), partition)
  if (leader === undefined) throw new HubError('HUB_SOURCE_UNREACHABLE', `${partitionKey(topic, partition)} has no leader at the moment`, { canRetry: true }) // prettier-ignore
  const connection = await cluster.connection(leader, 'group')
  await deleteRecordsV2.api.async(connection, [{ name: topic, partitions: [{ partitionIndex: partition, offset }] }], timeoutMs) // prettier-ignore
}
