// Instants that somebody else has stated: a publisher may write any number, which Date does not take (ECMA-262 §21.4.1.1).

/** ISO 8601; `?` for what is no instant. */
export function instantText(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? '?' : date.toISOString()
}
