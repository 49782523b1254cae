// What one writes by hand instead of a hub: read an event, POST it with undici, acknowledge it; so many at once. No order,
// no retries, no dead letters, no metrics. The yardstick of the benchmark.

import { Pool } from 'undici'

export type Acknowledge = () => void

export class BareLoop {
  readonly #pool: Pool
  readonly #waiting: { readonly body: Uint8Array; readonly acknowledge: Acknowledge }[] = []
  #free: number
  #forRoom: (() => void)[] = []

  constructor(gatewayUrl: string, concurrency: number) {
    this.#pool = new Pool(gatewayUrl, { connections: concurrency, pipelining: 1 })
    this.#free = concurrency
  }

  take(topic: string, body: Uint8Array, acknowledge: Acknowledge): void {
    if (this.#free === 0) this.#waiting.push({ body, acknowledge })
    else void this.#run(topic, body, acknowledge)
  }

  /** Resolves when fewer than so many wait. */
  async room(max: number): Promise<void> {
    while (this.#waiting.length >= max) await new Promise<void>((resolve) => this.#forRoom.push(resolve))
  }

  async #run(topic: string, body: Uint8Array, acknowledge: Acknowledge): Promise<void> {
    this.#free -= 1
    for (
      let next: { body: Uint8Array; acknowledge: Acknowledge } | undefined = { body, acknowledge };
      next !== undefined;
      next = this.#waiting.shift()
    ) {
      const answer = await this.#pool.request({
        method: 'POST',
        path: '/function/function-0',
        headers: { 'content-type': 'application/octet-stream', 'x-topic': topic },
        body: next.body,
      })
      await answer.body.dump()
      if (answer.statusCode < 300) next.acknowledge()
      for (const resume of this.#forRoom.splice(0)) resume()
    }
    this.#free += 1
  }
}

/** What the parent gives as arguments. */
export function bareArguments(): {
  gatewayUrl: string
  port: number
  name: string
  concurrency: number
  window: number
} {
  const [gatewayUrl = '', port, name = '', concurrency, window] = process.argv.slice(2)
  return { gatewayUrl, port: Number(port), name, concurrency: Number(concurrency), window: Number(window) }
}
