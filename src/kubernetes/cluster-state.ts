// State that goes with the turn: a ConfigMap which whoever begins a term seals with its epoch before it reads, so that nothing
// an earlier holder still sends can be written. The StateStore of connectors that take turns.

import { HubError, asHubError, sleep } from '../sdk/index.ts'
import type { Clock, Leadership, StateStore, Term } from '../sdk/index.ts'
import type { KubernetesApi } from './api.ts'
import { CONFLICT, NOT_FOUND, statusOf } from './errors.ts'
import { NO_STATE, configMapPath, readState, stateObject } from './state-object.ts'
import type { Fence, StateObject } from './state-object.ts'

export interface ClusterStateOptions {
  readonly api: Pick<KubernetesApi, 'get' | 'create' | 'replace'>
  readonly namespace: string
  readonly name: string
  /** That of the candidate. */
  readonly identity: string
  readonly election: Leadership & {
    /** There is something written under this epoch, so ours is over. */
    outrank(epoch: number): void
  }
  readonly clock: Clock
  /** Between two tries. */
  readonly retryMs: number
  /** A write that is tried again. */
  readonly failed: (error: HubError) => void
}

interface Change {
  readonly key: string
  /** Undefined: removed. */
  readonly value: string | undefined
  resolve(): void
  reject(error: HubError): void
}

/** What one holder of the turn works on: from the sealing until somebody else has sealed. */
interface Hold {
  readonly fence: Fence
  /** As confirmed. */
  stored: StateObject
  /** With the changes that are under way. */
  readonly values: Map<string, string>
  readonly pending: Change[]
  writes: number
  isFlushing: boolean
}

/**
 * Every write names the version it is based on, and sealing makes a new one: so a write succeeds only as long as nobody
 * else has sealed, however late it arrives. Changes made while a write is under way go into the next one together. While
 * the API server is away a write stays pending; it is rejected with HUB_LEASE_LOST when somebody else has the turn.
 */
export class ClusterState implements StateStore {
  readonly #options: ClusterStateOptions
  readonly #closed = new AbortController()
  #hold: Hold | undefined
  #sealing: Promise<Hold> | undefined

  constructor(options: ClusterStateOptions) {
    this.#options = options
  }

  async get(key: string): Promise<string | undefined> {
    return (await this.#current()).values.get(key)
  }

  async keys(): Promise<readonly string[]> {
    return [...(await this.#current()).values.keys()]
  }

  async set(key: string, value: string): Promise<void> {
    await this.#change(key, value)
  }

  async delete(key: string): Promise<void> {
    await this.#change(key, undefined)
  }

  /** What is pending is rejected. Idempotent. */
  close(): void {
    this.#closed.abort(lost('this replica stops'))
    this.#drop(this.#hold, lost('this replica stops'))
  }

  async #change(key: string, value: string | undefined): Promise<void> {
    // Between two terms too: as long as nobody else has sealed, what we know is right.
    const { term } = this.#options.election
    const hold = this.#hold !== undefined && term === undefined ? this.#hold : await this.#current()
    await new Promise<void>((resolve, reject) => {
      hold.pending.push({ key, value, resolve, reject })
      if (value === undefined) hold.values.delete(key)
      else hold.values.set(key, value)
      if (!hold.isFlushing) void this.#flush(hold)
    })
  }

  // --- sealing ------------------------------------------------------------------------------------------------------

  async #current(): Promise<Hold> {
    this.#closed.signal.throwIfAborted()
    const { term } = this.#options.election
    if (term === undefined) throw lost('this replica does not have the turn')
    if (this.#hold?.fence.epoch === term.epoch) return this.#hold
    this.#sealing ??= this.#seal(term).finally(() => (this.#sealing = undefined))
    const hold = await this.#sealing
    if (hold.fence.epoch !== this.#options.election.term?.epoch) throw lost('the turn is over')
    return hold
  }

  async #seal(term: Term): Promise<Hold> {
    this.#drop(this.#hold, lost('another term has begun'))
    this.#hold = undefined
    const fence = { epoch: term.epoch, holder: this.#options.identity, write: 0 }
    for (;;) {
      if (!term.held()) throw lost('the turn is over')
      const stored = await this.#read(term.signal)
      this.#refuse(stored, fence)
      try {
        const sealed = await this.#write(stored, fence, stored.values)
        return (this.#hold = {
          fence,
          stored: sealed,
          values: new Map(sealed.values),
          pending: [],
          writes: 0,
          isFlushing: false,
        })
      } catch (error) {
        if (statusOf(error) !== CONFLICT && statusOf(error) !== NOT_FOUND) throw error
      }
    }
  }

  /** @throws HubError HUB_LEASE_LOST when it belongs to somebody whom we have not followed */
  #refuse({ fence: found }: StateObject, { epoch, holder }: Fence): void {
    if (found === undefined || found.epoch < epoch || (found.epoch === epoch && found.holder === holder)) return
    // Either we have been replaced, or the Lease was deleted and its count began anew.
    this.#options.election.outrank(found.epoch)
    throw lost(`${found.holder} has written its state under epoch ${found.epoch}`)
  }

  // --- writing ------------------------------------------------------------------------------------------------------

  /** What comes while one write is under way goes into the next. */
  async #flush(hold: Hold): Promise<void> {
    hold.isFlushing = true
    while (hold.pending.length > 0) {
      // All that this turn of the event loop wants to change.
      await new Promise((resolve) => void setImmediate(resolve))
      const group = hold.pending.splice(0)
      try {
        await this.#store(hold, { ...hold.fence, write: (hold.writes += 1) }, changed(hold.stored.values, group))
        for (const one of group) one.resolve()
      } catch (error) {
        const problem = asHubError(error, 'HUB_STATE_UNUSABLE')
        for (const one of group) one.reject(problem)
        if (problem.code === 'HUB_LEASE_LOST') this.#drop(hold, problem)
        else this.#restore(hold)
      }
    }
    hold.isFlushing = false
  }

  /** Until it is known to have happened, or not to happen any more. */
  async #store(hold: Hold, fence: Fence, values: ReadonlyMap<string, string>): Promise<void> {
    const { clock, retryMs, failed } = this.#options
    for (;;) {
      try {
        hold.stored = await this.#write(hold.stored, fence, values)
        return
      } catch (error) {
        const status = statusOf(error)
        if (status !== CONFLICT && status !== NOT_FOUND) {
          if (!isPassing(error)) throw error
          failed(asHubError(error))
          await sleep(clock, retryMs, this.#closed.signal)
        }
      }
      const found = await this.#look()
      if (this.#hold !== hold) throw lost('another term has begun')
      this.#refuse(found, fence)
      if (found.version === undefined) throw lost('its ConfigMap has been deleted')
      // Its answer was lost, or it came after we had given it up.
      const isDone = found.fence?.epoch === fence.epoch && found.fence.write === fence.write
      hold.stored = isDone ? found : { ...found, values: hold.stored.values }
      if (isDone) return
    }
  }

  async #look(): Promise<StateObject> {
    const { clock, retryMs, failed } = this.#options
    for (;;) {
      try {
        return await this.#read(this.#closed.signal)
      } catch (error) {
        if (!isPassing(error)) throw error
        failed(asHubError(error))
        await sleep(clock, retryMs, this.#closed.signal)
      }
    }
  }

  async #read(signal: AbortSignal): Promise<StateObject> {
    const { api, namespace, name } = this.#options
    try {
      return await readState(await api.get(configMapPath(namespace, name), { signal }))
    } catch (error) {
      if (statusOf(error) === NOT_FOUND) return NO_STATE
      throw error
    }
  }

  async #write(stored: StateObject, fence: Fence, values: ReadonlyMap<string, string>): Promise<StateObject> {
    const { api, namespace, name } = this.#options
    const object = await stateObject(stored, { namespace, name }, fence, values)
    const answer =
      stored.version === undefined
        ? await api.create(configMapPath(namespace), object)
        : await api.replace(configMapPath(namespace, name), object)
    return { ...(await readState(answer)), values }
  }

  #restore(hold: Hold): void {
    hold.values.clear()
    for (const [key, value] of changed(hold.stored.values, hold.pending)) hold.values.set(key, value)
  }

  #drop(hold: Hold | undefined, why: HubError): void {
    for (const one of hold?.pending.splice(0) ?? []) one.reject(why)
    if (this.#hold === hold) this.#hold = undefined
  }
}

function changed(values: ReadonlyMap<string, string>, changes: readonly Change[]): Map<string, string> {
  const result = new Map(values)
  for (const { key, value } of changes) {
    if (value === undefined) result.delete(key)
    else result.set(key, value)
  }
  return result
}

function lost(why: string): HubError {
  return new HubError('HUB_LEASE_LOST', why, { canRetry: true })
}

/** Whether waiting may help, where the server has not said that the object itself is wrong. */
function isPassing(error: unknown): boolean {
  return error instanceof HubError && error.canRetry && error.code !== 'HUB_LEASE_LOST'
}
