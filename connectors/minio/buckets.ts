// Keeps the notifications of buckets as they are wanted, and remembers which of them are ours, so that one whose topic goes
// while the hub is away is still removed. Owned by webhook-source.ts.

import { HubError } from '../../src/sdk/index.ts'
import type { SourceContext } from '../../src/sdk/index.ts'
import { configureBucket } from './bucket-notification.ts'
import type { OwnEntry } from './bucket-notification.ts'
import type { MinioClient, MinioConfig } from './client.ts'
import { isMissingBucket } from './problems.ts'
import type { Wish, Wishes } from './wishes.ts'

const STATE_KEY = 'minio.configured-buckets'

export class Buckets {
  readonly #client: MinioClient
  readonly #entry: OwnEntry
  readonly #context: SourceContext
  /** Buckets that may have an entry of ours, as they were last written down. */
  #ours: readonly string[] | undefined

  constructor(client: MinioClient, { targetArn }: MinioConfig, context: SourceContext) {
    this.#client = client
    this.#entry = { id: `connector-hub-${context.instance}`, targetArn }
    this.#context = context
  }

  /** @returns what MinIO refused of what is wanted; what it refuses to have removed is said, and tried at the next call */
  async set({ byBucket }: Wishes, signal: AbortSignal): Promise<readonly HubError[]> {
    this.#ours ??= parse(await this.#context.state.get(STATE_KEY))
    const ours = new Set([...this.#ours, ...byBucket.keys()])
    // Written first: an entry that nobody remembers would stay for ever.
    await this.#save(ours)
    const refused: HubError[] = []
    for (const [bucket, wish] of byBucket) await this.#configure(bucket, wish, signal).catch(collect(refused))
    for (const bucket of [...ours].filter((one) => !byBucket.has(one)))
      if (await this.#remove(bucket, signal)) ours.delete(bucket)
    await this.#save(ours)
    return refused
  }

  async #remove(bucket: string, signal: AbortSignal): Promise<boolean> {
    const problems: HubError[] = []
    await this.#configure(bucket, undefined, signal).catch(collect(problems))
    // A bucket that is gone has no notification either.
    const [problem] = problems.filter((one) => !isMissingBucket(one))
    if (problem === undefined) return true
    const { code, message, hint } = problem
    this.#context.log.warn('minio.not-removed', `the notification could not be removed: ${message}. ${hint}`, { code })
    return false
  }

  async #configure(bucket: string, wish: Wish | undefined, signal: AbortSignal): Promise<void> {
    if (!(await configureBucket(this.#client, bucket, wish, this.#entry, signal))) return
    const text = wish === undefined ? 'removed from' : 'set for'
    this.#context.log.info('minio.configured', `notification ${this.#entry.id} was ${text} bucket ${bucket}`, {
      bucket,
    })
  }

  async #save(ours: ReadonlySet<string>): Promise<void> {
    const next = [...ours].toSorted()
    if (JSON.stringify(next) === JSON.stringify(this.#ours)) return
    await this.#context.state.set(STATE_KEY, JSON.stringify(next))
    this.#ours = next
  }
}

/** @throws what is no refusal of MinIO: the connection is gone, or an abort */
function collect(into: HubError[]): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof HubError) || error.canRetry) throw error
    into.push(error)
  }
}

function parse(text: string | undefined): readonly string[] {
  const value: unknown = text === undefined ? [] : JSON.parse(text)
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string').toSorted() : []
}
