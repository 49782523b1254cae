// The tools of one connector as the command line uses them, without the command line.

import { vi } from 'vitest'

import { HubError, instanceConfig, systemClock } from '../src/sdk/index.ts'
import type {
  Connector,
  DeadLetter,
  EventMessage,
  HeldLetter,
  LagProbe,
  LetterBox,
  Tools,
  TopicLag,
} from '../src/sdk/index.ts'
import { LogRecord } from './conformance/recording.ts'

/** Reached only by what is broken. */
const DEADLINE_MS = 60_000

export interface ToolsOptions {
  readonly log?: LogRecord
  readonly stored?: readonly EventMessage[]
  /** Of the hub whose disk it is. */
  readonly state?: ReadonlyMap<string, string>
}

/** Named like its type, as `SourceRig` is, so that both are the same client to the broker. */
export async function toolsOf(
  connector: Connector,
  config: Readonly<Record<string, unknown>>,
  { log = new LogRecord(), stored = [], state }: ToolsOptions = {},
): Promise<Tools> {
  const { manifest } = connector
  const tools = await connector.tools?.(instanceConfig(manifest, config), { instance: manifest.name, clock: systemClock, log, stored: () => stored, recall: (key) => state?.get(key) }) // prettier-ignore
  if (tools === undefined) throw new Error(`${manifest.name} has no tools`)
  return tools
}

/** A look that is open: what was seen so far, until it is disposed. */
export class Look implements AsyncDisposable {
  readonly seen: EventMessage[] = []
  means = ''
  caution: string | undefined
  readonly #abort = new AbortController()
  #reading: Promise<void> = Promise.resolve()
  #close: (() => PromiseLike<void>) | undefined
  #error: unknown

  static async open(tools: Tools, topics: readonly string[]): Promise<Look> {
    const look = new Look()
    const peek = await tools.peek(topics.map((topic) => ({ kind: 'topic', topic })), look.#abort.signal) // prettier-ignore
    look.means = peek.means
    look.caution = peek.caution
    look.#close = () => peek[Symbol.asyncDispose]()
    look.#reading = look.#read(peek.events())
    return look
  }

  get bodies(): readonly string[] {
    return this.seen.map(({ body }) => Buffer.from(body).toString())
  }

  /** Waits until so many were seen. */
  async saw(count: number): Promise<void> {
    await vi.waitFor(
      () => {
        if (this.#error !== undefined) throw this.#error
        if (this.seen.length < count) throw new Error(`saw ${this.seen.length} of ${count} events`)
      },
      { timeout: DEADLINE_MS, interval: 5 },
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort()
    await this.#reading
    await this.#close?.()
  }

  async #read(events: AsyncIterable<EventMessage>): Promise<void> {
    try {
      for await (const event of events) this.seen.push(event)
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#error = error
    }
  }
}

/** All letters that are there, with the box still open in `use`. */
export async function withLetters<T>(
  tools: Tools,
  from: { readonly places?: readonly string[]; readonly topics?: readonly string[] },
  use: (letters: readonly HeldLetter[], box: LetterBox) => Promise<T> | T,
): Promise<T> {
  const { signal } = new AbortController()
  const box = await tools.letters?.({ places: from.places ?? [], topics: from.topics ?? [] }, signal)
  if (box === undefined) throw new HubError('HUB_INTERNAL', 'the broker keeps no dead letters under this configuration')
  await using open = box
  const letters: HeldLetter[] = []
  for await (const letter of open.letters(signal)) letters.push(letter)
  return await use(letters, open)
}

/** Their messages' bodies, as texts. */
export function letterBodies(letters: readonly { readonly letter: DeadLetter }[]): readonly string[] {
  return letters.map(({ letter }) => Buffer.from(letter.message.body).toString())
}

/** An open probe of how much waits. */
export async function lagProbe(tools: Tools): Promise<LagProbe> {
  const probe = await tools.lag?.(new AbortController().signal)
  if (probe === undefined) throw new HubError('HUB_INTERNAL', 'the broker does not tell under this configuration')
  return probe
}

/** What one look says of these topics, sorted by topic. */
export async function lagOf(tools: Tools, topics: readonly string[]): Promise<readonly TopicLag[]> {
  await using probe = await lagProbe(tools)
  const wanted = topics.map((topic) => ({ kind: 'topic', topic }) as const)
  const lags = await probe.read(wanted, new AbortController().signal)
  return lags.toSorted((left, right) => (left.topic < right.topic ? -1 : 1))
}
