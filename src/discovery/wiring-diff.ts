// A wiring as plain data, and the difference between two of them: for the log line of a change and for `plan --against`.
// Plain, so that a plan written to a file last week can be compared with today's wiring.

import { formatDuration, redactUrl } from '../sdk/index.ts'
import type { ScheduleSubscription, Trigger, TriggerSettings } from '../sdk/index.ts'
import type { InstanceWiring, Wiring } from './wiring.ts'

export interface TriggerView {
  readonly function: string
  /** Topic pattern or schedule expression. */
  readonly pattern: string
  /** As a person writes them; callback URLs without credentials. */
  readonly settings: Readonly<Record<string, string>>
}

export interface InstanceView {
  readonly name: string
  readonly type: string
  readonly triggers: readonly TriggerView[]
}

/** Survives `JSON.stringify` and `JSON.parse` unchanged. */
export interface WiringView {
  readonly instances: readonly InstanceView[]
}

export interface InstanceDiff {
  readonly name: string
  readonly added: readonly TriggerView[]
  readonly removed: readonly TriggerView[]
  readonly changed: readonly { readonly before: TriggerView; readonly after: TriggerView }[]
}

export function viewWiring(wiring: Wiring): WiringView {
  return { instances: wiring.instances.map(viewInstance) }
}

/** Instances without a difference are left out, so an empty list says that the wirings are equal. */
export function diffWirings(before: WiringView, after: WiringView): readonly InstanceDiff[] {
  const earlier = new Map(before.instances.map((instance) => [instance.name, instance]))
  const later = new Set(after.instances.map(({ name }) => name))
  const kept = after.instances.map(({ name, triggers }) =>
    diffTriggers(name, earlier.get(name)?.triggers ?? [], triggers),
  )
  const gone = before.instances
    .filter(({ name }) => !later.has(name))
    .map(({ name, triggers }) => diffTriggers(name, triggers, []))
  return [...kept, ...gone].filter(({ added, removed, changed }) => added.length + removed.length + changed.length > 0)
}

function diffTriggers(name: string, before: readonly TriggerView[], after: readonly TriggerView[]): InstanceDiff {
  const earlier = new Map(before.map((trigger) => [key(trigger), trigger]))
  const added: TriggerView[] = []
  const changed: { readonly before: TriggerView; readonly after: TriggerView }[] = []
  for (const trigger of after) {
    const old = earlier.get(key(trigger))
    earlier.delete(key(trigger))
    if (old === undefined) added.push(trigger)
    else if (!sameSettings(old.settings, trigger.settings)) changed.push({ before: old, after: trigger })
  }
  return { name, added, removed: [...earlier.values()], changed }
}

function key({ function: name, pattern }: TriggerView): string {
  return `${name}\0${pattern}`
}

function sameSettings(left: TriggerView['settings'], right: TriggerView['settings']): boolean {
  const keys = Object.keys(left)
  return keys.length === Object.keys(right).length && keys.every((name) => left[name] === right[name])
}

function viewInstance({ name, type, triggers, subscriptions }: InstanceWiring): InstanceView {
  const schedules = new Map<string, ScheduleSubscription>()
  for (const subscription of subscriptions)
    if (subscription.kind === 'schedule')
      schedules.set(`${subscription.function}\0${subscription.expression}`, subscription)
  const views = new Map<TriggerSettings, TriggerView['settings']>()
  const view = ({ function: fullName, pattern, settings }: Trigger): TriggerView => {
    let common = views.get(settings)
    if (common === undefined) views.set(settings, (common = viewSettings(settings)))
    const schedule = schedules.size === 0 ? undefined : schedules.get(`${fullName}\0${pattern}`)
    if (schedule === undefined) return { function: fullName, pattern, settings: common }
    const { overlap, catchUp, jitterMs } = schedule
    return {
      function: fullName,
      pattern,
      settings: { ...common, overlap, 'catch-up': catchUp, jitter: formatDuration(jitterMs) },
    }
  }
  return { name, type, triggers: triggers.map(view) }
}

function viewSettings({
  mode,
  timeoutMs,
  concurrency,
  ordering,
  retry,
  filter,
  callbackUrl,
}: TriggerSettings): TriggerView['settings'] {
  return {
    mode,
    timeout: formatDuration(timeoutMs),
    concurrency: String(concurrency),
    ordering,
    'retry.attempts': String(retry.attempts),
    'retry.codes':
      retry.codes === undefined ? 'default' : [...retry.codes].sort((left, right) => left - right).join(','),
    'retry.min_wait': formatDuration(retry.minWaitMs),
    'retry.max_wait': formatDuration(retry.maxWaitMs),
    'retry.jitter': retry.jitter,
    ...(filter === undefined ? {} : { filter: filter.expression }),
    ...(callbackUrl === undefined ? {} : { callback: redactUrl(callbackUrl) }),
  }
}
