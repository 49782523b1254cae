import { stripVTControlCharacters } from 'node:util'

import { expect, test } from 'vitest'

import { Secret } from '../../src/sdk/index.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import type { Logger, LoggerOptions } from '../../src/telemetry/logger.ts'

function logger(options: Partial<LoggerOptions> = {}): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = []
  const write = (line: string): void => void lines.push(line)
  return {
    log: createLogger({ level: 'info', format: 'json', color: false, secretNames: [], write, ...options }),
    lines,
  }
}

test('JSON: one object a line, with level, time, event and text', () => {
  const { log, lines } = logger()
  log.log('warn', 'a.b', 'line one\nline two', { topic: 'x', missing: undefined, count: 2 })
  expect(lines).toHaveLength(1)
  expect(lines[0]?.indexOf('\n')).toBe((lines[0]?.length ?? 0) - 1)
  expect(JSON.parse(lines[0] ?? '')).toEqual({
    level: 'warn',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    event: 'a.b',
    msg: 'line one\nline two',
    topic: 'x',
    count: 2,
  })
})

test('console: aligned, durations for people, ambiguous values quoted', () => {
  const { log, lines } = logger({ format: 'console' })
  log.log('info', 'a.b', 'Hello', { topic: 'a b', key: 'x\u001b[31m', plain: 'y', durationMs: 1500, ok: true })
  expect(lines[0]).toMatch(
    /^\d\d:\d\d:\d\d\.\d{3} info {2}Hello {2}a\.b topic="a b" key="x\\u001b\[31m" plain=y durationMs=1\.5s ok=true\n$/,
  )
})

test('console: what a topic holds neither drives the terminal nor begins a line', () => {
  const { log, lines } = logger({ format: 'console' })
  log.log('warn', 'a.b', 'orders\u001b[2J\n01:02:03.456 info  All is well => f')
  expect(lines[0]).toContain('orders\uFFFD[2J\uFFFD01:02:03.456 info  All is well => f  a.b\n')
})

test('console: colour changes nothing but the colour', () => {
  const plain = logger({ format: 'console' })
  const coloured = logger({ format: 'console', color: true })
  for (const { log } of [plain, coloured]) log.log('error', 'a.b', 'Broken', { code: 'X' })
  const afterClock = (line = ''): string => line.slice(line.indexOf(' '))
  expect(coloured.lines[0]).toContain('\u001b[')
  expect(afterClock(stripVTControlCharacters(coloured.lines[0] ?? ''))).toBe(afterClock(plain.lines[0]))
})

test('drops what is below its level, and says so beforehand', () => {
  const { log, lines } = logger({ level: 'warn' })
  log.log('info', 'a', 'quiet')
  log.log('error', 'b', 'loud')
  expect(lines).toHaveLength(1)
  expect([log.enabled('debug'), log.enabled('info'), log.enabled('warn'), log.enabled('error')]).toEqual([
    false,
    false,
    true,
    true,
  ])
})

test.each(['json', 'console'] as const)('%s: a field named as a secret is never printed', (format) => {
  const { log, lines } = logger({ format, secretNames: ['password', 'api-key'] })
  log.log('info', 'a', 'x', { password: 'hunter2', 'api-key': 'hunter3', other: String(new Secret('hunter4')) })
  expect(lines[0]).not.toContain('hunter')
  expect(lines[0]?.split('[redacted]')).toHaveLength(4)
})
