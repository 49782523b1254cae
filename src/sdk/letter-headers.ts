// What every connector writes beside a dead letter in its broker's own place, so that a redrive finds it whatever the broker.

import type { DeadLetter } from './delivery.ts'

/** Headers of one letter; numbers stay numbers where the broker has them. The connector adds where the event came from. */
export function letterHeaders({
  message,
  function: name,
  reason,
  status,
  attempts,
  failedAtMs,
}: DeadLetter): Readonly<Record<string, string | number>> {
  // prettier-ignore
  return {
    'hub-function': name,
    'hub-reason': reason,
    'hub-attempts': attempts,
    ...(status === undefined ? {} : { 'hub-status': status }),
    'hub-failed-at': new Date(failedAtMs).toISOString(),
    'hub-connector': message.source,
    'hub-event-id': message.id,
  }
}
