import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

import { expect, test } from 'vitest'

import { ERROR_CODES } from '../../src/sdk/index.ts'
import { generated } from './generate.ts'

test('the tables of every README and the JSON Schema are those of the declarations (npm run docs)', async () => {
  const expected = await generated()
  expect(new Map([...expected.keys()].map((path) => [path, readFileSync(path, 'utf8')]))).toEqual(expected)
})

test('every documented error code is used somewhere', () => {
  const sources = execFileSync(
    'grep',
    ['-rhoE', '--include=*.ts', '--exclude=errors.ts', "'HUB_[A-Z_]+'", 'src', 'connectors'],
    { encoding: 'utf8' },
  )
  const used = new Set(sources.split('\n').map((quoted) => quoted.slice(1, -1)))
  const documented = Object.keys(ERROR_CODES)
  expect(documented.filter((code) => !used.has(code))).toEqual([])
})
