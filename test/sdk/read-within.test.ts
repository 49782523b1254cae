import { Readable } from 'node:stream'

import { expect, test } from 'vitest'

import { readWithin } from '../../src/sdk/index.ts'

const streamOf = (...chunks: readonly string[]): Readable =>
  Readable.from(
    chunks.map((text) => Buffer.from(text)),
    { objectMode: false, highWaterMark: 1 },
  )

test.each([
  [[], ''],
  [['four'], 'four'],
  [['f', 'ou', 'r'], 'four'],
])('%j is one piece', async (chunks, whole) => {
  expect(String(await readWithin(streamOf(...chunks), 4))).toBe(whole)
})

test('what is larger is nothing, and is not read to its end', async () => {
  const stream = streamOf('fo', 'ur', '!', 'and', 'more')
  expect(await readWithin(stream, 4)).toBe(undefined)
  expect([stream.destroyed, stream.readableEnded]).toEqual([true, false])
})

test('a stream that breaks is an error, not a shorter one', async () => {
  const stream = Readable.from(
    (function* () {
      yield Buffer.from('half')
      throw new Error('cut off')
    })(),
  )
  await expect(readWithin(stream, 100)).rejects.toThrow('cut off')
})
