// What in a running hub would keep an event from a function, or keeps it: a connector that is paused, a function at its
// limit, a retry that is waited for. For `explain`.

import type { OpenCall, OpenDelivery } from '../delivery/flight.ts'
import type { OpenWork } from '../hub/admin.ts'
import { formatDuration } from '../sdk/index.ts'
import { counted } from './output.ts'

/** Of everything that comes from a connector: sentences without a full stop; none when it runs. */
export function connectorHoldUps({ gatewayReachable, connectors }: OpenWork, connector: string): readonly string[] {
  const status = connectors.find((one) => one.connector === connector)
  const own =
    status === undefined
      ? [`this hub does not run ${connector}`]
      : status.state === 'active'
        ? []
        : status.state === 'standby'
          ? [`${connector} stands by: ${status.leader?.holder ?? 'nobody'} has the turn`]
          : [`${connector} is paused: ${status.state}${status.problem === undefined ? '' : `, ${status.problem}`}`]
  return gatewayReachable ? own : [...own, 'everything is paused: the gateway cannot be reached']
}

/** Of one function, over all connectors that share its limit. @param key ordering key of the event, where it has one */
export function functionHoldUps(
  { deliveries }: OpenWork,
  connector: string,
  name: string,
  key: string | undefined,
  nowMs: number,
): readonly string[] {
  const calls = deliveries.flatMap((delivery) => delivery.calls.flatMap((call) => (call.function === name ? [{ delivery, call }] : []))) // prettier-ignore
  const inState = (state: OpenCall['state']): number => calls.filter(({ call }) => call.state === state).length
  const found: string[] = []
  if (inState('limited') > 0)
    found.push(`limited: ${counted(inState('invoking'), 'invocation')} running, ${counted(inState('limited'), 'event')} waiting for a turn`) // prettier-ignore
  const held = calls.filter(({ call }) => call.state === 'held')
  const [next] = held.map(({ call }) => call).toSorted((left, right) => (left.untilMs ?? 0) - (right.untilMs ?? 0))
  if (next !== undefined) found.push(`retrying: ${counted(held.length, 'event')} held, ${heldText(next, nowMs)}`)
  const before = calls.filter(({ delivery, call }) => call.state !== 'done' && key !== undefined && delivery.source === connector && delivery.orderingKey === key) // prettier-ignore
  if (before.length > 0) found.push(`waiting: ${counted(before.length, 'earlier event')} of key ${key} not settled`)
  return found
}

/** What one open delivery waits for: a line for each function. */
export function openCallText({ state, attempts, status, ...held }: OpenCall, nowMs: number): string {
  const tried = attempts === 0 ? 'not invoked yet' : `${counted(attempts, 'attempt')}, last status ${status === 0 ? 'none' : status}` // prettier-ignore
  return `${STATES[state]}; ${tried}${state === 'held' ? `; ${heldText(held, nowMs)}` : ''}`
}

export function ageText({ receivedAtMs }: OpenDelivery, nowMs: number): string {
  return formatDuration(Math.max(0, Math.round(nowMs - receivedAtMs)))
}

const STATES: Readonly<Record<OpenCall['state'], string>> = {
  'in-lane': 'behind an earlier event of the same key',
  limited: 'limited: waiting for a turn',
  invoking: 'being invoked',
  held: 'held for another try',
  gated: 'paused: the gateway cannot be reached',
  burying: 'failed for good, its dead letter is being written',
  done: 'done',
}

function heldText({ reason, untilMs }: Pick<OpenCall, 'reason' | 'untilMs'>, nowMs: number): string {
  const wait = untilMs === undefined ? '' : `next try in ${formatDuration(Math.max(0, Math.round(untilMs - nowMs)))}`
  return reason === undefined ? wait : `${wait}, after: ${reason}`
}
