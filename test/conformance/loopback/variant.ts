// The loopback connector with other capabilities, or with a seeded defect. As a module it is what its URL asks for
// (`variant.ts?variant=held&mutant=acks+early`), so that a child process can import the very same connector.

import { defineConnector } from '../../../src/sdk/index.ts'
import type { Connector, Source, SourceContext } from '../../../src/sdk/index.ts'
import { LoopbackSource } from './connector.ts'
import type { LoopbackConfig } from './connector.ts'
import { VARIANTS, manifestOf } from './manifest.ts'
import type { Variant, fields } from './manifest.ts'
import { mutants } from './mutants.ts'

export function variantConnector(variant: Variant, mutantName?: string | null): Connector<typeof fields> {
  const mutant = mutants.find(({ name }) => name === mutantName)
  const create = (config: LoopbackConfig, context: SourceContext): Source =>
    new LoopbackSource(config, context, VARIANTS[variant])
  const manifest = manifestOf(variant)
  return defineConnector(
    mutant?.manifest?.(manifest) ?? manifest,
    mutant?.create?.(create, VARIANTS[variant]) ?? create,
  )
}

export function variantModule(variant: Variant, mutant?: string): string {
  const query = new URLSearchParams(mutant === undefined ? { variant } : { variant, mutant })
  return `${new URL('variant.ts', import.meta.url).href}?${query.toString()}`
}

const asked = new URL(import.meta.url).searchParams
export default variantConnector((asked.get('variant') as Variant | null) ?? 'delayed', asked.get('mutant'))
