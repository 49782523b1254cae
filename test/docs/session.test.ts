import { expect, test } from 'vitest'

import { normalised, recordSession, writtenSession } from './session.ts'

test('the session of the README is what a person sees (npm run session)', { timeout: 180_000 }, async () => {
  expect(normalised(writtenSession())).toEqual(normalised(await recordSession()))
})
