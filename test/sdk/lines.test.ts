import { expect, test } from 'vitest'

import { linesOf } from '../../src/sdk/index.ts'
import type { LineOptions } from '../../src/sdk/index.ts'

/** The lines until the end, or until it fails. */
async function linesIn(
  text: string,
  chunkBytes: number,
  options: LineOptions,
): Promise<{ readonly lines: readonly string[]; readonly problem: string | undefined }> {
  const bytes = Buffer.from(text)
  const lines: string[] = []
  async function* chunks(): AsyncGenerator<Buffer, void> {
    for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes)
  }
  try {
    for await (const line of linesOf(chunks(), options)) lines.push(line)
    return { lines, problem: undefined }
  } catch (error) {
    return { lines, problem: (error as Error).message }
  }
}

test.each([1, 2, 3, 7, 100])(
  'are put together from pieces of %i bytes, and a part at the end is dropped',
  async (chunkBytes) => {
    const { lines, problem } = await linesIn('größer €\n\n \nzwei\npart', chunkBytes, { bytesMax: 12 })
    expect([lines, problem]).toEqual([['größer €', '', ' ', 'zwei'], undefined])
  },
)

test.each([1, 100])('of white space are left out where that is asked, in pieces of %i bytes', async (chunkBytes) => {
  const { lines } = await linesIn(' \n \none \n\r\n\ntwo\n \n', chunkBytes, { bytesMax: 12, skipsBlank: true })
  expect(lines).toEqual(['one ', 'two'])
})

test.each([1, 3, 100])('are bounded in bytes, with an end or without, in pieces of %i bytes', async (chunkBytes) => {
  const problem = 'a line of more than 4 bytes'
  expect(await linesIn('€1\nabcde\nno', chunkBytes, { bytesMax: 4 })).toEqual({ lines: ['€1'], problem })
  expect(await linesIn('€1\n€€', chunkBytes, { bytesMax: 4 })).toEqual({ lines: ['€1'], problem })
})
