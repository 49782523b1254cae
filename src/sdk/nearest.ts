// "Did you mean …?": the known word closest to a mistyped one.

/**
 * The candidate within an edit distance that a typo explains: a third of its length or 2, and never more than half of
 * the longer word, so that short words are not taken for each other. Undefined when none is; the first of equals wins.
 */
export function nearest(wrong: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Infinity
  for (const candidate of candidates) {
    const distance = editDistance(wrong.toLowerCase(), candidate.toLowerCase())
    const plausible =
      distance <= Math.max(2, Math.floor(candidate.length / 3)) &&
      distance * 2 <= Math.max(candidate.length, wrong.length)
    if (!plausible || distance >= bestDistance) continue
    best = candidate
    bestDistance = distance
  }
  return best
}

/** Levenshtein distance; inputs are cut at 64 characters, beyond which nothing is a typo. */
function editDistance(left: string, right: string): number {
  const a = left.slice(0, 64)
  const b = right.slice(0, 64)
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const substituted = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      current.push(Math.min((previous[j] as number) + 1, (current[j - 1] as number) + 1, substituted))
    }
    previous = current
  }
  return previous[b.length] as number
}
