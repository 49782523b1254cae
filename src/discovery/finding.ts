// What discovery has to say about functions and their annotations. Values, not errors: nothing here stops the hub.

import type { ErrorCode } from '../sdk/index.ts'
import type { SourcePosition } from './function.ts'

/** `error`: a trigger or setting is left out. `warning`: something has no effect or a default is used instead. */
export interface Finding {
  readonly level: 'error' | 'warning'
  readonly code: ErrorCode
  /** Full function name; empty when the finding is about the listing or the file as a whole. */
  readonly function: string
  /** Annotation key (or key of the stack file); empty when none is at fault. */
  readonly annotation: string
  /** What is wrong and what follows from it, as a sentence. */
  readonly message: string
  /** An instruction. */
  readonly hint: string
  readonly position?: SourcePosition
}

/** Findings are equal when a reader would read the same. */
export function sameFindings(left: readonly Finding[], right: readonly Finding[]): boolean {
  return left.length === right.length && left.every((finding, index) => text(finding) === text(right[index] as Finding))
}

/** Those of `after` that a reader has not read in `before`. */
export function newFindings(before: readonly Finding[], after: readonly Finding[]): readonly Finding[] {
  const read = new Set(before.map(text))
  return after.filter((finding) => !read.has(text(finding)))
}

function text({ level, code, function: name, annotation, message, position }: Finding): string {
  const at = position === undefined ? '' : `${position.file}:${position.line}:${position.column}`
  return [level, code, name, annotation, message, at].join('\0')
}
