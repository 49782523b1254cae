import { setImmediate } from 'node:timers/promises'

import { expect, test } from 'vitest'

import type { Output } from '../../src/cli/output.ts'
import { RequestLines } from '../../src/cli/request-lines.ts'

const output = (drained?: () => Promise<boolean>): Output => ({
  write: () => {},
  warn: () => {},
  color: false,
  warnColor: false,
  isInteractive: false,
  ...(drained === undefined ? {} : { drained }),
})

test('lines of one turn are written together, in their order', async () => {
  const written: (readonly string[])[] = []
  const lines = new RequestLines(output(), (all) => written.push(all))
  lines.add('a')
  lines.add('b')
  expect(written).toEqual([])
  await setImmediate()
  lines.add('c')
  await setImmediate()
  expect(written).toEqual([['a', 'b'], ['c']])
})

test('a reader that is slow gets a count of what there was no room for, and the rest once it reads on', async () => {
  const written: string[] = []
  const reads = Promise.withResolvers<boolean>()
  const lines = new RequestLines(output(() => reads.promise), (all) => written.push(...all)) // prettier-ignore
  lines.add('first')
  await setImmediate()
  for (let index = 0; index < 10_003; index += 1) lines.add(`line ${index}`)
  await setImmediate()
  expect(written).toEqual(['first'])
  reads.resolve(true)
  await setImmediate()
  expect([written.length, written[1], written[10_000], written.at(-1)]).toEqual([10_002, 'line 0', 'line 9999', '3 lines left out: nobody read them in time']) // prettier-ignore
})

test('what is there at the end is written, and a reader that has gone is not waited for', async () => {
  const written: string[] = []
  const lines = new RequestLines(output(() => Promise.resolve(false)), (all) => written.push(...all)) // prettier-ignore
  lines.add('a')
  await setImmediate()
  lines.add('b')
  await setImmediate()
  expect(written).toEqual(['a'])
  lines.flush()
  expect(written).toEqual(['a', 'b'])
})
