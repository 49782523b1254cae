// The wiring: which function is triggered by which topic or schedule of which connector, with which settings. Immutable;
// built anew for each snapshot and swapped by reference. Called by the supervisor's composition, `plan` and `lint`.

import { nearest, topicProblem } from '../sdk/index.ts'
import type {
  EventMessage,
  Router,
  ScheduleSubscription,
  Subscription,
  TopicSyntax,
  Trigger,
  TriggerSettings,
} from '../sdk/index.ts'
import { annotationFinding, readAnnotations, type FunctionAnnotations } from './annotations.ts'
import type { Finding } from './finding.ts'
import { sameAnnotations, type FunctionInfo, type Snapshot } from './function.ts'
import { InstanceBuilder } from './instance-wiring.ts'

/** A configured connector instance, as the wiring needs to know it. */
export interface WiringInstance {
  readonly name: string
  /** Connector type, e.g. `mqtt`. */
  readonly type: string
  readonly trigger: 'topic' | 'schedule'
  readonly topicSyntax: TopicSyntax
  /** Instead of the wiring's defaults. */
  readonly defaults?: TriggerSettings
}

export interface WiringOptions {
  readonly instances: readonly WiringInstance[]
  /** Text between topics; several characters are one separator, as in OpenFaaS. '' never splits. */
  readonly delimiter: string
  readonly defaults: Omit<TriggerSettings, 'filter'>
}

/** What one connector instance subscribes to and whom it calls. */
export interface InstanceWiring extends Router {
  readonly name: string
  readonly type: string
  readonly trigger: 'topic' | 'schedule'
  /** The wanted set, without repetitions, in listing order. */
  readonly subscriptions: readonly Subscription[]
  /** One for each function and topic pattern or schedule expression, in listing order. */
  readonly triggers: readonly Trigger[]
  /**
   * The triggers of an event: of `message.target` alone where it is set, else by topic. Each function at most once, in
   * listing order. The array may be shared between calls and must not be changed.
   */
  match(message: EventMessage): readonly Trigger[]
  /** The triggers of any event of a topic. */
  triggersOf(topic: string): readonly Trigger[]
}

/** A function that nothing calls. */
export interface IdleFunction {
  readonly function: string
  /** Completes "is not called: …". */
  readonly reason: string
}

export interface Wiring {
  /** Functions in the snapshot. */
  readonly functions: number
  /** Triggers of all instances. */
  readonly triggers: number
  readonly instances: readonly InstanceWiring[]
  /** Undefined for a name that is not configured. */
  instance(name: string): InstanceWiring | undefined
  /** Of the listing and of every annotation. */
  readonly findings: readonly Finding[]
  readonly idle: readonly IdleFunction[]
  /** For the next build. */
  readonly memory: WiringMemory
}

/** What was read from annotations, by full name; exactly the functions of one snapshot. */
export interface WiringMemory {
  readonly delimiter: string
  readonly read: ReadonlyMap<string, { readonly info: FunctionInfo; readonly annotations: FunctionAnnotations }>
}

/**
 * Builds the wiring of a snapshot. Never throws for what functions say; that becomes findings.
 * @param previous reuses what was read of functions whose annotations are unchanged, settings objects included
 */
export function buildWiring(snapshot: Snapshot, options: WiringOptions, previous?: Wiring): Wiring {
  const memory = previous?.memory.delimiter === options.delimiter ? previous.memory.read : undefined
  const read = new Map<string, { readonly info: FunctionInfo; readonly annotations: FunctionAnnotations }>()
  const findings: Finding[] = [...snapshot.findings]
  const idle: IdleFunction[] = []
  const plan = new WiringPlan(options)
  for (const info of snapshot.functions) {
    if (read.has(info.fullName)) continue
    const known = memory?.get(info.fullName)
    const annotations =
      known !== undefined && sameInfo(known.info, info) ? known.annotations : readAnnotations(info, options.delimiter)
    read.set(info.fullName, { info, annotations })
    findings.push(...annotations.findings)
    const wired = plan.add(info, annotations, findings)
    if (!wired) idle.push({ function: info.fullName, reason: idleReason(info, annotations, options) })
  }
  const instances = plan.builders.map((builder) => builder.build())
  const byName = new Map(instances.map((instance) => [instance.name, instance]))
  return {
    functions: read.size,
    triggers: instances.reduce((sum, { triggers }) => sum + triggers.length, 0),
    instances,
    instance: (name) => byName.get(name),
    findings,
    idle,
    memory: { delimiter: options.delimiter, read },
  }
}

class WiringPlan {
  readonly builders: readonly InstanceBuilder[]
  readonly #topicBuilders: readonly InstanceBuilder[]
  readonly #scheduleBuilders: readonly InstanceBuilder[]
  readonly #options: WiringOptions

  constructor(options: WiringOptions) {
    this.#options = options
    this.builders = options.instances.map(
      (instance) => new InstanceBuilder(instance, instance.defaults ?? options.defaults),
    )
    this.#topicBuilders = this.builders.filter(({ instance }) => instance.trigger === 'topic')
    this.#scheduleBuilders = this.builders.filter(({ instance }) => instance.trigger === 'schedule')
  }

  /** True when at least one trigger was made. */
  add(info: FunctionInfo, annotations: FunctionAnnotations, findings: Finding[]): boolean {
    const used = new Set<TriggerSettings>()
    const wiredTopics = this.#addTopics(info, annotations, findings, used)
    const wiredSchedules = this.#addSchedules(info, annotations, used)
    if (annotations.callbackAnnotated && used.size > 0 && [...used].every(({ mode }) => mode === 'sync'))
      findings.push(
        annotationFinding(
          info,
          'warning',
          'connector.callback',
          'has no effect on synchronous invocations',
          'Set connector.mode to async.',
          'HUB_ANNOTATION_INVALID',
        ),
      )
    return wiredTopics || wiredSchedules
  }

  #addTopics(
    info: FunctionInfo,
    annotations: FunctionAnnotations,
    findings: Finding[],
    used: Set<TriggerSettings>,
  ): boolean {
    if (annotations.topics.length === 0 && annotations.topicsByInstance.size === 0) return false
    this.#checkInstances(info, annotations, findings)
    /** Topics for all connectors that none has taken yet, with what the first one said. */
    const refused = new Map<string, string>()
    const taken = new Set<string>()
    let wired = false
    for (const builder of this.#topicBuilders) {
      const { name, topicSyntax } = builder.instance
      const topics = new Set<string>()
      for (const topic of annotations.topics) {
        const problem = topicProblem(topicSyntax, topic)
        if (problem === undefined) topics.add(topic)
        else if (!refused.has(topic)) refused.set(topic, `${problem} (connector ${name})`)
      }
      for (const topic of topics) taken.add(topic)
      for (const topic of annotations.topicsByInstance.get(name) ?? []) {
        const problem = topicProblem(topicSyntax, topic)
        if (problem === undefined) topics.add(topic)
        else findings.push(topicFinding(info, `topic.${name}`, topic, `${problem} (connector ${name})`))
      }
      // A broken filter makes no trigger, because it must not fail open.
      if (topics.size === 0 || annotations.filterBroken) continue
      used.add(builder.addTopics(info, annotations, topics).settings)
      wired = true
    }
    // A topic is at fault only when no connector takes it.
    for (const [topic, problem] of refused) if (!taken.has(topic)) findings.push(topicFinding(info, 'topic', topic, problem)) // prettier-ignore
    return wired
  }

  #addSchedules(info: FunctionInfo, annotations: FunctionAnnotations, used: Set<TriggerSettings>): boolean {
    const { schedules, overlap, catchUp, jitterMs } = annotations
    if (schedules.length === 0 || this.#scheduleBuilders.length === 0) return false
    const subscriptions = schedules.map((expression): ScheduleSubscription => ({
      kind: 'schedule',
      function: info.fullName,
      expression,
      overlap,
      catchUp,
      jitterMs,
    }))
    for (const builder of this.#scheduleBuilders)
      used.add(builder.addSchedules(info, annotations, subscriptions).settings)
    return true
  }

  #checkInstances(info: FunctionInfo, { topicsByInstance }: FunctionAnnotations, findings: Finding[]): void {
    for (const name of topicsByInstance.keys()) {
      const instance = this.#options.instances.find((candidate) => candidate.name === name)
      if (instance?.trigger === 'topic') continue
      const near = nearest(name, this.#topicBuilders.map((builder) => builder.instance.name)) // prettier-ignore
      const what =
        instance === undefined
          ? `names the connector "${name}", which is not configured here${near === undefined ? '' : `; did you mean topic.${near}?`}`
          : `names the connector "${name}", which is triggered by schedules and not by topics`
      const hint =
        instance === undefined
          ? 'Use the name of an instance under connectors, or plain topic for all of them.'
          : 'Use the annotation com.openfaas.schedule.'
      findings.push(annotationFinding(info, 'warning', `topic.${name}`, what, hint, 'HUB_ANNOTATION_INVALID'))
    }
  }
}

function topicFinding(info: FunctionInfo, key: string, topic: string, problem: string): Finding {
  const hint = "Correct the topic; the connector's README states its syntax."
  return annotationFinding(info, 'error', key, `is left out for "${topic}": ${problem}`, hint, 'HUB_TOPIC_INVALID')
}

function idleReason({ annotations }: FunctionInfo, read: FunctionAnnotations, { instances }: WiringOptions): string {
  const asksTopic = read.topics.length > 0 || read.topicsByInstance.size > 0
  const asksSchedule = read.schedules.length > 0
  if (asksTopic && read.filterBroken) return 'its filter is invalid'
  if (asksSchedule && !instances.some(({ trigger }) => trigger === 'schedule'))
    return 'no schedule connector is configured'
  if (read.topics.length > 0 && !instances.some(({ trigger }) => trigger === 'topic'))
    return 'no topic connector is configured'
  if (asksTopic) return 'no configured connector takes its topics'
  const tried =
    annotations['topic'] !== undefined ||
    annotations['schedule'] !== undefined ||
    annotations['com.openfaas.schedule'] !== undefined
  return tried ? 'none of its triggers is valid' : 'it has no topic or schedule annotation'
}

/** Positions count too: findings carry them. */
function sameInfo(left: FunctionInfo, right: FunctionInfo): boolean {
  if (left === right) return true
  if (left.positions !== undefined || right.positions !== undefined) return false
  return sameAnnotations(left.annotations, right.annotations)
}
