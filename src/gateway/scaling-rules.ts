// How many replicas there should be: by load, by alert (OpenFaaS contract, scaling rules and alerts). Pure: no clock, no
// state. Called by the autoscaler and by the alerts route.

import type { LoadTarget, ScaleSettings } from './scale-settings.ts'

/** What binary fractions add to a quotient that is whole: 12.6 / (7 × 0.9). */
const ROUNDING = 1e-9

/**
 * ceil(ready × (load / ready) / (target × proportion)), within the limits. `current` where nothing is ready: a load per
 * replica is not known. Never 0: that is for idle functions, not for those with little to do.
 */
export function replicasForLoad(
  { current, ready, load }: { readonly current: number; readonly ready: number; readonly load: number },
  { target, proportion }: Pick<LoadTarget, 'target' | 'proportion'>,
  { min, max }: Pick<ScaleSettings, 'min' | 'max'>,
): number {
  const wanted = ready === 0 ? current : Math.ceil(load / (target * proportion) - ROUNDING)
  return Math.min(max, Math.max(min, 1, wanted))
}

/** firing: one step more, a step being `factor` percent of `max`. resolved: `min`. */
export function scaleForAlert(
  current: number,
  { min, max, factor }: Pick<ScaleSettings, 'min' | 'max' | 'factor'>,
  status: 'firing' | 'resolved',
): number {
  return status === 'firing' ? Math.min(max, current + Math.ceil((max * factor) / 100)) : min
}
