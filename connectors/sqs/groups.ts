// Which event of a queue is handed out next, and what the hub has of each group. Called by held.ts.

import type { Part } from './entry.ts'
import type { Lane } from './lane.ts'

/** In order; of a FIFO queue first of the groups that the hub has nothing of, so that they are in parallel. */
export function nextOf({ queue, ahead, busy }: Lane<Part>): Part | undefined {
  if (!queue.isFifo) return ahead.shift()
  const index = ahead.findIndex(({ entry: { group = '' } }) => !busy.has(group))
  return ahead.splice(Math.max(index, 0), 1)[0]
}

/** What the hub has of each group. */
export function count({ entry: { lane, group } }: Part, by: 1 | -1): void {
  if (group === undefined) return
  const left = (lane.busy.get(group) ?? 0) + by
  if (left > 0) lane.busy.set(group, left)
  else lane.busy.delete(group)
}
