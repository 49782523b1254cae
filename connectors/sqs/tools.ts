// What the command line does with queues beside running the source: each tool connects anew. Called through connector.ts.

import type { ToolContext, Tools } from '../../src/sdk/index.ts'
import { openAccess } from './access.ts'
import type { Access } from './access.ts'
import type { SqsConfig } from './clients.ts'
import { openEmitter } from './emit.ts'
import { openLag } from './lag.ts'
import { openLetterBox } from './letter-box.ts'
import { peekQueues } from './peek.ts'

export function sqsTools(config: SqsConfig, context: ToolContext): Tools {
  /** The clients are closed again when there is nothing that could close them later. */
  const using = async <T>(signal: AbortSignal, open: (access: Access) => Promise<T>): Promise<T> => {
    const access = await openAccess(config, context, signal)
    try {
      const opened = await open(access)
      if (opened === undefined) access[Symbol.dispose]()
      return opened
    } catch (error) {
      access[Symbol.dispose]()
      throw error
    }
  }
  return {
    peek: (wanted, signal) => using(signal, (access) => peekQueues(access, wanted, signal)),
    emitter: (signal) => using(signal, (access) => Promise.resolve(openEmitter(access, signal))),
    letters: (from, signal) => using(signal, (access) => openLetterBox(access, from, signal)),
    lag: (signal) => using(signal, (access) => Promise.resolve(openLag(access))),
  }
}
