import { describe, expect, test } from 'vitest'

import { Supervisor } from '../../src/hub/supervisor.ts'
import type { Election } from '../../src/hub/supervisor.ts'
import { TurnSource } from '../../src/hub/turn-source.ts'
import { DeliveryBuffer, HubError } from '../../src/sdk/index.ts'
import type { Delivery, ProbeReport, Source, Subscription, Term } from '../../src/sdk/index.ts'
import { HubEvents } from '../../src/telemetry/events.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { Rig, message } from '../delivery/rig.ts'

const LOST = new HubError('HUB_SOURCE_LOST', 'the broker went away', { canRetry: true })
const REFUSED = new HubError('HUB_SOURCE_UNREACHABLE', 'connection refused', { canRetry: true })
const DENIED = new HubError('HUB_SOURCE_AUTH', 'wrong password')

/** A source whose broker does what the test says. */
class ScriptedSource implements Source {
  /** What the next attempts meet; then they succeed. */
  readonly failures: HubError[] = []
  readonly refusals: HubError[] = []
  readonly subscribed: string[][] = []
  connects = 0
  closes = 0
  buffer = new DeliveryBuffer<Delivery>(100)
  /** Held open, when set, until the test lets it go. */
  subscribing: Promise<void> | undefined
  onClose: () => Promise<void> = () => Promise.resolve()

  connect(signal: AbortSignal): Promise<void> {
    this.connects += 1
    this.buffer = new DeliveryBuffer(100)
    const failure = this.failures.shift()
    return signal.aborted ? Promise.reject(signal.reason as Error) : failure === undefined ? Promise.resolve() : Promise.reject(failure) // prettier-ignore
  }

  async subscribe(wanted: readonly Subscription[]): Promise<void> {
    await this.subscribing
    const refusal = this.refusals.shift()
    if (refusal !== undefined) throw refusal
    this.subscribed.push(namesOf(wanted))
  }

  deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    const { buffer } = this
    signal.addEventListener('abort', () => buffer.end(), { once: true })
    return buffer
  }

  probe(): Promise<ProbeReport> {
    return Promise.reject(new Error('not part of these tests'))
  }

  close(): Promise<void> {
    this.closes += 1
    this.buffer.end()
    return this.onClose()
  }
}

const namesOf = (subscriptions: readonly Subscription[]): string[] => subscriptions.map((one) => (one.kind === 'topic' ? one.topic : one.expression)) // prettier-ignore
const topics = (...names: string[]): Subscription[] => names.map((topic) => ({ kind: 'topic', topic }))

interface SupervisorRig {
  readonly supervisor: Supervisor
  readonly source: ScriptedSource
  readonly rig: Rig
  readonly log: string[]
  /** What the broker agreed to, by its telling. */
  readonly told: string[][]
  readonly rest: () => Promise<void>
}

function start(prepare: (source: ScriptedSource) => void = () => {}, election?: Election): SupervisorRig {
  const rig = new Rig()
  const source = new ScriptedSource()
  prepare(source)
  const log: string[] = []
  const told: string[][] = []
  const logger = createLogger({ level: 'debug', format: 'json', color: false, secretNames: [], write: (line) => void log.push(line) }) // prettier-ignore
  const events = new HubEvents({ logger, metrics: new Metrics(), clock: rig.clock, printResponse: false, printResponseBody: false, printRequestBody: false }) // prettier-ignore
  const { dispatcher, invoker, clock } = rig
  const supervisor = new Supervisor({ name: 'orders', source, dispatcher, invoker, events, clock, onSubscribed: (agreed) => void told.push(namesOf(agreed)), ...(election === undefined ? {} : { election }) }) // prettier-ignore
  supervisor.start()
  return { supervisor, source, rig, log, told, rest: () => rig.rest() }
}

const settleable = (id: string, settled: string[]): Delivery => ({
  message: message(id),
  settle: ({ kind }) => {
    settled.push(`${id} ${kind}`)
    return Promise.resolve('settled')
  },
})

describe('connecting', () => {
  test('waits for the first wiring', async () => {
    const { supervisor, source, rest } = start()
    await rest()
    expect([supervisor.status.state, source.connects]).toEqual(['pending', 0])
    supervisor.want(topics('a'))
    await rest()
    expect([supervisor.status.state, source.subscribed]).toEqual(['active', [['a']]])
  })

  test('is tried again with back-off, and says why it failed until it works', async () => {
    const { supervisor, source, rig, rest } = start(({ failures }) => failures.push(REFUSED, REFUSED))
    supervisor.want(topics('a'))
    await rest()
    expect(supervisor.status).toMatchObject({
      state: 'failing',
      problem: 'HUB_SOURCE_UNREACHABLE: connection refused',
      subscriptions: 1,
    })
    // Jitter `equal` of 250 ms: between 125 and 250.
    await rig.clock.advance(124)
    expect(source.connects).toBe(1)
    await rig.clock.advance(126)
    expect(source.connects).toBe(2)
    await rig.clock.advance(500)
    expect(source.connects).toBe(3)
    expect(supervisor.status).toMatchObject({ state: 'active', problem: undefined })
  })

  test('with what waiting cannot mend is tried every half minute, since secrets are rotated', async () => {
    const { supervisor, source, rig } = start(({ failures }) => failures.push(DENIED))
    supervisor.want(topics('a'))
    await rig.clock.advance(29_999)
    expect([source.connects, supervisor.status.state]).toEqual([1, 'failing'])
    await rig.clock.advance(1)
    expect([source.connects, supervisor.status.state]).toEqual([2, 'active'])
  })

  test('anew subscribes to the newest set; a connection that held long starts its back-off anew', async () => {
    const { supervisor, source, rig, rest } = start()
    supervisor.want(topics('a'))
    await rig.clock.advance(60_001)
    source.failures.push(REFUSED)
    source.buffer.fail(LOST)
    await rest()
    expect(supervisor.status).toMatchObject({ state: 'failing', problem: 'HUB_SOURCE_LOST: the broker went away' })
    supervisor.want(topics('b'))
    await rig.clock.advance(250)
    expect(source.connects).toBe(2)
    await rig.clock.advance(500)
    expect(source.connects).toBe(3)
    expect(source.subscribed).toEqual([['a'], ['b']])
  })

  test('a source that ends by itself is a lost one', async () => {
    const { supervisor, source, rig, rest } = start()
    supervisor.want(topics('a'))
    await rest()
    source.buffer.end()
    await rest()
    expect(supervisor.status.problem).toBe('HUB_SOURCE_LOST: the source ended by itself')
    await rig.clock.advance(250)
    expect([source.connects, supervisor.status.state]).toEqual([2, 'active'])
  })
})

describe('subscribing', () => {
  test('a change takes effect at once; of several the last one', async () => {
    const { supervisor, source, rest } = start()
    supervisor.want(topics('a'))
    await rest()
    const gate = Promise.withResolvers<void>()
    source.subscribing = gate.promise
    supervisor.want(topics('b'))
    supervisor.want(topics('c'))
    await rest()
    supervisor.want(topics('d'))
    source.subscribing = undefined
    gate.resolve()
    await rest()
    expect(source.subscribed.at(-1)).toEqual(['d'])
    expect(supervisor.status.state).toBe('active')
  })

  test('a change while the first subscription is being made is not lost', async () => {
    const gate = Promise.withResolvers<void>()
    const { supervisor, source, rest } = start((scripted) => void (scripted.subscribing = gate.promise))
    supervisor.want(topics('a'))
    await rest()
    supervisor.want(topics('b'))
    source.subscribing = undefined
    gate.resolve()
    await rest()
    expect(source.subscribed).toEqual([['a'], ['b']])
  })

  test('what is refused is reported and tried again, and the connection goes on', async () => {
    const { supervisor, source, rig, rest, log } = start()
    supervisor.want(topics('a'))
    await rest()
    source.refusals.push(new HubError('HUB_SOURCE_FORBIDDEN', 'no right to read b'))
    supervisor.want(topics('b'))
    await rest()
    expect([source.connects, supervisor.status.state]).toEqual([1, 'active'])
    expect(log.join('')).toContain('no right to read b')
    const settled: string[] = []
    source.buffer.push(settleable('1', settled))
    await rest()
    expect(settled).toEqual(['1 ack'])
    await rig.clock.advance(30_000)
    expect(source.subscribed).toEqual([['a'], ['b']])
  })

  test('a refusal is not waited out when something else is wanted', async () => {
    const { supervisor, source, rest } = start()
    supervisor.want(topics('a'))
    await rest()
    source.refusals.push(new HubError('HUB_SOURCE_FORBIDDEN', 'no right to read b'))
    supervisor.want(topics('b'))
    await rest()
    supervisor.want(topics('c'))
    await rest()
    expect(source.subscribed).toEqual([['a'], ['c']])
  })
})

describe('what the broker agreed to is told', () => {
  test('once it has agreed, and not when it was wanted', async () => {
    const gate = Promise.withResolvers<void>()
    const { supervisor, source, told, rest } = start((scripted) => void (scripted.subscribing = gate.promise))
    supervisor.want(topics('a'))
    await rest()
    expect(told).toEqual([])
    source.subscribing = undefined
    gate.resolve()
    await rest()
    supervisor.want(topics('a', 'b'))
    await rest()
    expect(told).toEqual([['a'], ['a', 'b']])
  })

  test('not again while nothing changes, and anew on the next connection', async () => {
    const { supervisor, source, rig, told, rest } = start()
    supervisor.want(topics('a'))
    await rest()
    supervisor.want(topics('a'))
    await rest()
    expect([source.subscribed, told]).toEqual([[['a'], ['a']], [['a']]])
    source.buffer.fail(LOST)
    await rig.clock.advance(250)
    expect(told).toEqual([['a'], ['a']])
  })

  test('not by a connection that ended meanwhile', async () => {
    const gate = Promise.withResolvers<void>()
    const { supervisor, source, rig, told, rest } = start()
    supervisor.want(topics('a'))
    await rest()
    source.subscribing = gate.promise
    supervisor.want(topics('b'))
    await rest()
    source.subscribing = undefined
    source.buffer.fail(LOST)
    await rest()
    gate.resolve()
    await rest()
    expect(told).toEqual([['a']])
    await rig.clock.advance(250)
    expect(told).toEqual([['a'], ['b']])
  })
})

describe('draining', () => {
  test('lets what runs end, closes the source, and is idempotent', async () => {
    const { supervisor, source, rig, rest } = start()
    supervisor.want(topics('a'))
    rig.invoker.script = () => undefined
    const settled: string[] = []
    await rest()
    source.buffer.push(settleable('1', settled))
    await rest()
    const drained = Promise.all([supervisor.drain(1000), supervisor.drain(1000)])
    await rest()
    expect([supervisor.status.state, source.closes]).toEqual(['draining', 0])
    rig.invoker.answer({ kind: 'answered', status: 200, durationMs: 1, retryAfterMs: undefined, internal: false, bodyBytes: 0, response: undefined }) // prettier-ignore
    await drained
    expect([supervisor.status.state, source.closes, settled]).toEqual(['closed', 1, ['1 ack']])
    expect(rig.clock.pending).toBe(0)
  })

  test.for([
    ['before the first wiring', false, []],
    ['while it waits to connect again', true, [REFUSED]],
  ] as const)('%s ends at once', async ([, wants, failures]) => {
    const { supervisor, source, rig, rest } = start((scripted) => scripted.failures.push(...failures))
    if (wants) supervisor.want(topics('a'))
    await rest()
    await supervisor.drain(1000)
    expect([supervisor.status.state, source.closes, rig.clock.pending]).toEqual(['closed', 1, 0])
    await rig.clock.advance(60_000)
    expect(source.connects).toBe(failures.length)
  })

  test('during a connect ends with it, once it has heard the signal', async () => {
    const { supervisor, source, rig, rest } = start((scripted) => {
      scripted.connect = (signal) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(LOST), { once: true }))
    })
    supervisor.want(topics('a'))
    await rest()
    await supervisor.drain(1000)
    expect([supervisor.status.state, source.closes, rig.clock.pending]).toEqual(['closed', 1, 0])
  })

  test('a source that fails to close is reported', async () => {
    const { supervisor, rest, log } = start((source) => (source.onClose = () => Promise.reject(LOST)))
    supervisor.want(topics('a'))
    await rest()
    await supervisor.drain(1000)
    expect(supervisor.status.state).toBe('closed')
    expect(log.join('')).toContain('connector.close-failed')
  })

  test('a source that never closes does not keep the process', async () => {
    const { supervisor, rig, rest, log } = start((source) => (source.onClose = () => new Promise(() => {})))
    supervisor.want(topics('a'))
    await rest()
    const drained = supervisor.drain(1000)
    await rig.clock.advance(5000)
    await drained
    expect(log.join('')).toContain('could not be closed within 5000 ms')
  })
})

test('no line tells a body, and states are told once each', async () => {
  const { supervisor, source, rig, rest, log } = start(({ failures }) => failures.push(REFUSED))
  supervisor.want(topics('a'))
  await rest()
  await rig.clock.advance(250)
  const settled: string[] = []
  source.buffer.push({ ...settleable('1', settled), message: message('1', { body: Buffer.from('hunter2') }) })
  await rest()
  await supervisor.drain(1000)
  const events = log.map((line) => (JSON.parse(line) as { event: string }).event)
  expect(events.filter((event) => /connector\.(failing|active|draining|closed)/.test(event))).toEqual([
    'connector.failing',
    'connector.active',
    'connector.draining',
    'connector.closed',
  ])
  expect(log.join('')).not.toContain('hunter2')
})

/** Has the turn when the test says so. */
class ScriptedElection implements Election {
  term: Term | undefined
  standing: Election['standing'] = { holder: undefined, epoch: 0, isOurs: false, problem: undefined }
  resigned = 0
  #change = Promise.withResolvers<void>()
  #abort = new AbortController()

  get changed(): Promise<void> {
    return this.#change.promise
  }

  started = 0

  start(): void {
    this.started += 1
  }

  resign(): Promise<void> {
    this.resigned += 1
    this.lose('nobody')
    return Promise.resolve()
  }

  win(epoch: number): void {
    const abort = (this.#abort = new AbortController())
    this.term = { epoch, signal: abort.signal, held: () => !abort.signal.aborted }
    this.tell({ holder: 'me', epoch, isOurs: true, problem: undefined })
  }

  lose(holder: string): void {
    this.term = undefined
    this.#abort.abort(new HubError('HUB_LEASE_LOST', 'over'))
    this.tell({ ...this.standing, holder, isOurs: false })
  }

  tell(standing: Election['standing']): void {
    this.standing = standing
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }
}

describe('with replicas that take turns', () => {
  test('the source is connected in our turn only, and lets go of its broker when that is over', async () => {
    const election = new ScriptedElection()
    const { supervisor, source, rest, log } = start(() => {}, election)
    await rest()
    expect(election.started).toBe(0)
    supervisor.want(topics('a'))
    await rest()
    expect(election.started).toBe(1)
    election.tell({ holder: 'other', epoch: 3, isOurs: false, problem: undefined })
    await rest()
    expect([supervisor.status.state, source.connects]).toEqual(['standby', 0])
    expect(supervisor.status.leader).toEqual({ holder: 'other', epoch: 3, isOurs: false })
    election.win(4)
    await rest()
    expect([supervisor.status.state, source.connects, source.subscribed]).toEqual(['active', 1, [['a']]])
    election.lose('other')
    await rest()
    expect([supervisor.status.state, source.closes]).toEqual(['standby', 1])
    expect(log.filter((line) => line.includes('connector.failing'))).toEqual([])
    election.win(6)
    await rest()
    expect([supervisor.status.state, source.connects]).toEqual(['active', 2])
    await supervisor.drain(1000)
    expect(election.resigned).toBeGreaterThan(0)
  })

  test('a turn that is lost while it connects is no failure of the broker', async () => {
    const election = new ScriptedElection()
    const { supervisor, source, rest, log } = start(() => {}, election)
    const held = Promise.withResolvers<void>()
    source.subscribing = held.promise
    supervisor.want(topics('a'))
    election.win(0)
    await rest()
    election.lose('other')
    held.reject(new HubError('HUB_LEASE_LOST', 'over'))
    await rest()
    expect(supervisor.status.state).toBe('standby')
    expect(log.filter((line) => line.includes('connector.retry'))).toEqual([])
    await supervisor.drain(1000)
  })

  test('what keeps it from standing is said, and is over when it can', async () => {
    const election = new ScriptedElection()
    const { supervisor, rest } = start(() => {}, election)
    supervisor.want(topics('a'))
    const problem = new HubError('HUB_KUBERNETES_FORBIDDEN', 'leases may not be read')
    election.tell({ holder: undefined, epoch: 0, isOurs: false, problem })
    await rest()
    expect([supervisor.status.state, supervisor.status.problem]).toEqual(['failing', 'HUB_KUBERNETES_FORBIDDEN: leases may not be read']) // prettier-ignore
    election.tell({ holder: 'other', epoch: 0, isOurs: false, problem: undefined })
    await rest()
    expect([supervisor.status.state, supervisor.status.problem]).toEqual(['standby', undefined])
    await supervisor.drain(1000)
  })

  test('one that stops keeps its turn until what it has is settled; one that stands by gets none any more', async () => {
    const election = new ScriptedElection()
    const { supervisor, source, rig, rest } = start(() => {}, election)
    rig.invoker.script = () => undefined
    supervisor.want(topics('a'))
    election.win(0)
    await rest()
    const settled: string[] = []
    source.buffer.push(settleable('1', settled))
    await rest()
    const drained = supervisor.drain(10_000)
    await rest()
    expect([supervisor.status.state, supervisor.status.unsettled, election.resigned]).toEqual(['draining', 1, 0])
    rig.invoker.answer({ kind: 'answered', status: 200, durationMs: 1, retryAfterMs: undefined, internal: false, bodyBytes: 0, response: undefined }) // prettier-ignore
    await drained
    expect([settled, election.resigned]).toEqual([['1 ack'], 1])

    const other = new ScriptedElection()
    const standby = start(() => {}, other)
    standby.supervisor.want(topics('a'))
    await standby.rest()
    const stopping = standby.supervisor.drain(10_000)
    other.win(1)
    await stopping
    expect([standby.source.connects, other.resigned > 0]).toEqual([0, true])
  })

  test('a source that cannot step down is closed, and made anew for the next turn', async () => {
    const made: ScriptedSource[] = []
    const make = (): ScriptedSource => {
      made.push(new ScriptedSource())
      return made.at(-1) as ScriptedSource
    }
    const source = new TurnSource(make(), make)
    const { signal } = new AbortController()
    await source.connect(signal)
    await source.stepDown()
    await source.connect(signal)
    await source.close()
    expect(made.map(({ connects, closes }) => [connects, closes])).toEqual([[1, 1], [1, 1]]) // prettier-ignore
    expect(source.backlog).toBeUndefined()
  })
})
