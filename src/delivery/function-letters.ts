// Dead letters as calls of a function, for hubs without a disk: the original event, with why it is one in headers.

import { HubError, HeaderWriter, letterHeaders } from '../sdk/index.ts'
import type { DeadLetter } from '../sdk/index.ts'
import type { Invoker, Outcome } from '../invoke/outcome.ts'
import type { DeadLetterSink } from './dead-letters.ts'

export interface FunctionLettersOptions {
  /** Full name. */
  readonly function: string
  /** `async`: durable when the queue of the gateway has it. */
  readonly mode: 'sync' | 'async'
  readonly timeoutMs: number
  /** Its own: it is closed by whoever made it, after the last letter. */
  readonly invoker: Invoker
}

/** Durable is what the function has answered with 2xx, or the queue with 202. */
export class FunctionLetters implements DeadLetterSink {
  readonly #options: FunctionLettersOptions

  constructor(options: FunctionLettersOptions) {
    this.#options = options
  }

  /** @throws HubError HUB_DEAD_LETTER_FAILED */
  async put(letter: DeadLetter): Promise<void> {
    const { function: name, mode, timeoutMs, invoker } = this.#options
    const { path: _, ...event } = letter.message
    const message = { ...event, ...marked(event, headersOf(letter)) }
    const outcome = await invoker.invoke({ function: name, mode, message, timeoutMs, callbackUrl: undefined, responseBytesMax: 0, signal: undefined }) // prettier-ignore
    const problem = problemOf(outcome)
    if (problem === undefined) return
    throw new HubError('HUB_DEAD_LETTER_FAILED', `${name}, which takes the dead letters, ${problem}`, {
      canRetry: true,
      hint: `Deploy ${name} so that it answers 2xx once it has kept what it was given, or change deadLetters.`,
    })
  }
}

/** `hub-failed-at` becomes `X-Hub-Failed-At`. */
function headersOf(letter: DeadLetter): Readonly<Record<string, string>> {
  const writer = new HeaderWriter('')
  for (const [name, value] of Object.entries(letterHeaders(letter)))
    writer.own(`X-${name.split('-').map((word) => `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`).join('-')}`, value) // prettier-ignore
  return writer.build()
}

type Headers = Pick<DeadLetter['message'], 'headers' | 'moreHeaders'>

/** What an event brings under these names, however spelled, would say something else of the letter: many read the first value. */
function marked({ headers, moreHeaders = [] }: Headers, marks: Readonly<Record<string, string>>): Headers {
  // A letter without a status says so by having none.
  const taken = new Set([...Object.keys(marks), 'X-Hub-Status'].map((name) => name.toLowerCase()))
  const isFree = (name: string): boolean => !taken.has(name.toLowerCase().replace(/-enc$/, ''))
  const more = moreHeaders.filter((_, index) => isFree(moreHeaders[index - (index % 2)] ?? ''))
  return {
    headers: { ...Object.fromEntries(Object.entries(headers).filter(([name]) => isFree(name))), ...marks },
    moreHeaders: more,
  }
}

function problemOf(outcome: Outcome): string | undefined {
  switch (outcome.kind) {
    case 'accepted':
      return undefined
    case 'answered':
      return outcome.status >= 200 && outcome.status < 300 ? undefined : `answered ${outcome.status}`
    case 'interrupted':
    case 'unreachable':
      return `was not reached: ${outcome.error.message}`
    case 'cancelled':
      return 'was not called any more: the hub ends'
  }
}
