// Percent-encoding, as in the parts of a URL that people write by hand.

/** Whether `decodeURIComponent` takes it: every % begins an escape, and those are UTF-8 (RFC 3986 §2.1). */
export function isPercentEncoded(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}
