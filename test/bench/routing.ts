// What finding the functions of an event costs, by number of functions. In this process, without network.

import { buildWiring } from '../../src/discovery/index.ts'
import type { FunctionInfo, Wiring } from '../../src/discovery/index.ts'
import type { EventMessage, TopicSyntax, TriggerSettings } from '../../src/sdk/index.ts'

export interface Routing {
  readonly functions: number
  /** An event whose topic is one of the annotated ones. */
  readonly exactNanos: number
  /** Every second function has a wildcard in its topic; each event matches two patterns. */
  readonly wildcardNanos: number
  /** Reading the annotations and building everything anew. */
  readonly buildMillis: number
  /** The next listing, where nothing has changed. */
  readonly rebuildMillis: number
}

const SETTINGS: TriggerSettings = {
  mode: 'sync',
  timeoutMs: 60_000,
  concurrency: 32,
  ordering: 'key',
  retry: { attempts: 5, codes: undefined, minWaitMs: 1000, maxWaitMs: 120_000, jitter: 'full' },
}
const EVENTS = 400_000
const ROUNDS = 5

export function measureRouting(functions: number): Routing {
  const exact = listing(functions, (index) => `site/${index}/state`)
  // site/7/+ and site/7/state both match an event of site 7.
  const wildcard = listing(functions, (index) => (index % 2 === 0 ? `site/${index}/state` : `site/${index - 1}/+`))
  const [wired, buildMillis] = timed(() => wire(exact))
  const [, rebuildMillis] = timed(() => wire(exact, wired))
  return {
    functions,
    exactNanos: cost(wired, functions, 1),
    wildcardNanos: cost(wire(wildcard), functions, 2),
    buildMillis,
    rebuildMillis,
  }
}

function listing(count: number, topic: (index: number) => string): FunctionInfo[] {
  return Array.from({ length: count }, (_, index): FunctionInfo => {
    const name = `function-${index}`
    return { name, namespace: 'openfaas-fn', fullName: `${name}.openfaas-fn`, annotations: { topic: topic(index) } }
  })
}

function wire(functions: readonly FunctionInfo[], previous?: Wiring): Wiring {
  const topicSyntax: TopicSyntax = 'mqtt'
  const instances = [{ name: 'bench', type: 'bench', trigger: 'topic', topicSyntax }] as const
  return buildWiring(
    { functions, takenAtMs: 0, findings: [] },
    { instances, delimiter: ',', defaults: SETTINGS },
    previous,
  )
}

/** The best of some rounds: whatever else the machine did made the others slower. */
function cost(wiring: Wiring, functions: number, matches: number): number {
  const router = wiring.instance('bench')
  if (router === undefined) throw new Error('not wired')
  // Every second topic, so that both kinds of listing have them.
  const events = Array.from({ length: 4096 }, (_, index) =>
    event(`site/${((index * 7919) % (functions >> 1)) * 2}/state`),
  )
  let best = Infinity
  for (let round = 0; round < ROUNDS; round++) {
    let found = 0
    const startedAt = performance.now()
    for (let index = 0; index < EVENTS; index++) found += router.match(events[index & 4095] as EventMessage).length
    best = Math.min(best, ((performance.now() - startedAt) * 1e6) / EVENTS)
    if (found !== EVENTS * matches) throw new Error(`matched ${found} times instead of ${EVENTS * matches}`)
  }
  return best
}

function event(topic: string): EventMessage {
  return { id: 'x', source: 'bench', topic, body: new Uint8Array(0), headers: {}, attempt: 1, timestampMs: 0 }
}

function timed<T>(work: () => T): [T, number] {
  const startedAt = performance.now()
  const result = work()
  return [result, performance.now() - startedAt]
}
