// Reads what a function's annotations ask of the hub: triggers and settings, by annotation-table.ts. Knows nothing of
// connectors. Called by the wiring for each function whose annotations changed.

import {
  nearest,
  scheduleProblem,
  splitSchedules,
  type CatchUpPolicy,
  type ConfigOf,
  type ErrorCode,
  type EventFilter,
  type Field,
  type OverlapPolicy,
  type TriggerSettings,
} from '../sdk/index.ts'
import { CRON_TOPIC, RETRY_ANNOTATIONS, SETTING_ANNOTATIONS, TOPIC_PREFIX, settingsLike } from './annotation-table.ts'
import { compileFilter } from './filter.ts'
import type { Finding } from './finding.ts'
import type { FunctionInfo } from './function.ts'

const TOPICS_MAX = 1000
const SCHEDULES_MAX = 100

type SettingKey = keyof typeof SETTING_ANNOTATIONS
type Settings = Partial<ConfigOf<typeof SETTING_ANNOTATIONS> & ConfigOf<typeof RETRY_ANNOTATIONS>>

/** What the annotations of one function ask for. Immutable; independent of the connectors that are configured. */
export interface FunctionAnnotations {
  /** From `topic`, without the cron marker. */
  readonly topics: readonly string[]
  /** From `topic.<instance>`, by instance. */
  readonly topicsByInstance: ReadonlyMap<string, readonly string[]>
  /** Valid expressions. */
  readonly schedules: readonly string[]
  readonly overlap: OverlapPolicy
  readonly catchUp: CatchUpPolicy
  readonly jitterMs: number
  /** An invalid filter must not let events through: no topic trigger may be made. */
  readonly filterBroken: boolean
  readonly callbackAnnotated: boolean
  /** The defaults with what is annotated; with the filter for topics. Same object for the same arguments. */
  settings(kind: 'topic' | 'schedule', defaults: TriggerSettings): TriggerSettings
  readonly findings: readonly Finding[]
}

/**
 * Reads one function. Never throws: an invalid value leaves out only its own trigger or setting, with a finding; except
 * that an invalid filter leaves out all topic triggers, because events it was to keep away must not reach the function.
 * @param delimiter the text between topics, one or several characters long, used as one string; '' never splits
 */
export function readAnnotations(info: FunctionInfo, delimiter: string): FunctionAnnotations {
  const reader = new Reader(info)
  const { annotations } = info
  const all = annotations['topic'] === undefined ? [] : reader.topics('topic', annotations['topic'], delimiter)
  let own: Map<string, readonly string[]> | undefined
  for (const [key, value] of Object.entries(annotations)) {
    if (key.startsWith(TOPIC_PREFIX))
      (own ??= new Map<string, readonly string[]>()).set(key.slice(TOPIC_PREFIX.length), reader.topics(key, value, delimiter)) // prettier-ignore
    else reader.checkKnown(key)
  }
  const topicsByInstance = own ?? NO_TOPICS
  const schedules = reader.schedules(all.includes(CRON_TOPIC))
  const settings = reader.settings()
  reader.checkScheduleSettings(schedules.length > 0)
  const filter = reader.filter(settings['connector.filter'])
  if (filter !== undefined && topicsByInstance.size === 0 && all.every((topic) => topic === CRON_TOPIC))
    reader.warnFilterAlone()
  // Most functions leave everything at the defaults, and there may be ten thousand of them.
  const isPlain = settings === NO_SETTINGS
  const merged = isPlain
    ? undefined
    : {
        topic: new WeakMap<TriggerSettings, TriggerSettings>(),
        schedule: new WeakMap<TriggerSettings, TriggerSettings>(),
      }
  return {
    topics: all.filter((topic) => topic !== CRON_TOPIC),
    topicsByInstance,
    schedules,
    overlap: settings['connector.overlap'] ?? 'forbid',
    catchUp: settings['connector.catch-up'] ?? 'none',
    jitterMs: settings['connector.jitter'] ?? 0,
    filterBroken: annotations['connector.filter'] !== undefined && filter === undefined,
    callbackAnnotated: settings['connector.callback'] !== undefined,
    settings(kind, defaults) {
      if (merged === undefined) return defaults
      let found = merged[kind].get(defaults)
      if (found === undefined) {
        found = merge(defaults, settings)
        if (kind === 'topic' && filter !== undefined) found = { ...found, filter }
        merged[kind].set(defaults, found)
      }
      return found
    },
    findings: reader.findings,
  }
}

/** Splits at the delimiter, trims, and drops empty pieces; repetitions stay (OpenFaaS contract, topic map build). */
export function splitTopics(annotation: string, delimiter: string): string[] {
  const pieces = delimiter === '' ? [annotation] : annotation.split(delimiter)
  return pieces.map((piece) => piece.trim()).filter((piece) => piece !== '')
}

const NO_SETTINGS: Settings = {}
const NO_TOPICS: ReadonlyMap<string, readonly string[]> = new Map()

class Reader {
  readonly findings: Finding[] = []
  readonly #info: FunctionInfo

  constructor(info: FunctionInfo) {
    this.#info = info
  }

  topics(key: string, value: string, delimiter: string): string[] {
    const pieces = splitTopics(value, delimiter)
    const topics = [...new Set(pieces)]
    if (topics.length === 0) this.#warn(key, 'names no topic', 'Name at least one topic, or remove the annotation.')
    if (topics.length < pieces.length) {
      const rest = new Set(topics)
      const repeated = [...new Set(pieces.filter((piece) => !rest.delete(piece)))]
      this.#warn(
        key,
        `names ${repeated.map((topic) => `"${topic}"`).join(', ')} more than once; the function is called once an event`,
        'Remove the repetition.',
      )
    }
    if (topics.length <= TOPICS_MAX) return topics
    this.#error(
      key,
      `names ${topics.length} topics; those after the first ${TOPICS_MAX} are left out`,
      'Use a wildcard, or spread the topics over several functions.',
    )
    return topics.slice(0, TOPICS_MAX)
  }

  /** `schedule` counts only for a function marked by the cron topic, as in OpenFaaS; `com.openfaas.schedule` always does. */
  schedules(marked: boolean): string[] {
    const { schedule, 'com.openfaas.schedule': own } = this.#info.annotations
    if (marked && schedule === undefined && own === undefined)
      this.#error(
        'topic',
        `names ${CRON_TOPIC}, but there is no schedule, so the function is never called by it`,
        'Add a schedule annotation such as "0 9 * * 1-5".',
      )
    if (!marked && schedule !== undefined)
      this.#warn(
        'schedule',
        `has no effect without topic: ${CRON_TOPIC}`,
        `Add ${CRON_TOPIC} to the topic annotation, or rename schedule to com.openfaas.schedule.`,
      )
    const found = new Set<string>()
    if (marked && schedule !== undefined) this.#readSchedules('schedule', schedule, found)
    if (own !== undefined) this.#readSchedules('com.openfaas.schedule', own, found)
    return [...found]
  }

  #readSchedules(key: string, value: string, found: Set<string>): void {
    const expressions = splitSchedules(value)
    if (expressions.length === 0)
      this.#error(
        key,
        'holds no expression',
        'Write five fields such as "0 9 * * 1-5", @every 30s or @hourly.',
        'HUB_SCHEDULE_INVALID',
      )
    if (expressions.length > SCHEDULES_MAX)
      this.#error(
        key,
        `holds ${expressions.length} expressions; those after the first ${SCHEDULES_MAX} are left out`,
        'Merge expressions.',
        'HUB_SCHEDULE_INVALID',
      )
    for (const expression of expressions.slice(0, SCHEDULES_MAX)) {
      const problem = scheduleProblem(expression)
      if (problem === undefined) found.add(expression)
      else
        this.#error(
          key,
          `is left out for "${expression}": ${problem}`,
          'Try the expression with `connector-hub cron next`.',
          'HUB_SCHEDULE_INVALID',
        )
    }
  }

  settings(): Settings {
    const { annotations } = this.#info
    let isSet = false
    for (const key in annotations) isSet ||= key.startsWith('connector.') || key.startsWith('com.openfaas.')
    if (!isSet) return NO_SETTINGS
    const settings: Record<string, unknown> = {}
    for (const [key, declared] of Object.entries<Field>(SETTING_ANNOTATIONS)) {
      const read = this.#read(key, declared)
      if (read.problem === undefined) settings[key] = read.value
      // The filter has consequences of its own, which `filter` reports.
      else if (key !== 'connector.filter')
        this.#error(key, `${read.problem}; the setting is left out`, declared.options.description)
    }
    for (const [key, declared] of Object.entries<Field>(RETRY_ANNOTATIONS)) {
      const { value, problem } = this.#read(key, declared)
      if (problem === undefined) settings[key] = value
      else this.#warn(key, `${problem}; the default is used`, declared.options.description)
    }
    this.#checkWaits(settings)
    return settings
  }

  #checkWaits(settings: Settings): void {
    const minWaitMs = settings['com.openfaas.retry.min_wait']
    const maxWaitMs = settings['com.openfaas.retry.max_wait']
    if (minWaitMs === undefined || maxWaitMs === undefined || minWaitMs <= maxWaitMs) return
    this.#warn(
      'com.openfaas.retry.max_wait',
      'is below com.openfaas.retry.min_wait; the defaults of both are used',
      'Set max_wait to at least min_wait.',
    )
    delete (settings as { 'com.openfaas.retry.min_wait'?: unknown })['com.openfaas.retry.min_wait']
    delete (settings as { 'com.openfaas.retry.max_wait'?: unknown })['com.openfaas.retry.max_wait']
  }

  /** Absent annotations are undefined: the default of the field is the caller's. */
  #read(key: string, declared: Field): { readonly value?: unknown; readonly problem?: string } {
    const text = this.#info.annotations[key]
    if (text === undefined) return {}
    const result = declared.schema.safeParse(declared.fromText(text.trim()))
    return result.success ? { value: result.data } : { problem: result.error.issues[0]?.message ?? 'is invalid' }
  }

  filter(expression: string | undefined): EventFilter | undefined {
    if (expression === undefined) return undefined
    const { filter, problem } = compileFilter(expression)
    if (filter === undefined)
      this.#error(
        'connector.filter',
        `is invalid, so the function's topic triggers are left out: ${problem}`,
        'Correct the CEL expression; it may use topic, source, key, attempt, headers, data, text and size.',
      )
    return filter
  }

  warnFilterAlone(): void {
    this.#warn(
      'connector.filter',
      'has no effect without a topic: schedules are never filtered',
      'Remove it, or add a topic.',
    )
  }

  checkScheduleSettings(scheduled: boolean): void {
    if (scheduled) return
    for (const key of ['connector.overlap', 'connector.catch-up', 'connector.jitter'] satisfies SettingKey[])
      if (this.#info.annotations[key] !== undefined)
        this.#warn(key, 'has no effect without a valid schedule', 'Remove it, or add a schedule.')
  }

  /** Only keys of the hub's own prefixes can be misspelt; all others belong to somebody else. */
  checkKnown(key: string): void {
    const known = settingsLike(key)
    if (known === undefined || Object.hasOwn(known, key)) return
    const near = nearest(key, Object.keys(known))
    this.#warn(
      key,
      `is not a known annotation and has no effect${near === undefined ? '' : `; did you mean ${near}?`}`,
      near === undefined ? 'Remove it.' : `Rename it to ${near}.`,
    )
  }

  #error(annotation: string, what: string, hint: string, code: ErrorCode = 'HUB_ANNOTATION_INVALID'): void {
    this.findings.push(annotationFinding(this.#info, 'error', annotation, what, hint, code))
  }

  #warn(annotation: string, what: string, hint: string): void {
    this.findings.push(annotationFinding(this.#info, 'warning', annotation, what, hint, 'HUB_ANNOTATION_INVALID'))
  }
}

/** A finding about one annotation; `what` continues the sentence that begins with its key. */
export function annotationFinding(
  info: FunctionInfo,
  level: Finding['level'],
  annotation: string,
  what: string,
  hint: string,
  code: ErrorCode,
): Finding {
  const position = info.positions?.get(annotation) ?? info.positions?.get('')
  const message = `${info.fullName}: ${annotation} ${what}`
  return {
    level,
    code,
    function: info.fullName,
    annotation,
    message,
    hint,
    ...(position === undefined ? {} : { position }),
  }
}

function merge(defaults: TriggerSettings, settings: Settings): TriggerSettings {
  const { retry } = defaults
  const minWaitMs = settings['com.openfaas.retry.min_wait']
  const maxWaitMs = settings['com.openfaas.retry.max_wait']
  const codes = settings['com.openfaas.retry.codes']
  const callback = settings['connector.callback']
  // Normalised, so that it is plain ASCII and safe in a header.
  const callbackUrl = callback === undefined ? defaults.callbackUrl : new URL(callback).href
  return {
    mode: settings['connector.mode'] ?? defaults.mode,
    timeoutMs: settings['connector.timeout'] ?? defaults.timeoutMs,
    concurrency: settings['connector.concurrency'] ?? defaults.concurrency,
    ordering: settings['connector.ordering'] ?? defaults.ordering,
    retry: {
      attempts: settings['com.openfaas.retry.attempts'] ?? retry.attempts,
      codes: codes === undefined ? retry.codes : new Set(codes),
      // What is annotated wins over a default that it contradicts.
      minWaitMs: minWaitMs ?? Math.min(retry.minWaitMs, maxWaitMs ?? Infinity),
      maxWaitMs: maxWaitMs ?? Math.max(retry.maxWaitMs, minWaitMs ?? 0),
      jitter: retry.jitter,
    },
    ...(callbackUrl === undefined ? {} : { callbackUrl }),
  }
}
