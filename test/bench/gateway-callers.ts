// Callers of a function in a process of their own: so many at once on kept connections, each again when it is answered.
// Forked by gateway-cost.ts.

import { Pool } from 'undici'

export interface CallsOrder {
  readonly url: string
  readonly path: string
  /** Counted ones; a tenth of them goes before, to warm up. */
  readonly calls: number
  readonly concurrency: number
  readonly bodyBytes: number
}

export interface CallsReport {
  readonly elapsedMs: number
  readonly p50Micros: number
  readonly p99Micros: number
}

/** What each call took, in microseconds. */
async function callAll({ path, concurrency, bodyBytes }: CallsOrder, pool: Pool, calls: number): Promise<Float64Array> {
  const body = Buffer.alloc(bodyBytes, 'x')
  const took = new Float64Array(calls)
  let next = 0
  const caller = async (): Promise<void> => {
    while (next < calls) {
      const index = next++
      const startedAt = performance.now()
      const answer = await pool.request({ method: 'POST', path, body })
      await answer.body.dump()
      if (answer.statusCode !== 200) throw new Error(`answered ${answer.statusCode}`)
      took[index] = (performance.now() - startedAt) * 1000
    }
  }
  await Promise.all(Array.from({ length: concurrency }, caller))
  return took
}

process.on('message', (order: CallsOrder) => void measure(order))
process.on('disconnect', () => process.exit(0))

async function measure(order: CallsOrder): Promise<void> {
  const pool = new Pool(order.url, { connections: order.concurrency, pipelining: 1 })
  await callAll(order, pool, Math.ceil(order.calls / 10))
  const startedAt = performance.now()
  const took = (await callAll(order, pool, order.calls)).sort()
  const elapsedMs = performance.now() - startedAt
  await pool.close()
  const at = (share: number): number => took[Math.min(took.length - 1, Math.floor(took.length * share))] as number
  const report: CallsReport = { elapsedMs, p50Micros: at(0.5), p99Micros: at(0.99) }
  process.send?.(report)
}
