// What `dry-run` sees of queues, one looker for each, and what it must say before it begins. Called by tools.ts.

import { asHubError } from '../../src/sdk/index.ts'
import type { EventMessage, HubError, Peek, Subscription } from '../../src/sdk/index.ts'
import { eachTopic, findLookable, warnOf } from './access.ts'
import type { Access } from './access.ts'
import { Looker, RECEIVES_LEFT } from './looker.ts'
import type { Lookable } from './looker.ts'

/** One receive each for the look, for nobody taking it meanwhile, and for the hub. */
const RECEIVES_MIN = 3
/** Queues that the caution names with their numbers. */
const NAMED_MAX = 5

/** Ends `access` with it. @throws HubError HUB_SOURCE_* when no queue can be looked at */
export async function peekQueues(access: Access, wanted: readonly Subscription[], signal: AbortSignal): Promise<Peek> {
  const queues = await findQueues(access, wanted, signal)
  const lookers = queues.filter(isLookable).map((queue) => new Looker(queue, access, signal))
  return {
    means: 'Messages are received and given back at once; those that nobody takes then are received once more and hidden, until somebody takes others or the look ends.', // prettier-ignore
    caution: cautionOf(queues),
    events: () => merged(lookers, access, signal),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(lookers.map((looker) => looker.end()))
      access[Symbol.dispose]()
    },
  }
}

async function findQueues(
  access: Access,
  wanted: readonly Subscription[],
  signal: AbortSignal,
): Promise<readonly Lookable[]> {
  const topics = wanted.flatMap((one) => (one.kind === 'topic' ? [one.topic] : []))
  const queues = await eachTopic(topics, (topic) => findLookable(topic, access, signal), access, signal)
  // Under two topics the same messages would be shown twice.
  return queues.filter(({ url }, index) => queues.findIndex((one) => one.url === url) === index)
}

function isLookable({ receivesMax }: Lookable): boolean {
  return receivesMax === undefined || receivesMax >= RECEIVES_MIN
}

function cautionOf(queues: readonly Lookable[]): string {
  const parts = ['SQS shows no message without receiving it: each that is shown counts as received once more, twice where nobody takes it meanwhile, and seldom three times beside a hub that is busy'] // prettier-ignore
  const looked = queues.filter(isLookable)
  const limited = looked.flatMap(({ name, receivesMax }) => (receivesMax === undefined ? [] : [{ name, receivesMax }]))
  for (const { name, receivesMax } of limited.slice(0, NAMED_MAX))
    parts.push(`queue ${name} moves a message to its dead-letter queue instead of giving it out for the ${ordinal(receivesMax + 1)} time (maxReceiveCount ${receivesMax}), so it is looked at until a message has been received ${receivesMax - RECEIVES_LEFT} times; one that has been received ${receivesMax} times already is moved by the next receive, whoever makes it, and SQS does not tell before`) // prettier-ignore
  if (limited.length > NAMED_MAX) parts.push(`so do ${limited.length - NAMED_MAX} more queues by their own numbers`)
  if (looked.some(({ isFifo }) => isFifo)) parts.push('in a FIFO queue a group waits while one of its messages is looked at, and where nobody takes them no more than the first ten of a group are seen') // prettier-ignore
  const left = queues.filter((queue) => !isLookable(queue))
  for (const { name, receivesMax } of left.slice(0, NAMED_MAX))
    parts.push(`queue ${name} is not looked at: it gives out a message ${receivesMax === 1 ? 'once' : `${receivesMax} times`} only (maxReceiveCount), which is left to the hub`) // prettier-ignore
  if (left.length > NAMED_MAX) parts.push(`nor are ${left.length - NAMED_MAX} more queues`)
  return parts.join('; ')
}

function ordinal(count: number): string {
  const ends: Readonly<Record<string, string>> = { one: 'st', two: 'nd', few: 'rd' }
  return `${count}${ends[new Intl.PluralRules('en', { type: 'ordinal' }).select(count)] ?? 'th'}`
}

/** What is there first of whichever queue; one that fails does not end the others. */
async function* merged(
  lookers: readonly Looker[],
  { context: { log } }: Access,
  signal: AbortSignal,
): AsyncGenerator<EventMessage, void> {
  interface Turn {
    readonly looker: Looker
    readonly events: readonly EventMessage[] | undefined
    readonly problem?: HubError
  }
  const ask = (looker: Looker): Promise<Turn> => looker.next().then((events) => ({ looker, events }), (error: unknown) => ({ looker, events: undefined, problem: asHubError(error) })) // prettier-ignore
  const turns = new Map(lookers.map((looker) => [looker, ask(looker)]))
  while (turns.size > 0 && !signal.aborted) {
    const { looker, events, problem } = await Promise.race(turns.values())
    turns.delete(looker)
    if (problem !== undefined) {
      if (problem.code !== 'HUB_SOURCE_FORBIDDEN' || turns.size === 0) throw problem
      warnOf(log, 'sqs.look-ended', problem)
    }
    if (events === undefined) continue
    yield* events
    // At the end of the turns, so that a busy queue does not keep the others from theirs.
    turns.set(looker, ask(looker))
  }
}
