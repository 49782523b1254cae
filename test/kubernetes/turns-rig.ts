// Replicas of one connector that take turns, while events are published without a pause: what is done to whoever has the turn,
// and what the gateway then has seen of it. For the tests of connectors that know nothing of turns.

import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { CronGateway, Replicas, cronCluster, turnRights, until } from './cron-rig.ts'

export interface TurnsOptions {
  readonly connector: string
  /** Of the connector, without what every replica gets. */
  readonly env: Readonly<Record<string, string>>
  /** What the function is annotated with. */
  readonly topic: string
  /** Resolves when the broker has taken it. */
  readonly publish: (number: number) => Promise<void>
  /** Between two events. Default 10: fast enough that every fault meets some on their way. Milliseconds. */
  readonly paceMs?: number | undefined
  /** Which event a call is about. Default: the body is the number. */
  readonly numberOf?: (body: string) => number
}

/** What the gateway has seen. */
export interface Story {
  /** Who had the turn, one after the other, by what we saw of their logs. */
  readonly holders: readonly string[]
  /** Who invoked, one after the other: a name comes again where another one was in between. */
  readonly invokers: readonly string[]
  readonly published: number
  /** Events that no call was about. */
  readonly missing: readonly number[]
  /** Events that more than one call was about, by whom. */
  readonly repeated: ReadonlyMap<number, readonly string[]>
  /** Events in the order in which they came first. */
  readonly firsts: readonly number[]
}

/** Events that have to arrive before a turn counts as had. */
const STEADY = 25

export class TurnsRig implements AsyncDisposable {
  readonly replicas: Replicas
  readonly #gateway: CronGateway
  readonly #options: TurnsOptions
  readonly #holders: string[] = []
  /** They do not know yet that their turn is over. */
  readonly #frozen = new Set<string>()
  readonly #stop = new AbortController()
  readonly #invokers = new Map<number, readonly string[]>()
  /** Calls that are among those. */
  #read = 0
  #begun = 0
  #published = 0
  #publishing: Promise<void> | undefined

  private constructor(options: TurnsOptions, gateway: CronGateway, replicas: Replicas) {
    this.#options = options
    this.#gateway = gateway
    this.replicas = replicas
  }

  static async open(api: KubernetesApi, options: TurnsOptions): Promise<TurnsRig> {
    const { connector, env, topic } = options
    const gateway = await new CronGateway({ orders: { topic } }).start()
    const cluster = await cronCluster(api, turnRights(`hub-${connector}`))
    return new TurnsRig(options, gateway, new Replicas({ gateway, ...cluster, connector, env }))
  }

  /** A replica that is ready to take over. */
  async standby(): Promise<string> {
    const name = this.replicas.start()
    await this.replicas.of(name).says('connector.standby')
    return name
  }

  /**
   * Waits until somebody reads, and until all that is published from then on for a while has arrived, all of it there.
   * @returns who it is
   */
  async turn(): Promise<string> {
    await until(
      () => this.#reading.length > 0,
      'somebody reads',
      () => this.replicas.logTails(),
    )
    const [holder = '', ...others] = this.#reading
    if (others.length > 0) throw new Error(`${holder} reads, and so does ${others.join()}`)
    if (this.#holders.at(-1) !== holder) this.#holders.push(holder)
    this.#publishing ??= this.#publish()
    const [from, to] = [this.#begun + 1, this.#begun + STEADY]
    const invokers = (number: number): readonly string[] => this.#invokersOf().get(number) ?? []
    const numbers = Array.from({ length: STEADY }, (_, index) => from + index)
    await until(
      () => numbers.every((number) => invokers(number).length > 0),
      `${from} to ${to} arrive at ${holder}`,
      () => `missing: ${numbers.filter((number) => invokers(number).length === 0).join()}\n${this.replicas.logTails()}`,
    )
    const elsewhere = numbers.filter((number) => invokers(number).some((hub) => hub !== holder))
    if (elsewhere.length > 0) throw new Error(`${holder} has the turn, and ${elsewhere.join()} came elsewhere`)
    return holder
  }

  /** It can do nothing, and does not know. */
  freeze(name: string): void {
    this.#frozen.add(name)
    this.replicas.of(name).signal('SIGSTOP')
  }

  /** It goes on where it was; resolves when it has understood that its turn is over. */
  async thaw(name: string): Promise<void> {
    const hub = this.replicas.of(name)
    const stood = hub.count('connector.standby')
    hub.signal('SIGCONT')
    await hub.says('connector.standby', stood)
    this.#frozen.delete(name)
  }

  /** Of all that has been published so far. */
  get published(): number {
    return this.#begun
  }

  /** Publishes no more. Resolves with what was seen until `isComplete`, or at once. */
  async end(isComplete: (story: Story) => boolean = () => true): Promise<Story> {
    this.#stop.abort()
    await this.#publishing
    await until(() => isComplete(this.#story), 'everything arrives', () => `missing: ${this.#story.missing.join()}\n${this.replicas.logTails()}`) // prettier-ignore
    return this.#story
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#publishing?.catch(() => undefined)
    await this.replicas[Symbol.asyncDispose]()
    await this.#gateway[Symbol.asyncDispose]()
  }

  /** In a turn, connected and subscribed. */
  get #reading(): readonly string[] {
    return [...this.replicas.running].flatMap(([name, hub]) => {
      const latest = hub.latest('turn.began', 'turn.ended', 'connector.active', 'connector.failing')
      return latest === 'connector.active' && !this.#frozen.has(name) ? [name] : []
    })
  }

  async #publish(): Promise<void> {
    const { publish, paceMs = 10 } = this.#options
    while (!this.#stop.signal.aborted) {
      this.#begun += 1
      await publish(this.#begun)
      this.#published = this.#begun
      await new Promise((resolve) => void setTimeout(resolve, paceMs))
    }
  }

  /** By event, in the order in which they came first. */
  #invokersOf(): ReadonlyMap<number, readonly string[]> {
    const { calls } = this.#gateway
    for (const { hub, body } of calls.slice(this.#read)) {
      const number = this.#options.numberOf?.(body) ?? Number(body)
      this.#invokers.set(number, [...(this.#invokers.get(number) ?? []), hub])
    }
    this.#read = calls.length
    return this.#invokers
  }

  get #story(): Story {
    const invokersOf = this.#invokersOf()
    const hubs = this.#gateway.calls.map(({ hub }) => hub)
    const all = Array.from({ length: this.#published }, (_, index) => index + 1)
    return {
      holders: this.#holders,
      invokers: hubs.filter((hub, index) => hub !== hubs[index - 1]),
      published: this.#published,
      missing: all.filter((number) => !invokersOf.has(number)),
      repeated: new Map([...invokersOf].filter(([, { length }]) => length > 1)),
      firsts: [...invokersOf.keys()],
    }
  }
}

/** Who had which part in `everyFault`. */
export interface Parts {
  readonly killed: string
  readonly frozen: string
  readonly stopped: string
  /** The last event that was published before that was told to stop. */
  readonly beforeStop: number
}

/**
 * The first holder is killed, the second frozen and let go again once there is a third, and that is stopped in its turn, upon
 * which the second has it again. After each of these everything that is published arrives at the holder.
 */
export async function everyFault(rig: TurnsRig): Promise<Parts> {
  const { replicas } = rig
  const both = [replicas.start(), replicas.start()]
  const killed = await rig.turn()
  const frozen = both.find((name) => name !== killed) ?? ''
  await replicas.of(frozen).says('connector.standby')
  await replicas.kill(killed)
  await rig.turn()
  const stopped = await rig.standby()
  rig.freeze(frozen)
  await rig.turn()
  await rig.thaw(frozen)
  await rig.turn()
  const beforeStop = rig.published
  await replicas.stop(stopped)
  await rig.turn()
  return { killed, frozen, stopped, beforeStop }
}
