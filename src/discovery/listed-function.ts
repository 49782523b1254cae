// How a function that a server lists becomes one of ours, whatever lists it: names that are refused, values that are not text.
// Pure; called by gateway-listing.ts and kubernetes-objects.ts.

import { printableText } from '../sdk/index.ts'
import type { Finding } from './finding.ts'
import type { FunctionInfo } from './function.ts'

const SHOWN_NAME_CHARS_MAX = 80

/** @param name '' when the finding is not about a function */
export function refusedName(fullName: string, name: string, message: string): Finding {
  return {
    level: 'error',
    code: 'HUB_DISCOVERY_FAILED',
    function: name === '' ? '' : shownName(fullName),
    annotation: '',
    message,
    hint: 'Use letters, digits, "-", "_" and "." in the name, beginning with a letter or digit (no "." in a namespace).',
  }
}

export function listedTwice(fullName: string, name: string): Finding {
  return { ...refusedName(fullName, name, `${fullName} is listed twice; the first one counts`), level: 'warning' }
}

export function listingFinding(message: string, hint: string): Finding {
  return { level: 'warning', code: 'HUB_DISCOVERY_FAILED', function: '', annotation: '', message, hint }
}

/** What of `given` is text; the rest becomes findings. */
export function textAnnotations(
  fullName: string,
  name: string,
  given: Readonly<Record<string, unknown>>,
  findings: Finding[],
): Readonly<Record<string, string>> {
  const annotations: Record<string, string> = {}
  for (const [key, value] of Object.entries(given)) {
    if (typeof value === 'string') annotations[key] = value
    else if (value !== null)
      findings.push({
        ...refusedName(fullName, name, `${fullName}: ${shownName(key)} is not text and has no effect`),
        annotation: key,
        hint: 'Quote the value, so that it is text.',
        code: 'HUB_ANNOTATION_INVALID',
      })
  }
  return annotations
}

/** Names come from outside. */
export function shownName(name: string): string {
  return printableText(name, SHOWN_NAME_CHARS_MAX)
}

export function byFullName(left: FunctionInfo, right: FunctionInfo): number {
  return left.fullName < right.fullName ? -1 : left.fullName > right.fullName ? 1 : 0
}
