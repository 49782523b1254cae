// Compares what was sent with what a function received. Pure, so that it can be shown to fail.

export interface SentEvent {
  readonly id: string
  readonly key: string
  /** Ascends within the key, from 0. */
  readonly sequence: number
}

/** One invocation, in the order of arrival. */
export interface Received extends SentEvent {
  /** HTTP status of the answer; undefined: the connection ended before there was one. */
  status: number | undefined
  /** Place among all answers; undefined without one. */
  answered: number | undefined
}

export interface Verdict {
  /** Sent and never answered with 200. */
  readonly lost: readonly string[]
  /** Received and never sent. */
  readonly foreign: readonly string[]
  /** Invocations with an event that was done, or whose earlier invocation had no answer. A retry after a failure is none. */
  readonly duplicates: readonly string[]
  /** Where a key went backwards, as text. */
  readonly disorder: readonly string[]
}

export function judge(sent: readonly SentEvent[], received: readonly Received[]): Verdict {
  const done = received.filter(({ status }) => status === 200)
  const doneIds = new Set(done.map(({ id }) => id))
  const sentIds = new Set(sent.map(({ id }) => id))
  const answeredInOrder = done.toSorted((a, b) => (a.answered ?? 0) - (b.answered ?? 0))
  return {
    lost: [...sentIds].filter((id) => !doneIds.has(id)),
    foreign: received.filter(({ id }) => !sentIds.has(id)).map(({ id }) => id),
    duplicates: duplicatesOf(received),
    disorder: [...disorderOf(received, 'invoked'), ...disorderOf(answeredInOrder, 'done')],
  }
}

function duplicatesOf(received: readonly Received[]): string[] {
  const failedBefore = new Map<string, boolean>()
  const duplicates: string[] = []
  for (const { id, status } of received) {
    if (failedBefore.get(id) === false) duplicates.push(id)
    failedBefore.set(id, status !== undefined && status !== 200 && failedBefore.get(id) !== false)
  }
  return duplicates
}

/** The first time of each event counts; repeats may come at any time. */
function disorderOf(received: readonly Received[], what: string): string[] {
  const seen = new Set<string>()
  const last = new Map<string, Received>()
  const problems: string[] = []
  for (const event of received) {
    if (seen.has(event.id)) continue
    seen.add(event.id)
    const before = last.get(event.key)
    if (before !== undefined && before.sequence > event.sequence)
      problems.push(`${event.key}: ${event.sequence} was ${what} after ${before.sequence}`)
    else last.set(event.key, event)
  }
  return problems
}
