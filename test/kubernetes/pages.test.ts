// The values in the pages for operators: real helm takes each of them, and the hub reads what comes out.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { load } from 'js-yaml'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { DEPLOY } from '../deploy/chart-keys.ts'
import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import { parsed, render } from './chart-rig.ts'
import type { Values } from './chart-rig.ts'

const missing = await noKubernetes()

const EXAMPLES = ['README.md', 'moving-from-openfaas.md'].flatMap((page) => {
  const text = readFileSync(join(DEPLOY, page), 'utf8')
  const blocks = [...text.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, yaml = '']) => load(yaml) as Values)
  return blocks.map((values, index) => [`${page}, ${index + 1}`, values] as const)
})

describe.skipIf(missing !== undefined)('the values of', () => {
  let api: KubernetesApi
  beforeAll(() => void (api = sharedKubernetes()))
  afterAll(() => api[Symbol.dispose]())

  test('the pages are there', () => {
    expect(EXAMPLES.length).toBeGreaterThan(14)
  })

  test.each(EXAMPLES)('%s', async (_, values) => {
    const chart = await render(api, values)
    if (typeof chart === 'string') throw new Error(chart)
    const maps = chart.objects.filter(({ kind }) => kind === 'ConfigMap')
    const names = Object.keys(values['connectors'] ?? {})
    expect(maps).toHaveLength(names.length)
    for (const map of maps) {
      const { instances } = await parsed(map.data?.['hub.yaml'] ?? '')
      expect(names).toEqual(expect.arrayContaining(instances.map(({ name }) => name)))
    }
  })
})
