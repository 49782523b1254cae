// What connectors keep on the hub's disk, and what the command line sees of it.

import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { openState, recalled, statePath } from '../../src/hub/state.ts'

test('what an instance keeps is read while a hub has it open, by instance and key; nothing is made for it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'hub-state-'))
  try {
    expect(recalled(folder, 'one', 'place')).toBeUndefined()
    expect(existsSync(statePath(folder))).toBe(false)
    using state = openState(statePath(folder))
    await state.scope('one').set('place', '42')
    expect(recalled(folder, 'one', 'place')).toBe('42')
    expect([recalled(folder, 'two', 'place'), recalled(folder, 'one', 'other')]).toEqual([undefined, undefined])
    await state.scope('one').set('place', '43')
    expect(recalled(folder, 'one', 'place')).toBe('43')
    await state.scope('two').set('other', '1')
    expect([await state.scope('one').keys(), await state.scope('two').keys()]).toEqual([['place'], ['other']])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
