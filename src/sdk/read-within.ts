// A stream in one piece, within a bound. For answers; a server that has to answer all the same reads on (http-server.ts).

/** Undefined when it is larger: the rest is not read, and the stream is destroyed with its connection. Rejects with what the stream fails with */
export async function readWithin(stream: AsyncIterable<Buffer>, bytesMax: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream) {
    bytes += chunk.byteLength
    if (bytes > bytesMax) return undefined
    chunks.push(chunk)
  }
  return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, bytes)
}
