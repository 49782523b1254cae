// What two views of the same functions do not agree on, and whether that lasts: each view learns of a change at its own time.
// Blocks nothing; called by the watchers and by commands that look once.

import type { Clock, ClockTimer } from '../sdk/index.ts'
import { isHubAnnotation } from './annotation-table.ts'
import type { Finding } from './finding.ts'
import { fullFunctionName, type FunctionInfo } from './function.ts'

/** Findings of one cross-check; a wrong gateway would differ in thousands. */
const SHOWN_MAX = 20

/** Keys of the hub's annotations that one has and the other not, or not so. Sorted. */
export function differingAnnotations(left: FunctionInfo, right: FunctionInfo): readonly string[] {
  const keys = new Set([...Object.keys(left.annotations), ...Object.keys(right.annotations)])
  return [...keys].filter((key) => isHubAnnotation(key) && left.annotations[key] !== right.annotations[key]).sort()
}

/**
 * Of the cluster's functions and the gateway's, by function.
 * @param functionNamespace where the functions of a gateway without namespaces are
 */
export function gatewayDifferences(
  cluster: readonly FunctionInfo[],
  gateway: readonly FunctionInfo[],
  functionNamespace: string,
): ReadonlyMap<string, Finding> {
  const differences = new Map<string, Finding>()
  const known = new Map(
    gateway.map((info) => [
      info.namespace === '' ? fullFunctionName(info.name, functionNamespace) : info.fullName,
      info,
    ]),
  )
  for (const info of cluster) {
    const { fullName } = info
    const listed = known.get(fullName)
    known.delete(fullName)
    const keys = listed === undefined ? [] : differingAnnotations(info, listed)
    if (listed === undefined)
      differences.set(fullName, difference(fullName, '', 'is in the cluster, and the gateway does not list it'))
    else if (keys.length > 0) {
      const what = `has another ${keys.join(', ')} in the cluster than the gateway lists; that of the cluster counts`
      differences.set(fullName, difference(fullName, keys[0] as string, what))
    }
  }
  for (const fullName of known.keys()) {
    const what = 'is listed by the gateway, and is not in the cluster as it is read here: nothing triggers it'
    differences.set(fullName, difference(fullName, '', what))
  }
  return differences
}

/** The first ones, in order, and how many more there are. */
export function shownDifferences(differences: readonly Finding[]): readonly Finding[] {
  const sorted = [...differences].sort((left, right) => (left.function < right.function ? -1 : 1))
  if (sorted.length <= SHOWN_MAX) return sorted
  const more = `${sorted.length - SHOWN_MAX} more functions are not the same in the cluster and at the gateway`
  return [...sorted.slice(0, SHOWN_MAX), { ...difference('', '', ''), message: more }]
}

function difference(fullName: string, annotation: string, what: string): Finding {
  return {
    level: 'warning',
    code: 'HUB_DISCOVERY_DIFFERS',
    function: fullName,
    annotation,
    message: `${fullName} ${what}`,
    hint: 'Check that gateway.url and gateway.namespaces are of this cluster, and deploy the function again.',
  }
}

/** Remembers since when differences are there, and lets through those that stay. */
export class LastingDifferences {
  readonly #clock: Clock
  readonly #graceMs: number
  readonly #onDue: () => void
  #since: ReadonlyMap<string, { readonly message: string; readonly atMs: number }> = new Map()
  #timer: ClockTimer | undefined

  /** @param onDue called when a difference has become a lasting one, which the next `of` then returns */
  constructor(clock: Clock, graceMs: number, onDue: () => void) {
    this.#clock = clock
    this.#graceMs = graceMs
    this.#onDue = onDue
  }

  /** Those of `current` that have been there for the time of grace. */
  of(current: ReadonlyMap<string, Finding>): readonly Finding[] {
    const nowMs = this.#clock.monotonic()
    const since = new Map<string, { readonly message: string; readonly atMs: number }>()
    const lasting: Finding[] = []
    let nextMs = Number.POSITIVE_INFINITY
    for (const [name, finding] of current) {
      const before = this.#since.get(name)
      const atMs = before?.message === finding.message ? before.atMs : nowMs
      since.set(name, { message: finding.message, atMs })
      const dueMs = atMs + this.#graceMs - nowMs
      if (dueMs <= 0) lasting.push(finding)
      else nextMs = Math.min(nextMs, dueMs)
    }
    this.#since = since
    this.#timer?.cancel()
    this.#timer = nextMs === Number.POSITIVE_INFINITY ? undefined : this.#clock.after(nextMs, this.#onDue)
    return lasting
  }

  close(): void {
    this.#timer?.cancel()
  }
}
