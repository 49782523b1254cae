// The Retry-After header, RFC 9110 §10.2.3.

/** Milliseconds to wait from `nowMs`, never negative; undefined when the value is neither seconds nor an HTTP date. */
export function parseRetryAfter(value: string, nowMs: number): number | undefined {
  const text = value.trim()
  if (/^\d+$/.test(text)) return Number(text) * 1000
  // An HTTP date always names its day and zone; Date.parse alone would take almost anything.
  if (!/^[A-Z][a-z]{2}, .* GMT$/.test(text)) return undefined
  const atMs = Date.parse(text)
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs)
}
