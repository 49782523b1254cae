// A connector's declaration of itself: what it promises and what can be configured. Imports no broker client, so that
// listing every connector is instant.

import type { Fields } from './fields.ts'
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
  readonly topicSyntax: TopicSyntax
}

export interface Manifest<F extends Fields = Fields> {
  /** Folder and type name, lower case: `mqtt`. */
  readonly name: string
  /** As a person writes it: `MQTT`. */
  readonly title: string
  /** One sentence: what triggers a function. */
  readonly description: string
  /** `alpha` until the whole suite passes against the real server. */
  readonly status: 'alpha' | 'beta' | 'stable'
  readonly guarantee: 'at-least-once' | 'at-most-once'
  /** When the guarantee does not hold, in a few words. */
  readonly guaranteeNote?: string
  /** How functions opt in: by the `topic` annotation or by `schedule`. */
  readonly trigger: 'topic' | 'schedule'
  /** What orders events, in a few words; `none` where nothing does. */
  readonly order: string
  readonly capabilities: Capabilities
  readonly fields: F
}

/** Identity with inference; manifests are plain data. */
export function defineManifest<const F extends Fields>(manifest: Manifest<F>): Manifest<F> {
  return manifest
}
