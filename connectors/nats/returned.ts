// What a consumer of the server has out with somebody who is gone, as we begin to read it: gathered until there is evidence that
// all of it is there, so that it can be handed out in order and before anything new. Called by jetstream-source.ts.

import { sleep } from '../../src/sdk/index.ts'
import type { SourceContext } from '../../src/sdk/index.ts'
import type { Gathering } from './feed.ts'

/** What the server says of the consumer. Places are in the stream. */
export interface Outside {
  /** Delivered and not settled, without what we hold. */
  readonly out: number
  /** All up to there is settled. */
  readonly settled: number
  /** The latest that was delivered. */
  readonly last: number
}

export interface ReturnedOptions {
  /** For messages. */
  readonly name: string
  readonly ackWaitMs: number
  /** With so many held, no more are gathered. */
  readonly heldMax: number
  readonly context: Pick<SourceContext, 'clock' | 'log'>
  look(): Promise<Outside>
  /** All that we hold of it. */
  held(): number
}

/** The server looks for what is overdue now and then. */
const SLACK_MS = 250
const POLL_MIN_MS = 100
/** Within one ackWait: each may bring something new, which then waits with the rest. */
const POLLS_MAX = 20

/**
 * The server delivers again what is overdue, in the order in which it became overdue: that is not the order of the stream
 * where a sign of life came for a part of it only, and a server that is busy finds the overdue later than they are. So
 * pulling begins after `ackWait`, and ends when everything that was out at the start is gathered or settled, or nothing is
 * out any more. At the latest after another `ackWait`: one that lives may hold something for longer. Rejects when aborted
 * or when the server does not answer; it can then be called again.
 */
export async function gatherReturned(options: ReturnedOptions, gathering: Gathering): Promise<void> {
  const { ackWaitMs, heldMax, context, name } = options
  const { clock, log } = context
  const first = await options.look()
  if (first.out <= 0) return
  const before = gathering.upTo(first.last)
  const missing = (): number => first.out + before - gathering.upTo(first.last)
  const isComplete = async (): Promise<boolean> => {
    const { out, settled } = await options.look()
    return out <= 0 || settled >= first.last || missing() <= 0
  }
  log.info('nats.waiting', `${name}: ${first.out} messages are out with another instance; waiting up to ackWait for them, to keep the order`) // prettier-ignore

  const overdueAtMs = clock.monotonic() + ackWaitMs + SLACK_MS
  while (clock.monotonic() < overdueAtMs) {
    await sleep(clock, POLL_MIN_MS, gathering.signal)
    if (await isComplete()) return
  }

  const untilMs = clock.monotonic() + ackWaitMs
  let count = missing()
  while (clock.monotonic() < untilMs && options.held() < heldMax) {
    const missed = missing()
    await gathering.pull(Math.min(count, heldMax - options.held()))
    if (await isComplete()) return
    const isReturning = missing() < missed
    count = isReturning ? missing() : 1
    if (!isReturning) await sleep(clock, Math.max(POLL_MIN_MS, ackWaitMs / POLLS_MAX), gathering.signal)
  }
  log.info(
    'nats.order',
    `${name}: ${missing()} messages may still be out with another instance; reading on without them`,
  )
}
