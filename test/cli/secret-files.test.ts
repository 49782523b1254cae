import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, expect, test } from 'vitest'

import { SecretFiles } from '../../src/cli/secret-files.ts'
import { ManualClock } from '../../src/sdk/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'secret-files-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('a file that cannot be looked at is missing, until it can', async () => {
  mkdirSync(join(folder, '.secrets'))
  const path = join(folder, '.secrets', 'key')
  symlinkSync(path, path)
  const clock = new ManualClock()
  using files = new SecretFiles([join(folder, 'stack.yaml')], clock)
  expect(files.find('key')).toBeUndefined()
  let changes = 0
  files.follow(() => (changes += 1))
  await clock.advance(1000)
  expect(changes).toBe(0)
  rmSync(path)
  writeFileSync(path, 'value')
  await clock.advance(1000)
  expect([changes, files.find('key')]).toEqual([1, path])
})
