// A connector's declaration of itself: what it promises and what can be configured. Imports no broker client, so that
// listing every connector is instant.

import { parseConfig } from './fields.ts'
import type { ConfigFault, ConfigOf, Fields, ParseOptions } from './fields.ts'
import type { TopicSyntax } from './topics.ts'

/** What the broker lets the hub do. The dispatcher and the conformance suite go by these. */
export interface Capabilities {
  /** `delayed`: the broker redelivers after a delay. `immediate`: it redelivers at once. `held`: it cannot; the hub keeps the delivery. */
  readonly retry: 'delayed' | 'immediate' | 'held'
  /** `prefix`: only a contiguous run of events can be acknowledged (Kafka). */
  readonly settleOrder: 'any' | 'prefix'
  /** Who owns the dead letter: the broker's own place, or the hub's. */
  readonly reject: 'broker' | 'hub'
  /** An unsettled event is delivered again after a crash of the hub. */
  readonly durable: boolean
  /** Replicas of the connector share the events of a topic. */
  readonly shared: boolean
  /** Replicas would each get every event, so only one works where turns are taken (`leader`). Default: where not `shared`. */
  readonly takesTurns?: boolean
  readonly topicSyntax: TopicSyntax
}

/** What an instance of a connector promises to the functions behind it. */
export interface Terms {
  readonly guarantee: 'at-least-once' | 'at-most-once'
  /** When the guarantee does not hold, in a few words. */
  readonly guaranteeNote?: string
  /** What orders events, in a few words; `none` where nothing does. */
  readonly order: string
  readonly capabilities: Capabilities
}

/** A configuration under which other terms hold, such as core NATS instead of JetStream. What is left out stays. */
export interface Variant<F extends Fields = Fields> extends Partial<Omit<Terms, 'capabilities'>> {
  /** As a person writes it in hub.yaml: `mode: core`. */
  readonly when: string
  applies(config: ConfigOf<F>): boolean
  readonly capabilities?: Partial<Capabilities>
}

/** A connector's declaration. The terms are those of its default configuration. */
export interface Manifest<F extends Fields = Fields> extends Terms {
  /** Folder and type name, lower case: `mqtt`. */
  readonly name: string
  /** As a person writes it: `MQTT`. */
  readonly title: string
  /** One sentence: what triggers a function. */
  readonly description: string
  /** `alpha` until the whole suite passes against the real server. */
  readonly status: 'alpha' | 'beta' | 'stable'
  /** How functions opt in: by the `topic` annotation or by `schedule`. */
  readonly trigger: 'topic' | 'schedule'
  /** Every one that applies counts, later ones over earlier ones. */
  readonly variants?: readonly Variant<F>[]
  readonly fields: F
  /** Topics in the connector's own syntax, or patterns of names, that it reads whatever annotations say; undefined: what they say. */
  reads?(config: ConfigOf<F>): readonly (string | RegExp)[] | undefined
  /** Its broker confirms what is emitted to it as kept, with headers: it can take the dead letters of others. Absent: no. */
  keepsLetters?(config: ConfigOf<F>): boolean
  /** What no field can see by itself, such as two that belong together. Undefined: nothing is wrong. Touches nothing. */
  check?(config: ConfigOf<F>): ConfigFault | undefined
}

/** Identity with inference; manifests are plain data. */
export function defineManifest<const F extends Fields>(manifest: Manifest<F>): Manifest<F> {
  return manifest
}

function termsUnder(manifest: Manifest, variants: readonly Variant[]): Terms {
  let { guarantee, guaranteeNote, order, capabilities } = manifest
  for (const variant of variants) {
    guarantee = variant.guarantee ?? guarantee
    guaranteeNote = variant.guaranteeNote ?? guaranteeNote
    order = variant.order ?? order
    capabilities = { ...capabilities, ...variant.capabilities }
  }
  return { guarantee, order, capabilities, ...(guaranteeNote === undefined ? {} : { guaranteeNote }) }
}

/** The configuration of one instance. @throws HubError HUB_CONFIG_INVALID with every problem */
export function instanceConfig<F extends Fields>(
  manifest: Manifest<F>,
  input: unknown,
  options: ParseOptions<F> = {},
): ConfigOf<F> {
  return parseConfig(manifest.fields, input, { ...options, check: (config) => manifest.check?.(config) })
}

/** What holds under this configuration. */
export function termsOf(manifest: Manifest, config: ConfigOf<Fields>): Terms {
  return termsUnder(manifest, manifest.variants?.filter((variant) => variant.applies(config)) ?? [])
}

/** What holds by default, and under each variant alone: for lists that a person reads. */
export function termsByVariant(manifest: Manifest): readonly (Terms & { readonly when?: string })[] {
  const variants = (manifest.variants ?? []).map((one) => ({ when: one.when, ...termsUnder(manifest, [one]) }))
  return [termsUnder(manifest, []), ...variants]
}
