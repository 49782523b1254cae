// What servers of which version understand. Pure.

type Version = readonly [number, number, number]

/** `+TERM <reason>`; older ones take it for nothing at all and deliver the message again. */
const TERM_REASON_SINCE: Version = [2, 10, 4]
/** Consumers by name and filter, and the next message of a filter: what reading and looking are made of. */
const JETSTREAM_SINCE: Version = [2, 9, 4]

/** @param version as the server states it, `2.10.4` or `2.11.0-dev` */
export function understandsReasons(version: string | undefined): boolean {
  return isSince(version, TERM_REASON_SINCE) ?? false
}

/** The version that JetStream needs, where this one is older; one that is not understood is not. */
export function tooOldFor(version: string | undefined): string | undefined {
  return isSince(version, JETSTREAM_SINCE) === false ? JETSTREAM_SINCE.join('.') : undefined
}

function isSince(version: string | undefined, since: Version): boolean | undefined {
  const parts = /^(\d+)\.(\d+)\.(\d+)/
    .exec(version ?? '')
    ?.slice(1)
    .map(Number)
  if (parts === undefined) return undefined
  for (const [index, min] of since.entries()) {
    const part = parts[index] as number
    if (part !== min) return part > min
  }
  return true
}
