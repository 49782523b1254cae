// MinIO's side of the fault suite, in webhook mode: a real server with a bucket for each run and many targets with queue
// directories, since each of them sends one event at a time. Events of one key are writes of one object.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import type { FaultBroker, FaultEvent } from '../../test/faults/contract.ts'
import { faults } from '../../test/faults/index.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import type { TcpProxy } from '../../test/servers/tcp-proxy.ts'
import connector from './connector.ts'
import { Stand, TOKEN, tagOfBody } from './rig.ts'

/** Of the suite's fifty keys, each has two. */
const TARGETS = 25
const PUBLISHERS = 8
/**
 * Between two writes of one object. A MinIO that starts again takes the order of its queue from the times of its files, which
 * are those of the kernel's tick: 10 ms at most.
 */
const APART_MS = 20

async function startBroker(): Promise<FaultBroker> {
  let proxy: TcpProxy | undefined
  const stand = await Stand.open({
    targets: TARGETS,
    replicas: 2,
    front: async (port) => (proxy = await startTcpProxy(port)),
  })
  if (proxy === undefined) throw new Error('there is no proxy')
  const front = proxy
  return {
    name: `MinIO ${stand.minio.version}`,
    calls: true,
    // One a target at a time, each with its answer on the disk.
    eventsMax: 1000,
    // It looks into its queues every three seconds.
    backlog: 1000,
    proxy: front,
    prepare: async (run) => {
      await stand.bucket(run)
      await stand.notify(run)
      return run
    },
    environment: ({ replica }) => ({
      HUB_MINIO_LISTEN_HOST: '127.0.0.1',
      HUB_MINIO_LISTEN_PORT: String(stand.ports[replica]),
      HUB_MINIO_TOKEN: TOKEN,
    }),
    eventOf: (body) => tagOfBody(body) ?? '',
    publish: async (run, events) => {
      const publish = async (round: Iterable<FaultEvent>): Promise<void> => {
        for (const event of round) await stand.put(run, objectOf(event), '-', Buffer.from(event.body).toString()) // prettier-ignore
      }
      for (const round of roundsOf(events)) {
        const left = round.values()
        await Promise.all([delay(APART_MS), ...Array.from({ length: PUBLISHERS }, () => publish(left))])
      }
    },
    remaining: () => Promise.resolve(queued(stand.minio.queueFolder ?? '')),
    // Each target has one event out, whether it is not settled or its answer is on its way.
    unconfirmedMax: { atStop: 0, atLoss: TARGETS },
    stop: () => stand.minio.stop(),
    kill: () => stand.minio.kill(),
    start: () => stand.minio.start(),
    async [Symbol.asyncDispose]() {
      await stand[Symbol.asyncDispose]()
      await front[Symbol.asyncDispose]()
    },
  }
}

/** Each has one event of a key at most, the earliest that is left. */
function roundsOf(events: readonly FaultEvent[]): readonly (readonly FaultEvent[])[] {
  const byKey = [...Map.groupBy(events, ({ key }) => key).values()]
  const rounds = Math.max(0, ...byKey.map((ofKey) => ofKey.length))
  return Array.from({ length: rounds }, (_, round) => byKey.flatMap((ofKey) => ofKey[round] ?? []))
}

function objectOf({ key }: FaultEvent): string {
  return `t${Number(key.slice(1)) % TARGETS}.${key}`
}

/** Files in the queue directories of all targets. */
function queued(folder: string): number {
  return readdirSync(folder).reduce((sum, target) => sum + readdirSync(join(folder, target), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).length, 0) // prettier-ignore
}

faults(connector, startBroker)
