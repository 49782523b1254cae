// Bounds what is remembered: sets and maps know the order in which their keys came.

/** Forgets the key that came first when there are more than `max`; called after each that is added. */
export function keepNewest<K>(remembered: Set<K> | Map<K, unknown>, max: number): void {
  if (remembered.size > max) remembered.delete(remembered.keys().next().value as K)
}
