// Async calls that no retry could deliver, on the disk: bounded, the oldest make room. Owned by async-calls.ts; read by
// `dead-letters --async`, which may remove letters meanwhile.

import { join } from 'node:path'

import { SqliteDeadLetters } from '../../delivery/dead-letters.ts'
import type { DeadLetterSink } from '../../delivery/dead-letters.ts'
import { formatSize } from '../../sdk/index.ts'
import type { DeadLetter } from '../../sdk/index.ts'
import type { LetterReadings } from './queue-metrics.ts'

export interface CallLettersOptions {
  readonly stateDir: string
  readonly bytesMax: number
  readonly log: (line: string) => void
}

export class CallLetters implements DeadLetterSink, LetterReadings, Disposable {
  readonly #store: SqliteDeadLetters
  #dropped = 0

  /** @throws HubError HUB_STATE_UNUSABLE */
  constructor({ stateDir, bytesMax, log }: CallLettersOptions) {
    const dropped = (count: number): void => {
      this.#dropped += count
      const what = count === 1 ? 'The oldest dead letter is' : `The ${count} oldest dead letters are`
      log(`${what} dropped: async_dead_letters_max is ${formatSize(bytesMax)}`)
    }
    this.#store = new SqliteDeadLetters(join(stateDir, 'async-dead-letters.db'), { bytesMax, dropped })
  }

  get kept(): number {
    return this.#store.count()
  }

  get dropped(): number {
    return this.#dropped
  }

  put(letter: DeadLetter): Promise<void> {
    return this.#store.put(letter)
  }

  [Symbol.dispose](): void {
    this.#store.close()
  }
}
