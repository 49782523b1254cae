// The part of a wiring that belongs to one connector instance: its subscriptions, and the way from an event to triggers.
// Filled by wiring.ts, then only read; knows nothing of annotations' syntax.

import { TopicIndex } from '../sdk/index.ts'
import type { EventMessage, ScheduleSubscription, Subscription, Trigger, TriggerSettings } from '../sdk/index.ts'
import type { FunctionAnnotations } from './annotations.ts'
import type { FunctionInfo } from './function.ts'
import type { InstanceWiring, WiringInstance } from './wiring.ts'

/** Concrete topics whose triggers are remembered. */
const MATCHES_CACHED_MAX = 4096
/** Longer topics are looked up each time, so that the cache stays small whatever a broker carries. */
const CACHED_TOPIC_CHARS_MAX = 512

interface Entry {
  readonly trigger: Trigger
  /** Place of the function in the listing. */
  readonly order: number
}

const NONE: readonly Trigger[] = []

export class InstanceBuilder {
  readonly instance: WiringInstance
  readonly #defaults: TriggerSettings
  readonly #triggers: Trigger[] = []
  readonly #topics = new Set<string>()
  readonly #schedules: ScheduleSubscription[] = []
  readonly #index: TopicIndex<Entry>
  readonly #byFunction = new Map<string, readonly Trigger[]>()
  #order = 0

  constructor(instance: WiringInstance, defaults: TriggerSettings) {
    this.instance = instance
    this.#defaults = defaults
    this.#index = new TopicIndex(instance.topicSyntax)
  }

  /** @returns the first of the new triggers, which share their settings */
  addTopics(info: FunctionInfo, annotations: FunctionAnnotations, topics: ReadonlySet<string>): Trigger {
    const settings = annotations.settings('topic', this.#defaults)
    const order = this.#order++
    const added = [...topics].map((pattern): Trigger => ({ function: info.fullName, pattern, settings }))
    for (const trigger of added) {
      this.#topics.add(trigger.pattern)
      this.#index.add(trigger.pattern, { trigger, order })
    }
    this.#triggers.push(...added)
    this.#byFunction.set(info.fullName, added)
    return added[0] as Trigger
  }

  /** @returns the trigger of every fire */
  addSchedules(
    info: FunctionInfo,
    annotations: FunctionAnnotations,
    schedules: readonly ScheduleSubscription[],
  ): Trigger {
    const settings = annotations.settings('schedule', this.#defaults)
    this.#schedules.push(...schedules)
    const added = schedules.map(({ expression }): Trigger => ({
      function: info.fullName,
      pattern: expression,
      settings,
    }))
    // An event does not say which expression fired; its trigger names them all, as the annotation does.
    const all = schedules.map(({ expression }) => expression).join('; ')
    this.#triggers.push(...added)
    const trigger = { function: info.fullName, pattern: all, settings }
    this.#byFunction.set(info.fullName, [trigger])
    return trigger
  }

  build(): InstanceWiring {
    const { name, type, trigger } = this.instance
    const topics = [...this.#topics].map((topic): Subscription => ({ kind: 'topic', topic }))
    const router = new TopicRouter(this.#index, this.#byFunction)
    return {
      name,
      type,
      trigger,
      subscriptions: trigger === 'topic' ? topics : this.#schedules,
      triggers: this.#triggers,
      match: (message) => router.match(message),
      triggersOf: (topic) => router.byTopic(topic),
    }
  }
}

class TopicRouter {
  readonly #index: TopicIndex<Entry>
  readonly #byFunction: ReadonlyMap<string, readonly Trigger[]>
  readonly #cache = new Map<string, readonly Trigger[]>()

  constructor(index: TopicIndex<Entry>, byFunction: ReadonlyMap<string, readonly Trigger[]>) {
    this.#index = index
    this.#byFunction = byFunction
  }

  match({ target, topic }: EventMessage): readonly Trigger[] {
    return target === undefined ? this.byTopic(topic) : this.#target(target, topic)
  }

  byTopic(topic: string): readonly Trigger[] {
    const cached = this.#cache.get(topic)
    if (cached !== undefined) return cached
    const triggers = distinct(this.#index.find(topic))
    if (topic.length > CACHED_TOPIC_CHARS_MAX) return triggers
    if (this.#cache.size >= MATCHES_CACHED_MAX) this.#cache.clear()
    this.#cache.set(topic, triggers)
    return triggers
  }

  /** The function's trigger for this topic, or its first one: a targeted event (a schedule, a redrive) needs no match. */
  #target(target: string, topic: string): readonly Trigger[] {
    const own = this.#byFunction.get(target)
    if (own === undefined) return NONE
    if (own.length === 1) return own
    const matched = this.byTopic(topic).find((trigger) => trigger.function === target)
    return [matched ?? (own[0] as Trigger)]
  }
}

/** Each function once, with its most exact pattern (the index lists exact ones first), in listing order. */
function distinct(entries: readonly Entry[]): readonly Trigger[] {
  if (entries.length === 0) return NONE
  const byOrder = new Map<number, Trigger>()
  for (const { trigger, order } of entries) if (!byOrder.has(order)) byOrder.set(order, trigger)
  return [...byOrder].sort(([left], [right]) => left - right).map(([, trigger]) => trigger)
}
