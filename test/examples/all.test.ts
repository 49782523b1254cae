// No example without a test that runs what its README says.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

const EXAMPLES = join(import.meta.dirname, '../../deploy/examples')

test('every example with a README has a test of its own', () => {
  const names = readdirSync(EXAMPLES).filter((name) => existsSync(join(EXAMPLES, name, 'README.md')))
  expect(names).toContain('chained-functions')
  const tests = readdirSync(import.meta.dirname)
  expect(names.filter((name) => !tests.includes(`${name}.test.ts`))).toEqual([])
})
