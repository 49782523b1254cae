// What a connector says about itself before anything runs: manifest, configuration, example.

import { strict as assert } from 'node:assert'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { loadAll } from 'js-yaml'

import { checkConfig, fieldsJsonSchema, topicProblem } from '../../../src/sdk/index.ts'
import type { Manifest } from '../../../src/sdk/index.ts'
import type { Scenario } from '../scenario.ts'

interface Example {
  readonly connectors?: Readonly<Record<string, { readonly type?: string } & Readonly<Record<string, unknown>>>>
  readonly functions?: Readonly<Record<string, { readonly annotations?: Readonly<Record<string, string>> }>>
}

/** example.yaml holds hub.yaml and stack.yaml as two YAML documents, or both in one. */
function readExample(folder: string): Example {
  const documents = loadAll(readFileSync(join(folder, 'example.yaml'), 'utf8'))
  assert.notEqual(documents.length, 0, 'example.yaml is empty')
  return Object.assign({}, ...documents) as Example
}

function assertTriggers(manifest: Manifest, instances: readonly string[], example: Example): void {
  const annotations = Object.values(example.functions ?? {}).map((declared) => declared.annotations ?? {})
  if (manifest.trigger === 'schedule') {
    const schedules = annotations.flatMap((all) => all['schedule'] ?? all['com.openfaas.schedule'] ?? [])
    assert.ok(schedules.length > 0, 'no function of example.yaml has the annotation schedule')
    return
  }
  const keys = ['topic', ...instances.map((instance) => `topic.${instance}`)]
  const topics = annotations.flatMap((all) => keys.flatMap((key) => all[key]?.split(',') ?? []))
  assert.ok(topics.length > 0, 'no function of example.yaml has the annotation topic')
  for (const topic of topics) assert.equal(topicProblem(manifest.capabilities.topicSyntax, topic.trim()), undefined)
}

export const declarationScenarios: readonly Scenario[] = [
  {
    name: 'the manifest is in manifest.ts, named as its folder, and its defaults are valid',
    async run({ suite, manifest }) {
      const path = join(suite.folder, 'manifest.ts')
      assert.ok(existsSync(path), 'the folder has no manifest.ts')
      const exported = Object.values((await import(pathToFileURL(path).href)) as Record<string, unknown>)
      assert.ok(
        exported.some((value) => (value as Partial<Manifest> | null)?.name === manifest.name),
        `manifest.ts exports no manifest named ${manifest.name}`,
      )
      assert.match(manifest.name, /^[a-z][a-z0-9-]*$/)
      for (const text of [manifest.title, manifest.description, manifest.order]) assert.notEqual(text.trim(), '')
      if (manifest.guarantee === 'at-least-once')
        assert.ok(manifest.capabilities.durable, 'at-least-once needs durable')
      assert.equal(fieldsJsonSchema(manifest.fields)['type'], 'object')
      for (const { problems } of [checkConfig(manifest.fields, {})])
        for (const { message } of problems) assert.match(message, /required/, 'a default is not valid')
    },
  },
  {
    name: 'example.yaml is a valid configuration with a function that it triggers',
    run({ suite, manifest }) {
      const example = readExample(suite.folder)
      const instances = Object.entries(example.connectors ?? {}).filter(([, { type }]) => type === manifest.name)
      assert.ok(instances.length > 0, `example.yaml configures no connector of type ${manifest.name}`)
      for (const [, { type: _type, ...config }] of instances)
        assert.deepEqual(checkConfig(manifest.fields, config, { readSecretFiles: false }).problems, [])
      assertTriggers(manifest, instances.map(([name]) => name), example) // prettier-ignore
      return Promise.resolve()
    },
  },
  {
    name: 'an unknown key of the configuration is refused and the nearest known key is named',
    unless: ({ manifest }) => (Object.keys(manifest.fields).length === 0 ? 'nothing can be configured' : undefined),
    run(harness) {
      const { manifest, broker } = harness
      // The longest name: a typo in `a` could be meant for anything.
      const known = Object.keys(manifest.fields).toSorted((left, right) => right.length - left.length)[0] as string
      const config = { ...broker.config(harness.scope()), [`${known}x`]: 'anything' }
      const messages = checkConfig(manifest.fields, config).problems.map(({ message }) => message)
      assert.equal(messages.length, 1)
      assert.match(String(messages[0]), new RegExp(`is not a known key; did you mean ${known}\\?`))
      return Promise.resolve()
    },
  },
]
