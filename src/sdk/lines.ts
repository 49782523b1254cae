// The lines of a stream of bytes as they come, each bounded in length. Called for answers without an end that are one JSON
// document a line: watches of Kubernetes, listening to MinIO.

export interface LineOptions {
  /** Of one line, without its end. */
  readonly bytesMax: number
  /** Leaves out lines of nothing but white space, as servers send them for a sign of life. Default false. */
  readonly skipsBlank?: boolean
}

const NEWLINE = 0x0a

/** @throws Error for a longer line, and what the stream fails with. A last line without an end is dropped: it is a part. */
export async function* linesOf(
  stream: AsyncIterable<Buffer>,
  { bytesMax, skipsBlank = false }: LineOptions,
): AsyncGenerator<string, void> {
  let parts: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream) {
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const last = chunk.subarray(start, end)
      if (bytes + last.byteLength > bytesMax) throw tooLong(bytesMax)
      const line = parts.length === 0 ? last.toString('utf8') : Buffer.concat([...parts, last]).toString('utf8')
      parts = []
      bytes = 0
      start = end + 1
      if (!skipsBlank || line.trim() !== '') yield line
    }
    const rest = chunk.subarray(start)
    bytes += rest.byteLength
    if (bytes > bytesMax) throw tooLong(bytesMax)
    if (rest.byteLength > 0) parts.push(rest)
  }
}

function tooLong(bytesMax: number): Error {
  return new Error(`a line of more than ${bytesMax} bytes`)
}
