// Dead letters as events of another connector's broker, for hubs without a disk. Connects when the first comes, and anew
// after whatever went wrong.

import { HubError, LETTER_EVENT, asHubError, base64Body, letterEvent, letterHeaders } from '../sdk/index.ts'
import type { DeadLetter, Emitter, OutgoingEvent, Tools } from '../sdk/index.ts'
import type { DeadLetterSink } from '../delivery/dead-letters.ts'

export interface TopicLettersOptions {
  /** Instance, for messages. */
  readonly connector: string
  readonly topic: string
  readonly emitter: NonNullable<Tools['emitter']>
}

/** Durable is what the broker has confirmed. `dead-letters --broker <connector> --place <topic>` reads them. */
export class TopicLetters implements DeadLetterSink, AsyncDisposable {
  readonly #options: TopicLettersOptions
  readonly #closing = new AbortController()
  #emitter: Promise<Emitter> | undefined

  constructor(options: TopicLettersOptions) {
    this.#options = options
  }

  /** @throws HubError HUB_DEAD_LETTER_FAILED */
  async put(letter: DeadLetter): Promise<void> {
    const opened = (this.#emitter ??= this.#options.emitter(this.#closing.signal))
    try {
      await emitted(await opened, this.#options.topic, letter)
    } catch (error) {
      const { connector, topic } = this.#options
      const { code, message, hint } = asHubError(error, 'HUB_DEAD_LETTER_FAILED')
      // What this letter is cannot be mended by connecting anew, and others may be on their way.
      if (code !== 'HUB_USAGE') await this.#leave(opened)
      throw new HubError('HUB_DEAD_LETTER_FAILED', `${connector}, topic ${topic}, which takes the dead letters: ${message}`, { cause: error, canRetry: true, hint }) // prettier-ignore
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new HubError('HUB_DEAD_LETTER_FAILED', 'the hub ends'))
    if (this.#emitter !== undefined) await this.#leave(this.#emitter)
  }

  /** Others may have connected anew already. */
  async #leave(opened: Promise<Emitter>): Promise<void> {
    if (this.#emitter === opened) this.#emitter = undefined
    await opened.then((emitter) => emitter[Symbol.asyncDispose]()).catch(() => undefined)
  }
}

/** As it is where the broker can carry it; otherwise in base64: some keep text only, and nothing empty. */
async function emitted(emitter: Emitter, topic: string, letter: DeadLetter): Promise<void> {
  try {
    await emitter.emit(outgoing(topic, letter))
  } catch (error) {
    if (asHubError(error).code !== 'HUB_USAGE') throw error
    await emitter.emit(outgoing(topic, letter, 'base64'))
  }
}

function outgoing(topic: string, letter: DeadLetter, encoding?: 'base64'): OutgoingEvent {
  const { message } = letter
  const marks = Object.entries<string | number>({ ...letterHeaders(letter), [LETTER_EVENT]: letterEvent(message, encoding) }) // prettier-ignore
  return {
    topic,
    body: encoding === undefined ? message.body : base64Body(message.body),
    ...(message.contentType === undefined || encoding !== undefined ? {} : { contentType: message.contentType }),
    // A reason may quote what a function has answered; brokers take no control characters.
    headers: Object.fromEntries(
      marks.map(([name, value]) => [
        name,
        String(value)
          .replaceAll(/\p{Cc}/gu, ' ')
          .trim(),
      ]),
    ),
  }
}
