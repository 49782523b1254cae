// A cluster of real NATS servers, each with its own data.

import { startNats } from './nats.ts'
import type { NatsOptions, NatsServer } from './nats.ts'
import { pickPorts } from './server.ts'

export interface NatsCluster extends AsyncDisposable {
  readonly servers: readonly NatsServer[]
}

/** Resolves when each answers its clients; that they have found each other, and a leader, is for the caller to wait for. */
export async function startNatsCluster(count: number, options: NatsOptions = {}): Promise<NatsCluster> {
  const ports = await pickPorts(count)
  const routes = ports.map((port) => `"nats-route://127.0.0.1:${port}"`).join(', ')
  const cluster = (port: number): string => `cluster { name: test, listen: "127.0.0.1:${port}", routes: [${routes}], no_advertise: true }` // prettier-ignore
  const started = await Promise.allSettled(
    ports.map((port, index) => startNats({ ...options, name: `test-${index}`, config: [...(options.config ?? []), cluster(port)] })), // prettier-ignore
  )
  const servers = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const dispose = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()))
  }
  const failed = started.find((one) => one.status === 'rejected')
  if (failed !== undefined) {
    await dispose()
    throw failed.reason
  }
  return { servers, [Symbol.asyncDispose]: dispose }
}
