// Dependencies point in one direction; a planted violation of each rule shows that the check can fail.

import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { architectureProblems, importsOf } from './architecture.ts'
import type { SourceText } from './architecture.ts'

const ROOT = join(import.meta.dirname, '..')

function filesBelow(folder: string): SourceText[] {
  if (!existsSync(join(ROOT, folder))) return []
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path: path.slice(ROOT.length + 1), text: readFileSync(path, 'utf8') }))
}

const connector: readonly SourceText[] = [
  { path: 'connectors/cron/manifest.ts', text: `import { field } from '../../src/sdk/index.ts'` },
  { path: 'connectors/cron/connector.ts', text: `import { x } from 'client'\nexport default x` },
  { path: 'connectors/cron/broker.ts', text: `import { y } from '../../test/servers/y.ts'` },
  { path: 'connectors/cron/conformance.test.ts', text: '' },
  { path: 'connectors/cron/README.md', text: '' },
  { path: 'connectors/cron/example.yaml', text: '' },
]

/** The problems of a good connector with one file put in or changed. */
function planted(path: string, text: string): string[] {
  return architectureProblems([...connector.filter((file) => file.path !== path), { path, text }])
}

test('every import of src and connectors follows the architecture', () => {
  const files = [...filesBelow('src'), ...filesBelow('connectors')]
  expect(files.length).toBeGreaterThan(20)
  expect(architectureProblems(files)).toEqual([])
})

test('a connector that keeps to the rules has no problems', () => {
  expect(architectureProblems(connector)).toEqual([])
})

test.for([
  ['src/sdk/a.ts', `import type { B } from '../store/b.ts'`, 'src/sdk must not import src/store'],
  ['src/store/a.ts', `export * from '../delivery/b.ts'`, 'src/store must not import src/delivery'],
  ['src/discovery/a.ts', `import '../invoke/b.ts'`, 'src/discovery must not import src/invoke'],
  ['src/delivery/a.ts', `const b = await import('../hub/b.ts')`, 'src/delivery must not import src/hub'],
  ['src/hub/a.ts', `import {\n  b,\n  c,\n} from '../cli/b.ts'`, 'src/hub must not import src/cli'],
  ['src/gateway/a.ts', `new Worker(new URL('../hub/b.ts', import.meta.url))`, 'src/gateway must not import src/hub'],
  ['src/invoke/a.ts', `import { b } from '../../test/b.ts'`, 'imports test/b.ts, outside of src'],
  ['src/tools/a.ts', '', 'src/tools is not a module of the architecture'],
  ['src/hub/a.ts', 'const folder = `${root}/connectors/cron`', 'names connectors/cron'],
  ['src/hub/a.ts', 'export default 1', 'has a default export'],
  ['src/hub/a.ts', 'const a = 1\nexport { a as default }', 'has a default export'],
  ['connectors/cron/manifest.ts', `import { c } from 'client'`, 'manifest.ts must import no package'],
  ['connectors/cron/connector.ts', `import { b } from '../../src/hub/b.ts'`, 'must not import src/hub/b.ts'],
  ['connectors/cron/connector.ts', `import { b } from '../mqtt/b.ts'`, 'must not import connectors/mqtt/b.ts'],
  ['connectors/mqtt/manifest.ts', '', 'connectors/mqtt: has no connector.ts'],
] as const)('%s with %j: %s', ([path, text, problem]) => {
  expect(planted(path, text).join('\n')).toContain(problem)
})

test('a package that manifest.ts reaches through its own folder is found', () => {
  const files = [
    ...connector.filter(({ path }) => !path.endsWith('manifest.ts')),
    { path: 'connectors/cron/manifest.ts', text: `import { limits } from './limits.ts'` },
    { path: 'connectors/cron/limits.ts', text: `import { client } from 'client'` },
  ]
  expect(architectureProblems(files)).toEqual([
    'connectors/cron/limits.ts: manifest.ts must import no package, and this brings client',
  ])
})

test('words of a comment are not imports', () => {
  expect(importsOf(`// import { a } from '../a.ts'\n/**\n * export * from './b.ts'\n */\nimport c from 'c'`)).toEqual([
    'c',
  ])
})
