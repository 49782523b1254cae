// Text from outside as it may stand in a message, a log line or a terminal.

const CHARS_MAX = 500

/** Cut, and `?` for every character that is not printable ASCII. @param charsMax default 500 */
export function printableText(text: string, charsMax: number = CHARS_MAX): string {
  return text.slice(0, charsMax).replace(/[^\x20-\x7e]/g, '?')
}
