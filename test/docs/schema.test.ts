import { globSync, mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { load, loadAll } from 'js-yaml'

import { checkHubConfig } from '../../src/hub/config.ts'

const ROOT = join(import.meta.dirname, '../..')
const ajv = new Ajv2020({ allErrors: true, strict: true, strictRequired: false })
const validate = ajv.compile(JSON.parse(readFileSync(join(ROOT, 'deploy/hub.schema.json'), 'utf8')) as object)

function problems(config: unknown): string[] {
  validate(config)
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
}

describe('the JSON Schema of hub.yaml', () => {
  test.for(globSync(['connectors/*/example.yaml', 'deploy/examples/*/hub.yaml'], { cwd: ROOT }))(
    'accepts %s, and not with a slip in any of its keys',
    (path) => {
      const text = readFileSync(join(ROOT, path), 'utf8')
      const [hub] = loadAll(text)
      expect(problems(hub)).toEqual([])
      const slips = seeded(hub)
      expect(slips.length).toBeGreaterThan(2)
      expect(slips.filter(({ document }) => problems(document).length === 0).map(({ at }) => at)).toEqual([])
    },
  )

  test('accepts a connector of somebody else, whose keys it does not know', () => {
    expect(problems({ connectors: { mine: { type: './mine.ts', anything: 1 } } })).toEqual([])
  })

  // What the schema refuses the parser refuses too, and the other way round.
  test.for([
    ['{ gateway: { url: "http://gateway:8080" }, connectors: { mqtt: { type: mqtt, qos: 2 } } }', true],
    ['{ defaults: { retry: { codes: [429, 503], maxWait: 2m } } }', true],
    ['{ connectors: { one: { type: mqtt, inFlightMax: 5, timeout: 30s } } }', true],
    ['{ gatway: { url: "http://gateway:8080" } }', false],
    ['{ connectors: { mqtt: { type: mqtt, quality: 1 } } }', false],
    ['{ connectors: { mqtt: { type: mqtt, qos: 3 } } }', false],
    ['{ connectors: { mqtt: { url: "mqtt://broker" } } }', false],
    ['{ connectors: { Mqtt: { type: mqtt } } }', false],
    ['{ connectors: { mqtt: { type: mqt } } }', false],
    ['{ defaults: { timeout: 60 } }', false],
    ['{ defaults: { concurrency: 0 } }', false],
    ['{ defaults: { retry: { codes: [700] } } }', false],
    ['{ limits: { inFlightMax: many } }', false],
  ] as const)('agrees with the parser about %s', async ([text, valid]) => {
    const { findings } = await checkFile(text)
    expect([problems(load(text)).length === 0, findings.length === 0]).toEqual([valid, valid])
  })
})

interface Slip {
  readonly at: string
  readonly document: unknown
}

/** The document with one key misspelt, for each key that the schema knows. Names of instances are the user's own. */
function seeded(value: unknown, at = ''): readonly Slip[] {
  if (Array.isArray(value))
    return value.flatMap((item, index) =>
      seeded(item, `${at}/${index}`).map((slip) => ({ ...slip, document: value.with(index, slip.document) })),
    )
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]): readonly Slip[] => {
    const deeper = seeded(inner, `${at}/${key}`).map((slip) => ({
      ...slip,
      document: { ...value, [key]: slip.document },
    }))
    if (at === '/connectors') return deeper
    const { [key]: taken, ...others } = value as Record<string, unknown>
    return [{ at: `${at}/${key}`, document: { ...others, [`${key}x`]: taken } }, ...deeper]
  })
}

async function checkFile(text: string): ReturnType<typeof checkHubConfig> {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'hub-schema-'))
  const file = join(folder.path, 'hub.yaml')
  writeFileSync(file, text)
  return await checkHubConfig({ file, env: {} })
}
