// Percent-encoding (RFC 3986 §2.1) that somebody else has written, and perhaps wrongly.

/** Undefined where a % begins no escape, or where the escapes are not UTF-8. */
export function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

export function isPercentEncoded(text: string): boolean {
  return percentDecoded(text) !== undefined
}
