// The lines of a stream of bytes, as they come. Bounded. Used by client.ts.

/** One record with all of its metadata has a few kilobytes. */
const LINE_BYTES_MAX = 4 * 2 ** 20
const NEWLINE = 10

/** Without empty ones and what stands behind the last newline. @throws Error for a line beyond the bound */
export async function* linesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  let parts: Uint8Array[] = []
  let length = 0
  for await (const chunk of stream) {
    let from = 0
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      const line = Buffer.concat([...parts, chunk.subarray(from, at)]).toString()
      parts = []
      length = 0
      from = at + 1
      if (line.trim() !== '') yield line
    }
    if (from === chunk.length) continue
    parts.push(chunk.subarray(from))
    length += chunk.length - from
    if (length > LINE_BYTES_MAX) throw new Error(`a line is longer than ${LINE_BYTES_MAX} bytes`)
  }
}
