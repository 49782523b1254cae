// The loopback connector's declaration, in every variant of capabilities that a broker can have.

import { defineManifest, field } from '../../../src/sdk/index.ts'
import type { Capabilities } from '../../../src/sdk/index.ts'

export const fields = {
  port: field.integer({ description: 'Port of the broker on 127.0.0.1.', required: true, min: 1, max: 65_535 }),
  password: field.secret({ description: 'What the broker asks for.' }),
  group: field.string({ description: 'Instances of one group share its events.', default: 'hub' }),
  encrypted: field.boolean({ description: 'Speak TLS.', default: false }),
} as const

const base: Capabilities = {
  retry: 'delayed',
  settleOrder: 'any',
  reject: 'broker',
  durable: true,
  shared: true,
  topicSyntax: 'exact',
}

export const VARIANTS = {
  delayed: base,
  immediate: { ...base, retry: 'immediate', reject: 'hub' },
  held: { ...base, retry: 'held', reject: 'hub', shared: false },
  prefix: { ...base, retry: 'held', settleOrder: 'prefix', shared: false },
} as const satisfies Record<string, Capabilities>

export type Variant = keyof typeof VARIANTS

export const manifestOf = (variant: Variant) =>
  defineManifest({
    name: 'loopback',
    title: 'Loopback',
    description: 'Events of an in-memory broker on this machine, for tests and benchmarks.',
    status: 'stable',
    guarantee: 'at-least-once',
    trigger: 'topic',
    order: 'per key',
    capabilities: VARIANTS[variant],
    fields,
  })

export const manifest = manifestOf('delayed')
