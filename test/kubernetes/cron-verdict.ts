// What replicas that take turns must have made of a schedule that is due every second, whatever has happened to them. Pure.

import type { Call } from './cron-rig.ts'

/** Answered this long before the end of a turn, a fire may not be known to be settled: it takes a write. */
const TAIL_MS = 3000

/** Every violation, as a sentence. @param untilSecond every second up to this one was due */
export function violations(calls: readonly Call[], policy: 'none' | 'all', untilSecond: number): readonly string[] {
  const inOrder = calls.toSorted((one, other) => one.planned - other.planned || one.order - other.order)
  const made = Map.groupBy(inOrder, ({ planned }) => planned)
  const first = inOrder[0]?.planned
  if (first === undefined) return ['nothing was made']
  const found: string[] = []
  for (let second = first; second <= untilSecond; second += 1) {
    const fires = made.get(second)
    if (fires === undefined) found.push(...missing(made, second, policy))
    else found.push(...repeated(fires, calls, policy))
  }
  return found
}

/** At most once: what was claimed when a turn ended is not made again. Never within one turn. */
function missing(
  made: ReadonlyMap<number, readonly Call[]>,
  second: number,
  policy: 'none' | 'all',
): readonly string[] {
  if (policy === 'all') return [`${second} was not made`]
  const before = [...made.keys()].filter((one) => one < second).at(-1)
  const after = [...made.keys()].find((one) => one > second)
  if (after === undefined) return [`${second} was not made, nor anything after it`]
  const epochs = [made.get(before ?? after)?.[0]?.epoch, made.get(after)?.[0]?.epoch]
  return epochs[0] === epochs[1] ? [`${second} was not made, within the turn ${epochs[0]}`] : []
}

/** At least once: what was begun when a turn ended is made again in a later one. */
function repeated(fires: readonly Call[], calls: readonly Call[], policy: 'none' | 'all'): readonly string[] {
  if (fires.length === 1) return []
  const text = `${fires[0]?.planned} was made ${fires.length} times: ${fires.map(({ hub, epoch }) => `by ${hub} in ${epoch}`).join(', ')}` // prettier-ignore
  if (policy === 'none') return [text]
  const isAllowed = fires.every((fire, index) => {
    const next = fires[index + 1]
    if (next === undefined) return true
    const endMs = Math.max(...calls.filter(({ epoch }) => epoch === fire.epoch).map(({ atMs }) => atMs))
    return next.epoch > fire.epoch && next.caughtUp && fire.atMs > endMs - TAIL_MS
  })
  return isAllowed ? [] : [text]
}

/** Turns with more than one holder. */
export function sharedTurns(calls: readonly Call[]): readonly string[] {
  const holders = Map.groupBy(calls, ({ epoch }) => epoch)
  return [...holders].flatMap(([epoch, made]) => {
    const hubs = new Set(made.map(({ hub }) => hub))
    return hubs.size === 1 ? [] : [`turn ${epoch}: ${[...hubs].join(' and ')}`]
  })
}
