// The dead letters that SQS keeps: which queues hold them, and what going through them changes. Called by tools.ts.

import { HubError } from '../../src/sdk/index.ts'
import type { HeldLetter, LetterBox, LetterPlaces } from '../../src/sdk/index.ts'
import { eachTopic, findLookable } from './access.ts'
import type { Access } from './access.ts'
import { HIDE_S, LetterPlace } from './letter-place.ts'
import type { Lookable } from './looker.ts'
import { findQueue } from './queues.ts'

/**
 * Ends `access` with it. @returns undefined when under this configuration, or by their redrive policies, none of the topics
 * has its dead letters in a queue
 * @throws HubError HUB_SOURCE_*; HUB_USAGE when neither places nor topics are known
 */
export async function openLetterBox(
  access: Access,
  { places, topics }: LetterPlaces,
  signal: AbortSignal,
): Promise<LetterBox | undefined> {
  // prettier-ignore
  const names = places.length > 0 ? places : await deadLetterQueues(access, topics, signal)
  if (names.length === 0) return undefined
  const queues = new Map<string, Lookable>()
  for (const name of names) {
    const queue = await findLookable(name, access, signal)
    queues.set(queue.url, { ...queue, topic: queue.name })
  }
  return boxOf([...queues.values()], access)
}

/** By the redrive policies of the queues that functions want. */
async function deadLetterQueues(
  access: Access,
  topics: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  // prettier-ignore
  if (access.config.deadLetters === 'hub') return []
  if (topics.length === 0)
    throw new HubError('HUB_USAGE', 'which queues hold dead letters is not known, since no function has a topic', { hint: 'Name the dead-letter queue with --place.' }) // prettier-ignore
  const options = { ...access.queues, config: { ...access.config, deadLetters: 'auto' as const } }
  const urlOf = async (topic: string): Promise<string | undefined> =>
    (await findQueue(topic, options, signal)).letters?.url
  return [...new Set(await eachTopic(topics, urlOf, access, signal))]
}

function boxOf(queues: readonly Lookable[], access: Access): LetterBox {
  const places = queues.map((queue) => new LetterPlace(queue, access))
  return {
    place: `${queues.length === 1 ? 'queue' : 'queues'} ${queues.map(({ name }) => name).join(', ')} at ${access.at}`,
    caution: cautionOf(queues),
    removal: access.config.unwrap === 's3' ? 'A message of several S3 records is several letters; it is removed with the last of them, and before that all of them are there again the next time.' : undefined, // prettier-ignore
    letters: (signal) => lettersOf(places, signal),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(places.map((place) => place.end()))
      access[Symbol.dispose]()
    },
  }
}

async function* lettersOf(places: readonly LetterPlace[], signal: AbortSignal): AsyncGenerator<HeldLetter, void> {
  for (const place of places) yield* place.letters(signal)
}

function cautionOf(queues: readonly Lookable[]): string {
  const parts = [`SQS shows no message without receiving it: each letter counts as received once more and is hidden from others until this ends, or for ${HIDE_S / 60} minutes after a crash`] // prettier-ignore
  for (const { name, receivesMax } of queues)
    if (receivesMax !== undefined)
      parts.push(`queue ${name} has a redrive policy of its own and moves a letter away after ${receivesMax} receives (maxReceiveCount), this one included`) // prettier-ignore
  if (queues.some(({ isFifo }) => isFifo)) parts.push('a FIFO queue gives out no more than the first ten letters of a group until these are removed') // prettier-ignore
  return parts.join('; ')
}
