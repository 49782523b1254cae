// Replicas of the cron connector as processes, with a real API server, under every fault that the fence is for.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { noKubernetes, startKubernetes } from '../servers/kubernetes.ts'
import type { KubernetesServer } from '../servers/kubernetes.ts'
import { CronGateway, Replicas, cronCluster, until } from './cron-rig.ts'
import type { Call } from './cron-rig.ts'
import { sharedTurns, violations } from './cron-verdict.ts'

const FULL = process.env['HUB_TEST_FAULTS'] === 'full'
/** Of schedule time under faults: ten minutes where there is time for it. */
const RUN_MS = FULL ? 600_000 : 75_000
const EVERY_SECOND = { topic: 'cron-function', schedule: '@every 1s', 'connector.overlap': 'allow' }
const FUNCTIONS = {
  once: EVERY_SECOND,
  'once-cron': { ...EVERY_SECOND, schedule: '* * * * * *' },
  always: { ...EVERY_SECOND, 'connector.catch-up': 'all' },
  'always-cron': { ...EVERY_SECOND, schedule: '* * * * * *', 'connector.catch-up': 'all' },
}

const missing = await noKubernetes()

describe.skipIf(missing !== undefined)(
  `replicas that take turns${missing === undefined ? '' : ` (${missing})`}`,
  () => {
    let cluster: KubernetesServer
    beforeAll(async () => {
      cluster = await startKubernetes()
    }, 180_000)
    afterAll(async () => {
      await cluster[Symbol.asyncDispose]()
    })

    test(
      'make every planned fire, and none twice, over kills, pauses and an API server that is away',
      async ({ onTestFailed }) => {
        const seed = Number(process.env['HUB_TEST_SEED'] ?? Date.now() % 1_000_000)
        await using gateway = await new CronGateway(FUNCTIONS).start()
        await using replicas = new Replicas({ gateway, ...(await cronCluster(cluster.api)) })
        for (let count = 0; count < 3; count++) replicas.start()
        await until(() => gateway.calls.length > 0, 'the first fire')
        const faults = await strike(gateway, replicas, cluster, seed)
        const untilSecond = Math.floor(Date.now() / 1000)
        const seen = (name: string): boolean => gateway.calls.some((call) => call.function === name && call.planned > untilSecond) // prettier-ignore
        await until(() => Object.keys(FUNCTIONS).every(seen), 'a fire after the last fault')

        const calls = (name: string): readonly Call[] => gateway.calls.filter((call) => call.function === name)
        onTestFailed(() => console.error(`seed ${seed}; ${faults.join(', ')}\n${replicas.logTails()}`))
        const found = {
          once: violations(calls('once'), 'none', untilSecond),
          'once-cron': violations(calls('once-cron'), 'none', untilSecond),
          always: violations(calls('always'), 'all', untilSecond),
          'always-cron': violations(calls('always-cron'), 'all', untilSecond),
          turns: sharedTurns(gateway.calls),
        }
        expect(found).toEqual({ once: [], 'once-cron': [], always: [], 'always-cron': [], turns: [] })
        const turns = new Set(gateway.calls.map(({ epoch }) => epoch)).size
        const distinct = new Set(calls('once').map(({ planned }) => planned)).size
        console.log(`cron: ${faults.length} faults (seed ${seed}), ${turns} turns, ${gateway.calls.length} calls; once: ${distinct} of ${untilSecond - (calls('once')[0]?.planned ?? 0) + 1} seconds; always: ${calls('always').length} calls`) // prettier-ignore
        expect(turns).toBeGreaterThan(FULL ? 20 : 3)
      },
      RUN_MS + 300_000,
    )
  },
)

/** Until the time is over; each fault is over, and fires are made again, before the next one. @returns what was done */
async function strike(
  gateway: CronGateway,
  replicas: Replicas,
  cluster: KubernetesServer,
  seed: number,
): Promise<readonly string[]> {
  const random = randomOf(seed)
  const done: string[] = []
  const untilMs = Date.now() + RUN_MS
  const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))
  const kinds = ['kill', 'stop', 'freeze', 'api-frozen', 'freeze-standby', 'freeze-briefly', 'api-gone'] as const
  for (let round = 0; Date.now() < untilMs; round++) {
    // Each kind once at least, then whichever comes.
    const kind = kinds[round < kinds.length ? round : Math.floor(random() * kinds.length)] ?? 'kill'
    const leader = gateway.calls.at(-1)?.hub ?? ''
    const standby = [...replicas.running.keys()].find((name) => name !== leader) ?? leader
    // In the middle of whatever it is doing.
    await pause(random() * 1000)
    done.push(`${kind} ${leader}`)
    if (kind === 'kill') {
      await replicas.kill(leader)
      replicas.start()
    } else if (kind === 'stop') {
      replicas.start()
      await replicas.stop(leader)
    } else if (kind === 'api-frozen') {
      cluster.pause()
      await pause(1000 + random() * 5000)
      cluster.resume()
    } else if (kind === 'api-gone') await cluster.restart()
    else {
      const hub = replicas.of(kind === 'freeze-standby' ? standby : leader)
      hub.signal('SIGSTOP')
      await pause(kind === 'freeze-briefly' ? random() * 1500 : 4000 + random() * 4000)
      hub.signal('SIGCONT')
    }
    const now = Math.floor(Date.now() / 1000)
    await until(() => gateway.calls.some(({ planned }) => planned > now), `fires after ${done.at(-1)}\n${replicas.logTails()}`) // prettier-ignore
  }
  return done
}

/** mulberry32: the same numbers for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
