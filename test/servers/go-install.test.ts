// What is built from a module's source is compared with the checksum that stands in our code, where the checksum database
// does not have it. The `go` of these tests only says what it was asked; real builds are those of the set-ups.

import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, expect, test } from 'vitest'

import { goInstall } from './go-install.ts'

const SUM = 'h1:bKdpxt1nwx1gORMakzuqQ5M6iDeowMxBAXQGGmBMZks='
const GO = `#!/bin/sh
echo "$GONOSUMDB $*" >> "$(dirname "$0")/asked"
case "$1 $2" in
  'mod download') mkdir -p "$GOMODCACHE/example.org/tool@v1.0.0"; printf '{"Sum": "%s", "GoModSum": "h1:x="}' '${SUM}' ;;
esac
`

let folder: string
const go = (): string => join(folder, 'go')

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'go-install-test-'))
  writeFileSync(go(), GO)
  chmodSync(go(), 0o755)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What `go` was asked, a line each, behind its GONOSUMDB. */
async function install(name: string, sum?: string): Promise<readonly string[]> {
  const staging = join(folder, name)
  mkdirSync(staging)
  rmSync(join(folder, 'asked'), { force: true })
  await goInstall(staging, { go: go(), module: 'example.org/tool', version: 'v1.0.0', buildMs: 60_000, progress: () => {}, sum }) // prettier-ignore
  return readFileSync(join(folder, 'asked'), 'utf8').trimEnd().split('\n')
}

test('the checksum it should have: built, the database is not asked for this module alone', async () => {
  const asked = await install('right', SUM)
  expect(asked.map((line) => line.split(' ', 3))).toEqual([
    ['example.org/tool', 'list', '-m'],
    ['example.org/tool', 'mod', 'download'],
    ['example.org/tool', 'build', '-modcacherw'],
  ])
})

test('another one: refused, nothing is built', async () => {
  const failed = install('wrong', 'h1:ClQbozDel1KgrIrI+eLS8d4Im12n9xJYZ+LJ2XOwRMM=')
  await expect(failed).rejects.toThrow(
    `example.org/tool v1.0.0 is not what it was: its checksum is ${SUM}, not h1:ClQbozDel1KgrIrI+eLS8d4Im12n9xJYZ+LJ2XOwRMM=`,
  )
  expect(readFileSync(join(folder, 'asked'), 'utf8')).not.toContain(' build ')
  expect(existsSync(join(folder, 'wrong', 'tool'))).toBe(false)
})

test('without one: the database is asked for every module', async () => {
  const asked = await install('any')
  expect(asked.map((line) => line.startsWith(' '))).toEqual([true, true, true])
})
