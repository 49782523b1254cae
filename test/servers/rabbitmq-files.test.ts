// Reads logs as Mnesia writes them: what is confirmed and not decided is what SIGKILL takes away.

import { mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { isDecided } from './rabbitmq-files.ts'

let data = ''
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'hub-rabbitmq-files-'))
  mkdirSync(join(data, 'mnesia'))
})
afterEach(() => rmSync(data, { recursive: true }))

/** Erlang's external format of `{tid, 268, <…>}`, of which the number is enough here. */
const transaction = (number: number): string => `h\x03d\0\x03tida${String.fromCharCode(number)}X`
const change = (number: number): string =>
  `commitd\0\x08decision${transaction(number)}d\0\x0dpresume_abortm\0\0\0\x06orders`
const decision = (number: number): string => `d\0\x08decision${transaction(number)}d\0\x09committed`

function write(file: string, items: readonly string[]): void {
  const framed = items.map((item) => {
    const head = Buffer.from('\0\0\0\0bWLA', 'latin1')
    head.writeUInt32BE(item.length)
    return Buffer.concat([head, Buffer.from(item, 'latin1')])
  })
  writeFileSync(join(data, 'mnesia', file), Buffer.concat([Buffer.from('\x01\x02\x03\x04\x06\x07\x08\x09', 'latin1'), ...framed])) // prettier-ignore
}

test('a change is saved with its decision, not with that of another', () => {
  write('LATEST.LOG', ['log_header'])
  expect(isDecided(data)).toBe(true)
  write('LATEST.LOG', ['log_header', change(1), decision(1), change(2)])
  expect(isDecided(data)).toBe(false)
  write('LATEST.LOG', ['log_header', change(1), change(2), decision(2)])
  expect(isDecided(data)).toBe(false)
  write('LATEST.LOG', ['log_header', change(1), change(2), decision(2), decision(1)])
  expect(isDecided(data)).toBe(true)
})

test('a log that is being written, or moved into the tables, proves nothing', () => {
  const path = join(data, 'mnesia/LATEST.LOG')
  write('LATEST.LOG', [change(1), decision(1), change(2)])
  truncateSync(path, statSync(path).size - 1)
  expect(isDecided(data)).toBe(false)
  write('LATEST.LOG', [change(1), decision(1)])
  write('PREVIOUS.LOG', [])
  expect(isDecided(data)).toBe(false)
})
