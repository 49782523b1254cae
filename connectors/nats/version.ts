// What servers of which version understand. Pure.

/** `+TERM <reason>`; older ones take it for nothing at all and deliver the message again. */
const TERM_REASON_SINCE = [2, 10, 4] as const

/** @param version as the server states it, `2.10.4` or `2.11.0-dev` */
export function understandsReasons(version: string | undefined): boolean {
  const parts = /^(\d+)\.(\d+)\.(\d+)/
    .exec(version ?? '')
    ?.slice(1)
    .map(Number)
  if (parts === undefined) return false
  for (const [index, since] of TERM_REASON_SINCE.entries()) {
    const part = parts[index] as number
    if (part !== since) return part > since
  }
  return true
}
