// Fires functions at their times. One timer for all schedules; looks at the wall clock often enough to notice that it was
// set or that the machine slept. Made by connector.ts; catch-up is decided in missed-fires.ts of the SDK, what is kept of
// schedules in marks.ts, whose turn it is in outbox.ts.

import { HubError, diffSubscriptions, errorText, formatDuration, jitterOf, missedFires, orAborted, parseSchedule, refusedTopic, scheduleIdentity, scheduleProblem, subscriptionKey } from '../../src/sdk/index.ts' // prettier-ignore
import type { ClockTimer, ConfigOf, Delivery, FunctionResult, ProbeReport, ScheduleSubscription, SettleResult, Settlement, Source, SourceContext, SourceCounter, Subscription } from '../../src/sdk/index.ts' // prettier-ignore
import { messageOf, nameOf, responseText } from './fire.ts'
import type { Entry, Fire } from './fire.ts'
import type { manifest } from './manifest.ts'
import { ClaimedMarks, SettledMarks, isoTime } from './marks.ts'
import type { Marks } from './marks.ts'
import { Outbox } from './outbox.ts'
import { Timetable } from './timetable.ts'

/** A jump of the wall clock or a suspension is noticed within this; no timer is set for longer. */
const LOOK_MS = 15_000
/** A step back of the wall clock that is worth a warning. */
const STEP_BACK_MS = 60_000

type Skip = 'missed' | 'overlap' | 'replaced' | 'waiting'

/** What one look at the clock found missing, for one line in the log. */
interface Tally {
  schedules: number
  dropped: number
  more: boolean
  caughtUp: number
  example: string
}

const newTally = (): Tally => ({ schedules: 0, dropped: 0, more: false, caughtUp: 0, example: '' })

export class CronSource implements Source {
  readonly #config: ConfigOf<typeof manifest.fields>
  readonly #context: SourceContext
  readonly #skipped: SourceCounter
  readonly #caughtUp: SourceCounter
  /** By identity: a changed setting keeps what is known of the schedule. */
  readonly #entries = new Map<string, Entry>()
  readonly #timetable = new Timetable<Entry>()
  readonly #marks: Marks
  /** Fires that wait for a free slot. */
  readonly #outbox: Outbox
  #handedOut = 0
  #timer: ClockTimer | undefined
  /** The reader that time is looked after for; undefined while nobody reads. */
  #reader: symbol | undefined
  /** Of the term that the entries are known by; undefined where replicas do not take turns. */
  #epoch: number | undefined
  /** Counts closes, and turns of others: what began before one must not go on after it. */
  #life = 0
  #closed = false
  #lookedAtMs: number
  #wakeReader: () => void = () => {}

  constructor(config: ConfigOf<typeof manifest.fields>, context: SourceContext) {
    this.#config = config
    this.#context = context
    this.#lookedAtMs = context.clock.now()
    const { state, leadership } = context
    this.#marks = leadership === undefined ? new SettledMarks(state) : new ClaimedMarks(state)
    this.#outbox = new Outbox(this.#marks, leadership, () => this.#wakeReader())
    this.#skipped = context.counter('cron_skipped_total', 'Fires that were not made, by reason.', ['reason'])
    this.#caughtUp = context.counter('cron_caught_up_total', 'Missed fires that were made up for.')
  }

  connect(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason as Error)
    const { leadership } = this.#context
    const epoch = leadership?.term?.epoch
    if (leadership !== undefined && epoch === undefined)
      return Promise.reject(new HubError('HUB_LEASE_LOST', 'the turn is over', { canRetry: true }))
    // As long as nobody else had a turn, what is known here is right, and what runs here goes on.
    if (epoch !== this.#epoch) this.#forgetAll()
    this.#epoch = epoch
    this.#closed = false
    return Promise.resolve()
  }

  async subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    const life = this.#life
    const target = new Map<string, ScheduleSubscription>()
    for (const one of wanted) if (one.kind === 'schedule') target.set(scheduleIdentity(one), one)
    const current = new Map([...this.#entries.values()].map(({ subscription }) => [subscriptionKey(subscription), subscription])) // prettier-ignore
    const { added, removed } = diffSubscriptions(current, [...target.values()])
    const gone = removed.filter((one) => one.kind === 'schedule' && !target.has(scheduleIdentity(one)))
    await orAborted(Promise.all(gone.map((one) => this.#remove(one as ScheduleSubscription))), signal)
    const fresh: Promise<() => void>[] = []
    const tally = newTally()
    for (const one of added as readonly ScheduleSubscription[]) {
      const entry = this.#entries.get(scheduleIdentity(one))
      fresh.push(entry === undefined ? this.#restore(one, tally) : this.#change(entry, one))
    }
    const changes = await orAborted(Promise.all(fresh), signal)
    signal.throwIfAborted()
    if (life !== this.#life) return
    for (const change of changes) change()
    this.#report(tally)
    this.#look()
    await this.#marks.prune(new Set(target.keys()), this.#context.clock.now() - this.#config.catchUpWindow)
  }

  async *deliveries(signal: AbortSignal): AsyncGenerator<Delivery, void> {
    const life = this.#life
    const reader = Symbol('reader')
    const end = (): void => {
      this.#stopLooking(reader)
      this.#wakeReader()
    }
    signal.addEventListener('abort', end, { once: true })
    try {
      this.#reader = reader
      this.#look()
      while (!signal.aborted && life === this.#life && !this.#closed) {
        const fire = this.#outbox.take(this.#context.unsettledMax - this.#handedOut)
        if (fire !== undefined) yield this.#handOut(fire)
        // That a turn is over may have been found out just now, by asking for a fire.
        else if (!signal.aborted) await new Promise<void>((resolve) => (this.#wakeReader = resolve))
      }
    } finally {
      signal.removeEventListener('abort', end)
      this.#stopLooking(reader)
    }
  }

  probe(topics: readonly string[]): Promise<ProbeReport> {
    const nowMs = this.#context.clock.now()
    return Promise.resolve({
      server: `the clock of this machine at ${new Date(nowMs).toISOString()}, schedules in ${this.#config.zone}`,
      topics: topics.map((topic) => this.#probe(topic, nowMs)),
    })
  }

  /** The reader has ended. What is out may go on, and its settlement is kept as long as nobody else has a turn. */
  stepDown(): Promise<void> {
    return Promise.resolve()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#stopLooking(this.#reader)
    const unmade = this.#forgetAll()
    this.#epoch = undefined
    this.#wakeReader()
    await this.#marks.giveBack(unmade)
  }

  #probe(topic: string, nowMs: number): ProbeReport['topics'][number] {
    if (topic === 'cron-function') return { topic, ok: true, detail: 'every schedule' }
    const problem = scheduleProblem(topic)
    if (problem !== undefined) return refusedTopic(topic, new HubError('HUB_SCHEDULE_INVALID', problem))
    const nextMs = parseSchedule(topic, { defaultZone: this.#config.zone }).next(nowMs)
    return { topic, ok: true, detail: nextMs === undefined ? 'never fires' : `next at ${new Date(nextMs).toISOString()}` } // prettier-ignore
  }

  // --- the wanted set -------------------------------------------------------------------------------------------------

  /** Reads what was settled before; the returned function puts the schedule into force. */
  async #restore(subscription: ScheduleSubscription, tally: Tally): Promise<() => void> {
    const { clock, log } = this.#context
    const entry = this.#newEntry(subscription)
    if (entry === undefined) return () => undefined
    const mark = await this.#marks.read(subscription)
    const beganMs = clock.now()
    if (mark === undefined) await this.#marks.begin(subscription, beganMs)
    return () => {
      if (this.#entries.has(scheduleIdentity(subscription))) return
      const nowMs = clock.now()
      entry.reachedMs = entry.savedMs = mark?.reachedMs ?? beganMs
      if (entry.reachedMs > nowMs + STEP_BACK_MS)
        log.warn('cron.ahead', `${nameOf(subscription)} was settled up to ${isoTime(entry.reachedMs)}, which is still to come: it waits until then, because the same fire is not made twice. If the clock was wrong, remove the schedule and add it again.`) // prettier-ignore
      this.#entries.set(scheduleIdentity(subscription), entry)
      log.info('cron.added', `Added: ${nameOf(subscription)}`, { function: subscription.function })
      // After a restart everything is late; after the turn of another only what nobody can have made in time.
      const inTimeMs = this.#epoch === undefined ? 0 : this.#config.missedAfter
      if (mark !== undefined) this.#catchUp(entry, nowMs - entry.jitterMs - inTimeMs, tally, mark.openMs)
      this.#plan(entry)
    }
  }

  #newEntry(subscription: ScheduleSubscription): Entry | undefined {
    try {
      const schedule = parseSchedule(subscription.expression, { defaultZone: this.#config.zone })
      return { subscription, schedule, jitterMs: jitterOf(subscription), plannedMs: undefined, slot: undefined, open: new Map(), waiting: 0, backlog: [], reachedMs: 0, savedMs: 0, removed: false } // prettier-ignore
    } catch (error) {
      // The wiring only passes on valid ones; one that slipped through must not stop the others.
      this.#context.log.error('cron.invalid', `can't add function: ${nameOf(subscription)}: ${errorText(error)}`)
      return undefined
    }
  }

  /** Other settings, same schedule: what is running goes on, and nothing fires twice. */
  async #change(entry: Entry, subscription: ScheduleSubscription): Promise<() => void> {
    await this.#marks.change(entry, subscription)
    return () => {
      entry.subscription = subscription
      entry.jitterMs = jitterOf(subscription)
      this.#plan(entry)
    }
  }

  async #remove(subscription: ScheduleSubscription): Promise<void> {
    const entry = this.#entries.get(scheduleIdentity(subscription))
    if (entry === undefined) return
    this.#forget(entry)
    this.#context.log.info('cron.removed', `Removed: ${nameOf(subscription)}`, { function: subscription.function })
    // Added again it is a new schedule, which has nothing to catch up on.
    await this.#marks.remove(subscription)
  }

  /** @returns fires that were claimed, or are being, and never handed out */
  #forgetAll(): readonly Fire[] {
    this.#life += 1
    this.#handedOut = 0
    const unmade = this.#outbox.clear()
    for (const entry of this.#entries.values()) this.#forget(entry)
    return unmade
  }

  #forget(entry: Entry): void {
    entry.removed = true
    if (entry.slot !== undefined) entry.slot.cancelled = true
    for (const fire of entry.open.values()) if (fire.startedAt === undefined) this.#outbox.remove(fire)
    this.#entries.delete(scheduleIdentity(entry.subscription))
  }

  // --- time -----------------------------------------------------------------------------------------------------------

  /** Makes every fire that is due and arms the timer for the next one. */
  #look(): void {
    if (this.#reader === undefined || this.#closed) return
    this.#timer?.cancel()
    const { clock, log } = this.#context
    const nowMs = clock.now()
    if (nowMs < this.#lookedAtMs - STEP_BACK_MS)
      log.warn('cron.clock', `The clock went back by ${formatDuration(this.#lookedAtMs - nowMs)}: schedules wait until it has caught up, because the same fire is not made twice. Restart the connector if the clock was wrong before.`) // prettier-ignore
    this.#lookedAtMs = nowMs
    const tally = newTally()
    for (let entry = this.#timetable.takeDue(nowMs); entry !== undefined; entry = this.#timetable.takeDue(nowMs)) {
      this.#due(entry, nowMs - entry.jitterMs, tally)
      this.#plan(entry)
    }
    this.#report(tally)
    const waitMs = Math.min((this.#timetable.nextDueMs ?? Infinity) - nowMs, LOOK_MS)
    this.#timer = clock.after(Math.max(0, waitMs), () => this.#look())
  }

  #stopLooking(reader: symbol | undefined): void {
    if (reader !== this.#reader) return
    this.#reader = undefined
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** Fires planned up to `untilMs`: those in time are made, those that are late are missed. */
  #due(entry: Entry, untilMs: number, tally: Tally): void {
    const inTimeMs = untilMs - this.#config.missedAfter
    if ((entry.plannedMs ?? Infinity) <= inTimeMs) this.#catchUp(entry, inTimeMs, tally)
    let atMs = entry.schedule.next(entry.reachedMs)
    for (; atMs !== undefined && atMs <= untilMs; atMs = entry.schedule.next(atMs)) {
      this.#fire(entry, atMs, false)
      entry.reachedMs = atMs
    }
  }

  /** @param openMs begun by somebody before us, and not known to be settled */
  #catchUp(entry: Entry, untilMs: number, tally: Tally, openMs: readonly number[] = []): void {
    if (untilMs <= entry.reachedMs && openMs.length === 0) return
    const { catchUp: policy, overlap } = entry.subscription
    const oldestMs = this.#context.clock.now() - this.#config.catchUpWindow
    const missed = missedFires(entry.schedule, entry.reachedMs, untilMs, { policy, fireMax: this.#config.catchUpMax, oldestMs, openMs }) // prettier-ignore
    if (overlap === 'allow') for (const atMs of missed.fires) this.#fire(entry, atMs, true)
    else {
      entry.backlog.push(...missed.fires)
      this.#nextOfBacklog(entry)
    }
    entry.reachedMs = Math.max(entry.reachedMs, untilMs)
    if (missed.fires.length + missed.dropped === 0) return
    tally.schedules += 1
    tally.caughtUp += missed.fires.length
    tally.dropped += missed.dropped
    tally.more ||= missed.more
    if (tally.example === '') tally.example = nameOf(entry.subscription)
  }

  #plan(entry: Entry): void {
    if (entry.slot !== undefined) entry.slot.cancelled = true
    entry.plannedMs = entry.schedule.next(entry.reachedMs)
    entry.slot = entry.plannedMs === undefined ? undefined : this.#timetable.add(entry.plannedMs + entry.jitterMs, entry) // prettier-ignore
  }

  #report({ schedules, dropped, more, caughtUp, example }: Tally): void {
    if (schedules === 0) return
    this.#caughtUp.add(caughtUp)
    this.#skipped.add(dropped, { reason: 'missed' satisfies Skip })
    const of = `of ${schedules === 1 ? example : `${schedules} schedules (${example}, …)`}`
    if (caughtUp > 0) this.#context.log.info('cron.caught-up', `Catching up on ${caughtUp} missed fires ${of}`)
    if (dropped > 0)
      this.#context.log.warn('cron.missed', `Missed: ${more ? 'at least ' : ''}${dropped} fires ${of}, while the hub was away or its clock was set. connector.catch-up, catchUpWindow and catchUpMax decide what is made up for.`) // prettier-ignore
  }

  // --- fires ----------------------------------------------------------------------------------------------------------

  #fire(entry: Entry, plannedMs: number, caughtUp: boolean): void {
    const { overlap } = entry.subscription
    if (!caughtUp && overlap !== 'allow' && (entry.open.size > 0 || entry.backlog.length > 0)) {
      if (overlap === 'forbid') return this.#skip(entry, plannedMs, 'overlap')
      this.#replace(entry)
    }
    if (!caughtUp && entry.waiting >= this.#config.waitingMax) return this.#skip(entry, plannedMs, 'waiting')
    const fire: Fire = { entry, plannedMs, caughtUp, abort: new AbortController(), startedAt: undefined }
    entry.open.set(plannedMs, fire)
    if (!caughtUp) entry.waiting += 1
    this.#outbox.add(fire)
  }

  /** Fires that must not overlap are caught up one after another. */
  #nextOfBacklog(entry: Entry): void {
    if (entry.open.size > 0 || entry.removed) return
    const plannedMs = entry.backlog.shift()
    if (plannedMs !== undefined) this.#fire(entry, plannedMs, true)
  }

  #replace(entry: Entry): void {
    for (const plannedMs of entry.backlog.splice(0)) this.#skip(entry, plannedMs, 'replaced')
    for (const fire of entry.open.values()) {
      this.#skip(entry, fire.plannedMs, 'replaced')
      if (fire.startedAt === undefined) this.#outbox.remove(fire)
      else this.#handedOut -= 1
      fire.abort.abort(new Error('replaced by the next fire of its schedule'))
    }
    entry.open.clear()
    entry.waiting = 0
  }

  #skip({ subscription }: Entry, plannedMs: number, reason: Skip): void {
    this.#skipped.add(1, { reason })
    const text = {
      missed: 'missed',
      overlap: 'the earlier fire is not settled yet and overlap is forbid',
      replaced: 'a later fire replaces it',
      waiting: `${this.#config.waitingMax} of its fires wait already (waitingMax)`,
    }[reason]
    const level = reason === 'waiting' ? 'warn' : 'info'
    this.#context.log[level]('cron.skipped', `Skipped: ${nameOf(subscription)} at ${isoTime(plannedMs)}: ${text}`)
  }

  #handOut(fire: Fire): Delivery {
    const { clock, instance, log } = this.#context
    const { subscription } = fire.entry
    this.#handedOut += 1
    if (!fire.caughtUp) fire.entry.waiting -= 1
    fire.startedAt = clock.monotonic()
    const message = messageOf(fire, instance, this.#epoch)
    log.info('cron.invoking', `Invoking: ${nameOf(subscription)}`, { function: subscription.function, messageId: message.id }) // prettier-ignore
    const life = this.#life
    let settled: Promise<SettleResult> | undefined
    return {
      message,
      signal: fire.abort.signal,
      mayInvoke: () => this.#mayInvoke(fire, life),
      // One byte of the answer, because the status for `Response:` comes with it.
      responseBytesMax: 1,
      settle: (settlement, results) => (settled ??= this.#settle(fire, life, settlement, results)),
    }
  }

  /** Whatever it waited for since it was handed out, a turn may have ended meanwhile. */
  #mayInvoke(fire: Fire, life: number): boolean {
    const { leadership } = this.#context
    if (life !== this.#life) return leadership === undefined
    if (leadership === undefined || leadership.term?.held() === true) return true
    this.#handedOut -= 1
    fire.startedAt = undefined
    if (!fire.caughtUp) fire.entry.waiting += 1
    this.#outbox.takeBack(fire)
    return false
  }

  async #settle(
    fire: Fire,
    life: number,
    settlement: Settlement,
    results: readonly FunctionResult[] = [],
  ): Promise<SettleResult> {
    // prettier-ignore
    if (settlement.kind === 'retry')
      throw new HubError('HUB_INTERNAL', 'a cron fire was settled with retry although the hub holds retries of cron')
    if (life !== this.#life || fire.abort.signal.aborted) return 'stale'
    const { entry } = fire
    this.#logSettled(entry.subscription, settlement, results)
    entry.open.delete(fire.plannedMs)
    this.#nextOfBacklog(entry)
    try {
      if (!entry.removed) await this.#marks.settled(entry)
    } finally {
      if (life === this.#life) this.#handedOut -= 1
      this.#wakeReader()
    }
    return 'settled'
  }

  #logSettled(
    { function: name }: ScheduleSubscription,
    settlement: Settlement,
    results: readonly FunctionResult[],
  ): void {
    // prettier-ignore
    for (const result of results)
      this.#context.log.info('cron.response', responseText(result), { function: name, status: result.status, durationMs: result.durationMs }) // prettier-ignore
    if (settlement.kind === 'reject')
      this.#context.log.warn('cron.failed', `Error with ${name}: ${settlement.reason}`, { function: name })
  }
}
