import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { YamlFile } from '../../src/discovery/index.ts'

let directory: string
let written = 0

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'yaml-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

function file(text: string): YamlFile {
  const path = join(directory, `${written++}.yaml`)
  writeFileSync(path, text)
  return new YamlFile(path)
}

function place({ line, column }: { readonly line: number; readonly column: number }): string {
  return `${line}:${column}`
}

describe('a YAML file', () => {
  test('knows where everything stands, quotes and anchors and all', () => {
    const yaml = file('# comment\na: 1\n"b": {\n  c: x,\n  \'d\': [p, q: r]}\n&anchor e: |\n  text\n')
    const top = yaml.entries(yaml.root)
    expect([...(top ?? [])].map(([name, { position }]) => `${name} ${place(position)}`)).toEqual(['a 2:1', 'b 3:1', 'e 6:9']) // prettier-ignore
    const inner = yaml.entries(top?.get('b')?.value)
    expect([...(inner ?? [])].map(([name, { position }]) => `${name} ${place(position)}`)).toEqual(['c 4:3', 'd 5:3'])
    const list = inner?.get('d')?.value
    expect(list?.kind === 'list' && list.items.map((item) => place(yaml.position(item)))).toEqual(['5:9', '5:12'])
    expect(['b', 'd', 1, 'q'].map((_name, index, path) => place(yaml.positionOf(path.slice(0, index + 1)) ?? { line: 0, column: 0 }))).toEqual(['3:1', '5:3', '5:3', '5:12']) // prettier-ignore
    expect(yaml.positionOf(['none'])).toBeUndefined()
  })

  test('keeps texts as they were typed, and reads values by the rules of YAML 1.2', () => {
    const yaml = file('a: 1.0\nb: yes\nc: 0o17\nd: ~\ne:\nf: "null"\ng: !!str null\nh: 2026-11-21\n')
    const texts = [...(yaml.entries(yaml.root) ?? [])].map(([, { value }]) => yaml.text(value))
    expect(texts).toEqual(['1.0', 'yes', '0o17', '', '', 'null', 'null', '2026-11-21'])
    expect(yaml.values()).toEqual({ a: 1, b: 'yes', c: 15, d: null, e: null, f: 'null', g: 'null', h: '2026-11-21' })
  })

  test('resolves aliases and merges; a key of its own wins, then the merged one that stands first', () => {
    const yaml = file('x: &x { a: 1, b: 1 }\ny: &y { b: 2, c: 2 }\nz: { <<: [*x, *y], a: 3 }\nw: *y\n')
    const top = yaml.entries(yaml.root)
    const texts = (name: string): string[] =>
      [...(yaml.entries(top?.get(name)?.value) ?? [])].map(([key, { value }]) => `${key}${yaml.text(value)}`).sort()
    expect(texts('z')).toEqual(['a3', 'b1', 'c2'])
    expect(texts('w')).toEqual(['b2', 'c2'])
    expect(yaml.values()).toMatchObject({ z: { a: 3, b: 1, c: 2 }, w: { b: 2, c: 2 } })
  })

  test.each(['', '# nothing\n'])('may be empty: %j', (text) => {
    const yaml = file(text)
    expect([yaml.root, yaml.values()]).toEqual([undefined, undefined])
  })

  test.each([
    ['does not end', 'a: [1\n', /:2:1: /],
    ['is indented with tabs', 'a:\n\tb: 1\n', /:2:1: tab characters/],
    ['uses an alias without an anchor', 'a: 1\nb: *none\n', /:2:4: an alias/],
    ['uses an alias within what it stands for', 'a: &a [*a]\n', /:1:8: an alias/],
    ['has two documents', 'a: 1\n---\nb: 2\n', /more than one document/],
    ['is nested too deeply', '['.repeat(200), /:1:\d+: /],
  ])('that %s is refused with its place', (_name, text, message) => {
    expect(() => file(text)).toThrow(expect.objectContaining({ code: 'HUB_CONFIG_UNREADABLE', message: expect.stringMatching(message) as unknown })) // prettier-ignore
  })

  test('says a key that stands twice when it is looked at, and in the values', () => {
    const yaml = file('a: 1\nb: 2\na: 3\n')
    expect(() => yaml.entries(yaml.root)).toThrow(/:3:1: the key a stands there twice/)
    expect(() => yaml.values()).toThrow(/:3:1: duplicated mapping key/)
  })

  test('does not put what stands around a fault into the error', () => {
    const faults = ['*hunter2', '"hunter2', 'hunter2: x', '!hunter2', '!hunter2!x', '!hun"ter2', '!<hunter2> x', '!hunter2 [a]', '!hunter2 {a: b}'] // prettier-ignore
    for (const fault of faults)
      expect(() => file(`password: ${fault}\n`).values()).toThrow(expect.not.objectContaining({ message: expect.stringContaining('hunter2') as unknown })) // prettier-ignore
  })

  test('does not grow with aliases of aliases', () => {
    const levels = Array.from({ length: 30 }, (_none, level) => `l${level}: &l${level} [${level === 0 ? 'x' : `*l${level - 1}, *l${level - 1}`}]`) // prettier-ignore
    const yaml = file(levels.join('\n'))
    expect(yaml.entries(yaml.root)?.size).toBe(30)
    expect(yaml.values()).toHaveProperty('l0', ['x'])
  })
})
