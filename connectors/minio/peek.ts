// What `dry-run` sees of buckets: what the hub has on its disk, then what MinIO tells to everybody who listens. What MinIO's
// own queue directory holds can be seen by nobody. Called by tools.ts.

import { HubError, detachedContext } from '../../src/sdk/index.ts'
import type { EventMessage, Peek, SourceContext, SourceLog, Subscription, ToolContext } from '../../src/sdk/index.ts'
import type { MinioConfig } from './client.ts'
import { bodyAsPosted } from './event.ts'
import { ListenSource } from './listen-source.ts'
import { isSilent } from './problems.ts'
import { Recent } from './recent.ts'

const UNSETTLED_MAX = 100
/** Of what was read from the disk last: events of the moment in which listening began may come both ways. */
const STORED_REMEMBERED = 10_000

/** @throws HubError as the source that listens; in webhook mode a MinIO that cannot be listened to is a caution instead */
export async function peekBuckets(
  config: MinioConfig,
  context: ToolContext,
  wanted: readonly Subscription[],
  signal: AbortSignal,
): Promise<Peek> {
  const isListen = config.receive === 'listen'
  // Before the disk is read, so that nothing happens in between.
  const listening = config.accessKey === undefined ? undefined : await listen(config, context, wanted, signal)
  const source = listening instanceof ListenSource ? listening : undefined
  const fromDisk = isListen ? '' : "events that the hub has taken and not settled are read from its disk in stateDir, and stay there (acknowledge: stored)" // prettier-ignore
  const copies = source === undefined ? '' : 'a connection of its own listens at MinIO, which tells each event to everybody who listens' // prettier-ignore
  return {
    means: sentence(isListen ? [copies] : [fromDisk, copies]),
    caution: isListen ? listenCaution(config) : webhookCaution(listening),
    events: () => events(config, context, source, signal),
    [Symbol.asyncDispose]: async () => await source?.close(),
  }
}

/** A source of our own: it takes nothing from others, and leaves nothing at MinIO. */
async function listen(
  config: MinioConfig,
  context: ToolContext,
  wanted: readonly Subscription[],
  signal: AbortSignal,
): Promise<ListenSource | HubError> {
  const isListen = config.receive === 'listen'
  const source = new ListenSource({ ...config, receive: 'listen', ...(isListen ? {} : { catchUp: 'off' }) }, sourceContext(context)) // prettier-ignore
  try {
    await source.connect(signal)
    await source.subscribe(wanted, signal)
    return source
  } catch (error) {
    await source.close()
    if (!isListen && error instanceof HubError && isSilent(error)) return error
    throw error
  }
}

function listenCaution({ catchUp }: MinioConfig): string {
  const nothingKept = 'MinIO keeps nothing for those who listen: what happened before now is not seen'
  return catchUp === 'off' ? nothingKept : `${nothingKept}, but for what a catch-up finds that has changed since the hub last listened` // prettier-ignore
}

function webhookCaution(listening: ListenSource | HubError | undefined): string {
  const queue = "what waits in the queue directory of MinIO's target cannot be seen"
  if (listening === undefined) return sentence([queue, 'nor can new events without credentials: set accessKey and secretKey, of a user that may s3:ListenBucketNotification']) // prettier-ignore
  if (listening instanceof HubError) return sentence([queue, `nor can new events: ${listening.message}; builds of MinIO that do not flush the listen API do not tell who listens`]) // prettier-ignore
  return sentence([queue, 'new events are seen as they happen, also those that the notification of a bucket does not send to the hub']) // prettier-ignore
}

function sentence(parts: readonly string[]): string {
  const text = parts.filter((part) => part !== '').join('; ')
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`
}

async function* events(
  config: MinioConfig,
  context: ToolContext,
  source: ListenSource | undefined,
  signal: AbortSignal,
): AsyncGenerator<EventMessage, void> {
  const isListen = config.receive === 'listen'
  const stored = new Recent(STORED_REMEMBERED)
  for (const event of isListen ? [] : context.stored()) {
    if (signal.aborted) return
    stored.add(event.id)
    yield event
  }
  if (source === undefined) return
  for await (const delivery of source.deliveries(signal)) {
    await delivery.settle({ kind: 'ack' })
    const { message } = delivery
    if (!stored.has(message.id)) yield isListen ? message : { ...message, body: bodyAsPosted(message.body) }
  }
}

/** With what the hub on this disk remembers, for a catch-up from where it would begin; what the source writes is for itself. */
function sourceContext(context: ToolContext): SourceContext {
  const { instance, clock, log } = context
  const nothing = (): void => undefined
  const warn: SourceLog['warn'] = (event, text, fields) => {
    // At the end nobody wants what was not shown any more; and it is no hub that is full.
    if (event === 'minio.paused')
      log.warn(event, 'events come faster than they are shown: MinIO drops what it cannot keep') // prettier-ignore
    else if (event !== 'minio.dropped') log.warn(event, text, fields)
  }
  const error: SourceLog['error'] = (event, text, fields) => log.error(event, text, fields)
  return detachedContext({ instance, clock, log: { debug: nothing, info: nothing, warn, error }, unsettledMax: UNSETTLED_MAX, recall: (key) => context.recall(key) }) // prettier-ignore
}
