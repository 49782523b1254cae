// What a source with a buffer hands to the hub: the buffer, and a sign that nobody reads any more. For connectors.

import type { DeliveryBuffer } from './delivery-buffer.ts'
import type { Delivery } from './delivery.ts'

/**
 * @param stopped called when the reader leaves or `signal` is aborted, perhaps more than once: from then on events would
 * come in vain, however long the drain of what is out takes
 */
export function reading(
  buffer: DeliveryBuffer<Delivery>,
  signal: AbortSignal,
  stopped: () => void,
): AsyncIterable<Delivery> {
  const abort = (): void => {
    stopped()
    buffer.end()
  }
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  return {
    [Symbol.asyncIterator]() {
      const reader = buffer[Symbol.asyncIterator]()
      return {
        next: () => reader.next(),
        return: async () => {
          signal.removeEventListener('abort', abort)
          stopped()
          await reader.return?.()
          return { done: true, value: undefined }
        },
      }
    },
  }
}
