// Callers of webhooks in a process of their own: so many requests at once, each again until it is taken, from when somebody
// listens. Forked by brokers.ts.

import { Pool } from 'undici'

import type { BacklogOrder } from './loopback-broker.ts'

export interface CallersOrder extends BacklogOrder {
  readonly port: number
}

const CALLERS = 64
const AGAIN_MS = 20

process.on('message', ({ port, events, bodyBytes }: CallersOrder) => {
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: CALLERS })
  const body = Buffer.alloc(bodyBytes, 'x')
  let left = events
  const call = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      for (;;) {
        const answer = await pool.request({ method: 'POST', path: '/hooks/bench', body }).catch(() => undefined)
        await answer?.body.dump()
        if (answer !== undefined && answer.statusCode === 202) break
        await new Promise((resolve) => void setTimeout(resolve, AGAIN_MS))
      }
    }
  }
  const all = Array.from({ length: CALLERS }, call)
  void Promise.all(all).then(() => pool.close())
})
process.on('disconnect', () => process.exit(0))
