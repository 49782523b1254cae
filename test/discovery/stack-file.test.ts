import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { buildWiring, readStackFile } from '../../src/discovery/index.ts'
import type { StackFile } from '../../src/discovery/index.ts'
import { substituteEnv } from '../../src/discovery/env-substitution.ts'
import { mqtt, options } from './fixtures.ts'

let directory: string
let written = 0

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'stack-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

function write(name: string, text: string): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}

function read(text: string, env: Readonly<Record<string, string>> = {}): StackFile {
  return readStackFile(write(`stack-${written++}.yaml`, text), { env })
}

function found({ findings }: StackFile): string[] {
  return findings.map(
    ({ level, annotation, position }) => `${level} ${annotation} ${position?.line}:${position?.column}`,
  )
}

describe('a stack file', () => {
  test('gives every field of a function, and where its annotations stand', () => {
    write('base.yaml', 'environment:\n  shared: base\n  inline: overridden\n')
    write('last.yaml', 'environment: { shared: last, number: 1.0, flag: yes }\n')
    const stack = read(`version: "1.0"
provider:
  name: openfaas
  gateway: http://127.0.0.1:8080
functions:
  orders:
    lang: node22
    handler: ./orders
    image: registry/orders:latest
    fprocess: node index.js
    namespace: shop
    environment:
      inline: first
      own: "true"
    environment_file:
      - base.yaml
      - last.yaml
    secrets: [api-key, other]
    constraints:
      - "arch = amd64"
    labels:
      com.openfaas.scale.min: 1
    annotations:
      topic: "orders.created,orders.updated"
      connector.concurrency: 3
    limits: { memory: 40Mi, cpu: 100m }
    requests:
      memory: 20Mi
    readonly_root_filesystem: true
    skip_build: true
    build_args: { A: b }
configuration:
  templates: []
  copy: [./shared]
`)
    expect(stack).toMatchObject({ gateway: 'http://127.0.0.1:8080', findings: [] })
    expect(stack.files).toEqual([stack.path, join(directory, 'base.yaml'), join(directory, 'last.yaml')])
    const file = stack.path
    expect(stack.functions).toEqual([
      {
        name: 'orders',
        namespace: 'shop',
        fullName: 'orders.shop',
        lang: 'node22',
        handler: join(directory, 'orders'),
        image: 'registry/orders:latest',
        fprocess: 'node index.js',
        // Contract: files override inline values, later files win.
        environment: { inline: 'overridden', own: 'true', shared: 'last', number: '1.0', flag: 'yes' },
        secrets: ['api-key', 'other'],
        constraints: ['arch = amd64'],
        labels: { 'com.openfaas.scale.min': '1' },
        annotations: { topic: 'orders.created,orders.updated', 'connector.concurrency': '3' },
        limits: { memory: '40Mi', cpu: '100m' },
        requests: { memory: '20Mi' },
        readonlyRootFilesystem: true,
        buildKeys: ['build_args', 'configuration.copy'],
        positions: new Map([
          ['', { file, line: 6, column: 3 }],
          ['topic', { file, line: 24, column: 7 }],
          ['connector.concurrency', { file, line: 25, column: 7 }],
        ]),
      },
    ])
  })

  test('needs no more than names', () => {
    const stack = read('functions:\n  a: {}\n  b:\n    image: x\n')
    expect(stack.findings).toEqual([])
    expect(stack.functions).toMatchObject([
      { fullName: 'a', namespace: '', annotations: {}, environment: {}, secrets: [], readonlyRootFilesystem: false },
      { fullName: 'b', handler: undefined, buildKeys: [] },
    ])
  })

  test('takes values from the environment, and names variables that are not set', () => {
    const text =
      'functions:\n  a:\n    image: ${REGISTRY:-docker.io}/a:${TAG}\n    annotations: { topic: "${TOPIC:-t}" }\n    skip_build: ${SKIP:-false}\n'
    const set = read(text, { REGISTRY: 'r', TAG: '1', TOPIC: 'x: y\nz: {' })
    expect(set).toMatchObject({ findings: [], functions: [{ image: 'r/a:1', annotations: { topic: 'x: y\nz: {' } }] })
    const unset = read(text)
    expect(unset.functions).toMatchObject([{ image: 'docker.io/a:', annotations: { topic: 't' } }])
    expect(unset.findings).toMatchObject([{ level: 'warning', message: expect.stringContaining('${TAG}') as unknown }])
  })

  test('lends its places to the findings of the wiring', () => {
    const { functions, findings, path } = read(
      'functions:\n  a:\n    annotations:\n      topic: t\n      connector.mode: asyn\n      topic.none: x\n',
    )
    const wiring = buildWiring({ functions, findings, takenAtMs: 0 }, options(mqtt))
    expect(wiring.findings).toMatchObject([
      { annotation: 'connector.mode', position: { file: path, line: 5, column: 7 } },
      { annotation: 'topic.none', position: { file: path, line: 6, column: 7 } },
    ])
  })

  test('may repeat itself with anchors and merges', () => {
    const stack = read(
      'x: &common\n  image: base\n  annotations: { topic: t }\nfunctions:\n  a:\n    <<: *common\n    image: own\n  b: *common\n',
    )
    expect(stack.functions).toMatchObject([
      { image: 'own', annotations: { topic: 't' } },
      { image: 'base', annotations: { topic: 't' } },
    ])
  })

  test('names unknown keys with the nearest known one, and their place', () => {
    const stack = read('functions:\n  a:\n    anotations:\n      topic: t\nfunction: {}\n')
    expect(found(stack)).toEqual(['warning function 5:1', 'warning anotations 3:5'])
    expect(stack.findings[1]?.message).toContain('did you mean annotations?')
  })

  test('leaves out what is wrong, and only that', () => {
    const stack = read(`functions:
  Bad_Name: { image: x }
  text: just text
  a:
    image: [x]
    annotations: [topic]
    secrets: one
    environment_file: [missing.yaml]
    readonly_root_filesystem: maybe
    labels:
      fine: yes
      bad: { x: y }
    fprocess: \${UNCLOSED
`)
    expect(stack.functions).toMatchObject([
      {
        name: 'a',
        image: undefined,
        annotations: {},
        secrets: [],
        environment: {},
        labels: { fine: 'yes' },
        fprocess: undefined,
      },
    ])
    expect(stack.findings.every(({ level }) => level === 'error')).toBe(true)
    expect(new Set(stack.findings.map(({ position }) => position?.line))).toEqual(
      new Set([2, 3, 5, 6, 7, 8, 9, 12, 13]),
    )
    expect(stack.findings.find(({ annotation }) => annotation === 'environment_file')?.code).toBe(
      'HUB_CONFIG_UNREADABLE',
    )
  })

  test.each([
    ['is not there', undefined, /no such file/],
    ['is not YAML', 'functions:\n  a: [\n', /:\d+:\d+: /],
    ['names a function twice', 'functions:\n  a: {}\n  a: {}\n', /:3:3: the key a stands there twice/],
    ['is a list', '- a\n', /:1:1: .*mapping/],
    ['is empty', '', /:1:1: /],
    ['has no functions', 'version: 1.0\n', /functions must be a mapping/],
    ['has functions of the wrong shape', 'version: 1.0\nfunctions: [a]\n', /:2:1: functions must be a mapping/],
  ])('that %s is refused with its place', (_name, text, expected) => {
    const path = text === undefined ? join(directory, 'none.yaml') : write(`bad-${written++}.yaml`, text)
    expect(() => readStackFile(path)).toThrow(expect.objectContaining({ code: 'HUB_CONFIG_UNREADABLE', message: expect.stringMatching(expected) as unknown })) // prettier-ignore
  })

  test('that is a directory is refused', () => {
    mkdirSync(join(directory, 'folder.yaml'))
    expect(() => readStackFile(join(directory, 'folder.yaml'))).toThrow(/EISDIR/)
  })
})

describe('substitution', () => {
  test.each([
    ['plain $VAR {x}', 'plain $VAR {x}'],
    ['${SET}', 'value'],
    ['a${SET}b${SET}', 'avaluebvalue'],
    ['${NONE:-d}', 'd'],
    ['${NONE-d}', 'd'],
    ['${NONE:=d}', 'd'],
    ['${NONE=d}', 'd'],
    ['${EMPTY:-d}', 'd'],
    ['${SET:-d}', 'value'],
    ['${NONE:-${SET}-x}', 'value-x'],
    ['${NONE:-a:b-c=d}', 'a:b-c=d'],
    ['${NONE:-}', ''],
    ['$${SET}', '${SET}'],
  ])('of %s gives %s', (text, expected) => {
    expect(substituteEnv(text, { SET: 'value', EMPTY: '' })).toEqual({ text: expected, unset: [] })
  })

  test('names what is not set', () => {
    expect(substituteEnv('${A}-${B:-x}', {})).toEqual({ text: '-x', unset: ['A'] })
  })

  test.each(['${', '${A', '${}', '${1A}', '${A:?x}', '${A:-${B}'])('refuses %s', (text) => {
    expect(() => substituteEnv(text, {})).toThrow(SyntaxError)
  })
})
