// The part of a wiring that belongs to one connector instance: its subscriptions, and the way from an event to triggers.
// Filled by wiring.ts, then only read; knows nothing of annotations' syntax.

import { TopicIndex } from '../sdk/index.ts'
import type {
  EventMessage,
  ScheduleSubscription,
  Subscription,
  TopicSyntax,
  Trigger,
  TriggerSettings,
} from '../sdk/index.ts'
import type { FunctionAnnotations } from './annotations.ts'
import type { FunctionInfo } from './function.ts'
import type { InstanceWiring, WiringInstance } from './wiring.ts'

/** Concrete topics whose triggers are remembered. */
const MATCHES_CACHED_MAX = 4096
/** Longer topics are looked up each time, so that the cache stays small whatever a broker carries. */
const CACHED_TOPIC_CHARS_MAX = 512

const NONE: readonly Trigger[] = []

export class InstanceBuilder {
  readonly instance: WiringInstance
  readonly #defaults: TriggerSettings
  readonly #triggers: Trigger[] = []
  readonly #topics = new Set<string>()
  readonly #schedules: ScheduleSubscription[] = []
  readonly #byFunction = new Map<string, readonly Trigger[]>()

  constructor(instance: WiringInstance, defaults: TriggerSettings) {
    this.instance = instance
    this.#defaults = defaults
  }

  /** @returns the first of the new triggers, which share their settings */
  addTopics(info: FunctionInfo, annotations: FunctionAnnotations, topics: ReadonlySet<string>): Trigger {
    const settings = annotations.settings('topic', this.#defaults)
    const added: Trigger[] = []
    for (const pattern of topics) {
      const trigger = { function: info.fullName, pattern, settings }
      this.#topics.add(pattern)
      this.#triggers.push(trigger)
      added.push(trigger)
    }
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
    const { name, type, trigger, topicSyntax } = this.instance
    const topics = Array.from(this.#topics, (topic): Subscription => ({ kind: 'topic', topic }))
    const router = new TopicRouter(topicSyntax, this.#triggers, this.#byFunction)
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
  readonly #syntax: TopicSyntax
  readonly #triggers: readonly Trigger[]
  readonly #byFunction: ReadonlyMap<string, readonly Trigger[]>
  readonly #cache = new Map<string, readonly Trigger[]>()
  /** Made for the first event: who only looks at the wiring does not wait for it. Values are places in the triggers. */
  #index: TopicIndex<number> | undefined

  /** `triggers`: those of a function stand together. */
  constructor(syntax: TopicSyntax, triggers: readonly Trigger[], byFunction: ReadonlyMap<string, readonly Trigger[]>) {
    this.#syntax = syntax
    this.#triggers = triggers
    this.#byFunction = byFunction
  }

  match({ target, topic }: EventMessage): readonly Trigger[] {
    return target === undefined ? this.byTopic(topic) : this.#target(target, topic)
  }

  byTopic(topic: string): readonly Trigger[] {
    const cached = this.#cache.get(topic)
    if (cached !== undefined) return cached
    const triggers = this.#distinct((this.#index ??= this.#indexed()).find(topic))
    if (topic.length > CACHED_TOPIC_CHARS_MAX) return triggers
    if (this.#cache.size >= MATCHES_CACHED_MAX) this.#cache.clear()
    this.#cache.set(topic, triggers)
    return triggers
  }

  #indexed(): TopicIndex<number> {
    const index = new TopicIndex<number>(this.#syntax)
    for (const [place, { pattern }] of this.#triggers.entries()) index.add(pattern, place)
    return index
  }

  /** Each function once, with its most exact pattern (the index lists exact ones first), in listing order. */
  #distinct(places: readonly number[]): readonly Trigger[] {
    if (places.length === 0) return NONE
    const byFunction = new Map<string, number>()
    for (const place of places) {
      const name = (this.#triggers[place] as Trigger).function
      if (!byFunction.has(name)) byFunction.set(name, place)
    }
    return [...byFunction.values()].sort((left, right) => left - right).map((place) => this.#triggers[place] as Trigger)
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
