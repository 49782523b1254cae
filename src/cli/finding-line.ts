// A finding about functions and their annotations as a line for people.

import type { Finding } from '../discovery/index.ts'
import { paint, printable, sentence } from './output.ts'

/** `stack.yaml:3:5: error CODE: what. How to fix it.` */
export function findingLine(finding: Finding, color: boolean): string {
  const { level, code, function: name, annotation, message, hint, position } = finding
  const at =
    position === undefined
      ? [name, annotation].filter((part) => part !== '').join(' ')
      : `${position.file}:${position.line}:${position.column}`
  return `${printable(at)}: ${paint(color, level === 'error' ? 'red' : 'yellow', level)} ${code}: ${printable(`${sentence(message)} ${hint}`)}\n`
}
