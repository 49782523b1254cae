// Whose replicas take turns, and what of those settings is wrong or has no effect. Pure. Asked by config.ts, and by whatever
// makes or checks turns.

import type { ConfigProblem } from '../sdk/index.ts'
import type { HubSettings, InstanceConfig } from './config.ts'

/** Whether only one replica of the instance works at a time. */
export function takesTurns({ leader }: HubSettings, { settings, terms }: InstanceConfig): boolean {
  if (!leader.enabled || settings.leader === 'off') return false
  const { takesTurns: isExclusive, shared } = terms.capabilities
  return settings.leader === 'on' || (isExclusive ?? !shared)
}

/**
 * @param written keys of `leader` in the file; what is in the environment may be meant for another process
 * @param instances all of them
 */
export function turnProblems(
  settings: HubSettings,
  written: readonly string[],
  instances: readonly InstanceConfig[],
): readonly ConfigProblem[] {
  const { enabled } = settings.leader
  const wanted = instances.filter((instance) => instance.settings.leader === 'on')
  const problems = wanted.flatMap((instance) => {
    const message = enabled ? sharedProblem(instance) : 'is on, and has no effect without leader.enabled: set that to true, or remove it' // prettier-ignore
    return message === undefined ? [] : [{ path: ['connectors', instance.name, 'leader'], message }]
  })
  const reason = idleReason(settings, instances)
  if (reason === undefined) return problems
  const idle = written.filter((key) => key !== 'enabled')
  return [...problems, ...idle.map((key) => ({ path: ['leader', key], message: `has no effect: ${reason}` }))]
}

function idleReason(settings: HubSettings, instances: readonly InstanceConfig[]): string | undefined {
  if (!settings.leader.enabled) return 'set leader.enabled to true, or remove it'
  // Without any the command line names them.
  if (instances.length === 0 || instances.some((instance) => takesTurns(settings, instance))) return undefined
  return 'no connector has replicas that take turns; remove it, or set leader to on under one of connectors'
}

/** A replica that hangs stays a member of what is shared: its events would be nobody's, although another one has the turn. */
function sharedProblem({ terms: { capabilities } }: InstanceConfig): string | undefined {
  if (!capabilities.shared || capabilities.durable) return undefined
  return 'must not be on where the broker shares the events and keeps none: a replica that hangs would lose its share. Have them not shared (queueGroup: none, or no sharedGroup), or leave leader out' // prettier-ignore
}
