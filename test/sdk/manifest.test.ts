import { expect, test } from 'vitest'

import { defineManifest, field, termsByVariant, termsOf } from '../../src/sdk/index.ts'

const manifest = defineManifest({
  name: 'sample',
  title: 'Sample',
  description: 'For this test.',
  status: 'alpha',
  guarantee: 'at-least-once',
  guaranteeNote: 'While it is on.',
  trigger: 'topic',
  order: 'of the log',
  capabilities: { retry: 'delayed', settleOrder: 'any', reject: 'hub', durable: true, shared: false, topicSyntax: 'exact' },
  variants: [
    { when: 'group: <name>', applies: ({ group }) => group !== undefined, capabilities: { shared: true } },
    {
      when: 'mode: core',
      applies: ({ mode }) => mode === 'core',
      guarantee: 'at-most-once',
      order: 'none',
      capabilities: { durable: false, retry: 'held' },
    },
  ],
  fields: {
    mode: field.choice(['stream', 'core'], { description: 'Mode.', default: 'stream' }),
    group: field.string({ description: 'Group.' }),
  },
}) // prettier-ignore

test('without a variant that applies the manifest holds', () => {
  const { guarantee, guaranteeNote, order, capabilities } = manifest
  expect(termsOf(manifest, { mode: 'stream' })).toEqual({ guarantee, guaranteeNote, order, capabilities })
})

test('variants that apply add up, and leave the rest as it is', () => {
  expect(termsOf(manifest, { mode: 'core', group: 'a' })).toEqual({
    guarantee: 'at-most-once',
    guaranteeNote: 'While it is on.',
    order: 'none',
    capabilities: { ...manifest.capabilities, shared: true, durable: false, retry: 'held' },
  })
})

test('each variant is listed on its own, behind the default', () => {
  const rows = termsByVariant(manifest).map(({ when, guarantee, capabilities }) => [when, guarantee, capabilities.shared]) // prettier-ignore
  expect(rows).toEqual([
    [undefined, 'at-least-once', false],
    ['group: <name>', 'at-least-once', true],
    ['mode: core', 'at-most-once', false],
  ])
})
