// What a connector's tools have to say while a command works with them: to the person at the terminal, beside the results.

import type { SourceLog } from '../sdk/index.ts'
import { paint, printable, sentence } from './output.ts'
import type { Output } from './output.ts'

export function personLog(output: Output): SourceLog {
  const say =
    (word: string, style: 'yellow' | 'red' | 'gray') =>
    (_event: string, text: string): void =>
      output.warn(`${paint(output.warnColor, style, word)}  ${printable(sentence(text))}\n`)
  return {
    debug: () => undefined,
    info: say('note', 'gray'),
    warn: say('warning', 'yellow'),
    error: say('error', 'red'),
  }
}
