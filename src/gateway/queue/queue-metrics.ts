// The queue's Prometheus metrics under the names of OpenFaaS's queue-worker, in the gateway's registry; read at each scrape.

import { Counter, Gauge } from '@prometheus-io/client'
import type { Registry } from '@prometheus-io/client'

export interface QueueCounts {
  submitted: number
  /** Finished, whatever the function answered. */
  processed: number
  cancelled: number
}

export interface LetterReadings {
  /** On the disk now. */
  readonly kept: number
  /** For newer ones, by this process. */
  readonly dropped: number
}

export interface QueueReadings {
  /** By queue, of this process. */
  readonly counts: ReadonlyMap<string, QueueCounts>
  /** Calls that run, by the full name of their function. */
  readonly running: ReadonlyMap<string, number>
  readonly deadLetters: LetterReadings
  pending(queue: string): Promise<number>
}

export function registerQueueMetrics(registry: Registry, readings: QueueReadings): void {
  const { counts, running, deadLetters } = readings
  const registers = [registry]
  const count = (name: string, help: string, value: (counts: QueueCounts) => number): void => {
    const counter = new Counter({
      name,
      help,
      labelNames: ['queue_name'],
      registers,
      collect: (): void => {
        counter.reset()
        for (const [queue, one] of counts) counter.inc({ queue_name: queue }, value(one))
      },
    })
  }
  count('queue_worker_messages_submitted_total', 'Async calls accepted.', ({ submitted }) => submitted)
  count('queue_worker_messages_processed_total', 'Async calls that have finished.', ({ processed }) => processed)
  count('queue_worker_messages_cancelled_total', 'Async calls that were cancelled.', ({ cancelled }) => cancelled)
  const waiting = new Gauge({
    name: 'queue_worker_pending_messages',
    help: 'Async calls that wait, for their turn or for a retry.',
    labelNames: ['queue_name'],
    registers,
    collect: async (): Promise<void> => {
      const read = await Promise.all(
        [...counts.keys()].map(async (queue) => [queue, await readings.pending(queue)] as const),
      )
      waiting.reset()
      for (const [queue, value] of read) waiting.set({ queue_name: queue }, value)
    },
  })
  const invoking = new Gauge({
    name: 'queue_worker_function_invocation_inflight',
    help: 'Async calls that run.',
    labelNames: ['function_name'],
    registers,
    collect: (): void => {
      invoking.reset()
      for (const [name, value] of running) invoking.set({ function_name: name }, value)
    },
  })
  const letters = new Gauge({
    name: 'queue_worker_dead_letters',
    help: 'Async calls that no retry could deliver, kept on the disk.',
    registers,
    collect: (): void => letters.set(deadLetters.kept),
  })
  const dropped = new Counter({
    name: 'queue_worker_dead_letters_dropped_total',
    help: 'The oldest of them, dropped for newer ones.',
    registers,
    collect: (): void => {
      dropped.reset()
      dropped.inc(deadLetters.dropped)
    },
  })
}
