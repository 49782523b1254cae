// The webhook's side of the fault suite. There is no server: what the hub has answered with 202 is its own to keep.

import type { FaultBroker } from '../../test/faults/contract.ts'
import { faults } from '../../test/faults/index.ts'
import { pickPorts } from '../../test/servers/server.ts'
import connector from './connector.ts'

const TOKEN = 'faults-t0ken'
const NO_SERVER = 'there is no server but the hub itself'
const NO_ORDER = 'requests have no order'

async function startBroker(): Promise<FaultBroker> {
  const [port = 0] = await pickPorts(1)
  const post = async (run: string, body: Uint8Array): Promise<void> => {
    const response = await fetch(`http://127.0.0.1:${port}/hooks/${run}`, {
      method: 'POST',
      body: Buffer.from(body),
      headers: { Authorization: `Bearer ${TOKEN}` },
    })
    const text = await response.text()
    if (response.status !== 202) throw new Error(`${response.status} ${text}`)
  }
  return {
    name: 'callers over HTTP',
    prepare: (run) => Promise.resolve(run),
    environment: ({ run }) => ({
      HUB_WEBHOOK_LISTEN_HOST: '127.0.0.1',
      HUB_WEBHOOK_LISTEN_PORT: String(port),
      HUB_WEBHOOK_HOOKS: JSON.stringify([{ name: run, scheme: 'bearer', secret: TOKEN }]),
    }),
    publish: async (run, events) => {
      await Promise.all(events.map(({ body }) => post(run, body)))
    },
    absent: {
      'server restarted twice': NO_SERVER,
      'server killed': NO_SERVER,
      'half-open connection': NO_SERVER,
      'a replica joins and leaves three times': 'each replica keeps what it was sent; a load balancer decides',
    },
    unordered: {
      'hub killed': NO_ORDER,
      'hub stopped': NO_ORDER,
      'gateway gone': NO_ORDER,
      'a third of the invocations fails': NO_ORDER,
      'one of two functions always fails': NO_ORDER,
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

faults(connector, startBroker)
