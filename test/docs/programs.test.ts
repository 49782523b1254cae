// The examples that call programs of other people are run as they are printed, with the real program against the real server.
// A program or server that is missing is a skip with the reason, and a failure where HUB_TEST_REQUIRE names it.

import { expect, test } from 'vitest'

import { PROGRAM_EXAMPLES } from './program-examples.ts'
import { EXAMPLES, firstLine } from './readme-examples.ts'

const TEST_MS = 300_000
const examples = EXAMPLES.flatMap((example) => {
  const known = PROGRAM_EXAMPLES[firstLine(example)]
  return known === undefined ? [] : [{ ...example, known }]
})

test('none of those that are known here has gone', () => {
  expect(new Set(examples.map(({ known }) => known))).toEqual(new Set(Object.values(PROGRAM_EXAMPLES)))
})

test.for(examples)('$file: $text', { timeout: TEST_MS }, async ({ text, known }, context) => {
  for (const need of known.needs) {
    const missing = await need()
    context.skip(missing !== undefined, missing)
  }
  await expect(known.run(text)).resolves.toBeUndefined()
})
