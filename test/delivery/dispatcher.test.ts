import { describe, expect, test } from 'vitest'

import { GatewayGate } from '../../src/invoke/gateway-gate.ts'
import { HubError } from '../../src/sdk/index.ts'
import type { EventFilter } from '../../src/sdk/index.ts'
import { Rig, SETTINGS, UNREACHABLE, answered, message, trigger } from './rig.ts'

/** A gate that the test opens: its probe is never made, because the test's clock stands still. */
class TestGate extends GatewayGate {
  #callbacks = new Set<() => void>()
  #isOpen = true
  override get open(): boolean {
    return this.#isOpen
  }
  override whenOpen(callback: () => void): () => void {
    this.#callbacks.add(callback)
    return () => void this.#callbacks.delete(callback)
  }
  override report(): void {
    this.#isOpen = false
  }
  reopen(): void {
    this.#isOpen = true
    const waiting = [...this.#callbacks]
    this.#callbacks.clear()
    for (const callback of waiting) callback()
  }
}

function testGate(): TestGate {
  const { clock } = new Rig()
  return new TestGate({ gatewayUrl: 'http://127.0.0.1:1', clock, onClosed: () => {}, onOpened: () => {} })
}

describe('settling', () => {
  test('acks when every function has answered 2xx, and not before', async () => {
    const rig = new Rig()
    rig.invoker.script = () => undefined
    rig.triggers = () => [trigger('a'), trigger('b')]
    void rig.run()
    rig.push(message('1'))
    await rig.rest()
    rig.invoker.answer(answered(204), 'a')
    await rig.rest()
    expect(rig.settled).toEqual([])
    rig.invoker.answer(answered(200), 'b')
    await rig.rest()
    expect(rig.kinds()).toEqual(['1 ack'])
    expect(rig.ledger.counts).toMatchObject({ received: 1, acked: 1, inFlight: 0 })
  })

  test('an event that nobody wants, or that every filter drops, is acked and counted apart', async () => {
    const rig = new Rig()
    const filter: EventFilter = {
      expression: 'x',
      test: ({ id }) => (id === 'bad' ? { kind: 'error', reason: 'no x' } : { kind: 'fail' }),
    }
    rig.triggers = ({ topic }) => (topic === 'orders' ? [trigger('a', { filter })] : [])
    void rig.run()
    rig.push(message('1'))
    rig.push(message('bad'))
    rig.push(message('2', { topic: 'none' }))
    await rig.rest()
    expect(rig.kinds()).toEqual(['1 ack', 'bad ack', '2 ack'])
    expect(rig.invoker.started).toEqual([])
    expect(rig.filterFailures).toEqual(['a bad: no x'])
    expect(rig.ledger.counts).toMatchObject({ filtered: 2, unmatched: 1, acked: 0 })
  })

  test('a settlement that fails or comes too late is left to redelivery', async () => {
    const rig = new Rig()
    rig.onSettle = (id) => (id === '1' ? Promise.reject(new Error('gone')) : Promise.resolve('stale'))
    void rig.run()
    rig.push(message('1'))
    rig.push(message('2'))
    await rig.rest()
    expect(rig.settleFailures).toEqual(['1'])
    expect(rig.ledger.counts).toMatchObject({ returned: 2, acked: 0, inFlight: 0 })
  })

  test('does not invoke, nor retry, what its source says may be another’s by now, and gives it back', async () => {
    const rig = new Rig()
    const mine = new Set(['1', '2'])
    rig.invoker.script = () => answered(503)
    void rig.run()
    for (const id of ['1', '2', '3']) rig.push(message(id), { mayInvoke: () => mine.has(id) })
    await rig.rest()
    expect(rig.invoker.started.map((one) => one.message.id)).toEqual(['1', '2'])
    mine.delete('2')
    await rig.clock.advance(60_000)
    const tries = rig.invoker.started.map((one) => one.message.id)
    expect([tries.filter((id) => id === '1').length > 1, tries.filter((id) => id === '2').length]).toEqual([true, 1])
    expect(rig.settled.map(({ id }) => id).filter((id) => id !== '1')).toEqual([])
    expect(rig.ledger.counts).toMatchObject({ received: 3, returned: 2 })
  })

  test('does not invoke anything of a source whose turn is over', async () => {
    let isOurs = true
    const rig = new Rig({ mayInvoke: () => isOurs })
    void rig.run()
    rig.push(message('1'))
    await rig.rest()
    isOurs = false
    rig.push(message('2'))
    await rig.rest()
    expect([rig.kinds(), rig.ledger.counts.returned]).toEqual([['1 ack'], 1])
  })

  test.each([
    ['their function', {}],
    ['an event of the same key', { orderingKey: 'k' }],
  ])('lets go of all that waited for %s when the turn is over, however many', async (_, more) => {
    let isOurs = true
    const rig = new Rig({ mayInvoke: () => isOurs, heldMax: 9000 })
    rig.triggers = () => [trigger('a', { concurrency: 1 })]
    rig.invoker.script = () => undefined
    void rig.run()
    for (let count = 0; count < 9000; count++) rig.push(message(`${count}`, more))
    await rig.rest()
    expect(rig.dispatcher.unsettled).toBe(9000)
    isOurs = false
    rig.invoker.answer(answered(200))
    await rig.rest()
    expect(rig.ledger.counts).toMatchObject({ acked: 1, returned: 8999, inFlight: 0 })
    expect([rig.invoker.started.length, rig.limits.total.used, rig.dispatcher.invoking]).toEqual([1, 0, 0])
  })

  test('hands back answers cut at what the delivery asked for, though the log keeps more', async () => {
    const rig = new Rig({ loggedResponseBytesMax: 100 })
    rig.invoker.script = () => answered(200, { response: { headers: ['x-a', '1'], body: Buffer.from('abcdef') } })
    void rig.run()
    rig.push(message('1'), { responseBytesMax: 3 })
    await rig.rest()
    const [result] = rig.settled[0]?.results ?? []
    expect(rig.invoker.started[0]?.responseBytesMax).toBe(100)
    expect(Buffer.from(result?.body ?? []).toString()).toBe('abc')
    expect(result).toMatchObject({ function: 'a', status: 200, headers: ['x-a', '1'], retries: 0, retriesMax: 2 })
  })

  test('hands back 503 and nothing else for a function that could not be reached to the end', async () => {
    const rig = new Rig()
    const error = new HubError('HUB_INVOKE_INTERRUPTED', 'the connection broke', { canRetry: true })
    rig.invoker.script = () => ({ kind: 'interrupted', error, durationMs: 5 })
    rig.triggers = () => [trigger('a', { retry: { ...SETTINGS.retry, attempts: 0 } })]
    void rig.run()
    rig.push(message('1'), { responseBytesMax: 3 })
    await rig.rest()
    expect(rig.settled[0]?.results).toEqual([
      { function: 'a', status: 503, headers: [], body: new Uint8Array(0), durationMs: 5, retries: 0, retriesMax: 0 },
    ])
  })

  test('hands back no answer for a function whose filter left the event out', async () => {
    const filter: EventFilter = { expression: 'false', test: () => ({ kind: 'fail' }) }
    const rig = new Rig()
    rig.triggers = () => [trigger('left out', { filter }), trigger('asked')]
    void rig.run()
    rig.push(message('1'), { responseBytesMax: 3 })
    await rig.rest()
    expect(rig.settled[0]?.results?.map((result) => [result.function, result.status])).toEqual([['asked', 200]])
  })
})

describe('failures', () => {
  test('retries with back-off, then dead-letters before it rejects', async () => {
    const rig = new Rig()
    rig.invoker.script = () => answered(500)
    void rig.run()
    rig.push(message('1'))
    await rig.rest()
    await rig.clock.advance(999)
    expect(rig.invoker.started).toHaveLength(1)
    await rig.clock.advance(1)
    expect(rig.invoker.started).toHaveLength(2)
    await rig.clock.advance(2000)
    expect(rig.invoker.started).toHaveLength(3)
    expect(rig.letters).toMatchObject([
      { function: 'a', attempts: 3, status: 500, reason: 'answered 500; gave up after 3 attempts' },
    ])
    expect(rig.settled[0]?.settlement).toMatchObject({ kind: 'reject', letters: [] })
    expect(rig.ledger.counts).toMatchObject({ deadLettered: 1, inFlight: 0 })
  })

  test('stays unsettled while its dead letter cannot be stored', async () => {
    const rig = new Rig()
    let broken = true
    rig.invoker.script = () => answered(400)
    rig.putLetter = () => (broken ? Promise.reject(new Error('disk full')) : Promise.resolve())
    void rig.run()
    rig.push(message('1'))
    await rig.clock.advance(10_000)
    expect(rig.settled).toEqual([])
    expect(rig.letterFailures.length).toBeGreaterThan(1)
    expect(rig.dispatcher.unsettled).toBe(1)
    broken = false
    await rig.clock.advance(30_000)
    expect(rig.kinds()).toEqual(['1 reject'])
    expect(rig.letters).toHaveLength(1)
    expect(rig.invoker.started).toHaveLength(1)
  })

  test('a broker that keeps dead letters gets them with the settlement', async () => {
    const rig = new Rig({ capabilities: { retry: 'held', reject: 'broker', durable: true } })
    rig.invoker.script = () => answered(404)
    rig.triggers = () => [trigger('a'), trigger('b')]
    void rig.run()
    rig.push(message('1'))
    await rig.rest()
    expect(rig.letters).toEqual([])
    expect(rig.settled[0]?.settlement).toMatchObject({
      kind: 'reject',
      letters: [{ function: 'a', status: 404 }, { function: 'b' }],
    })
  })

  test('a delivery that says who keeps its dead letters is believed', async () => {
    const rig = new Rig({ capabilities: { retry: 'held', reject: 'hub', durable: true } })
    rig.invoker.script = () => answered(404)
    void rig.run()
    rig.push(message('1'), { reject: 'broker' })
    rig.push(message('2'))
    await rig.rest()
    expect(rig.letters.map(({ message: { id } }) => id)).toEqual(['2'])
    expect(rig.settled.find(({ id }) => id === '1')?.settlement).toMatchObject({ kind: 'reject', letters: [{ status: 404 }] }) // prettier-ignore
    expect(rig.settled.find(({ id }) => id === '2')?.settlement).toMatchObject({ kind: 'reject', letters: [] })
  })

  test('a fan-out retries only the function that failed', async () => {
    const rig = new Rig({ capabilities: { retry: 'delayed', reject: 'hub', durable: true } })
    rig.triggers = () => [trigger('a'), trigger('b')]
    rig.invoker.script = ({ function: name }) => answered(name === 'a' && rig.invoker.ids('a').length === 1 ? 503 : 200)
    void rig.run()
    rig.push(message('1'))
    await rig.clock.advance(1000)
    expect(rig.invoker.ids('a')).toEqual(['1', '1'])
    expect(rig.invoker.ids('b')).toEqual(['1'])
    expect(rig.kinds()).toEqual(['1 ack'])
  })

  test('a broker with delayed redelivery gets the event back at once, one with immediate after the delay', async () => {
    for (const [retry, earlyKinds, delayMs] of [
      ['delayed', ['1 retry'], 1000],
      ['immediate', [], 0],
    ] as const) {
      const rig = new Rig({ capabilities: { retry, reject: 'hub', durable: true } })
      rig.invoker.script = () => answered(500)
      void rig.run()
      rig.push(message('1'))
      await rig.rest()
      expect(rig.kinds()).toEqual(earlyKinds)
      await rig.clock.advance(1000)
      expect(rig.settled.map(({ settlement }) => settlement)).toEqual([
        { kind: 'retry', delayMs, reason: 'answered 500' },
      ])
      expect(rig.invoker.started).toHaveLength(1)
    }
  })

  test('a source that keeps the count is told of every try that the hub holds the event for, and of the open calls', async () => {
    const rig = new Rig()
    rig.triggers = () => [trigger('a'), trigger('b')]
    rig.invoker.script = ({ function: name }) => answered(name === 'a' ? 503 : 200)
    const tried: number[] = []
    void rig.run()
    rig.push(message('1', { attempt: 2, timestampMs: 7 }), { tried: (attempts) => tried.push(attempts) })
    rig.push(message('2', { timestampMs: 5 }))
    await rig.rest()
    expect(tried).toEqual([2])
    expect([...rig.dispatcher.openCalls()]).toEqual([['a', { count: 2, oldestMs: 5 }]])
    await rig.clock.advance(60_000)
    expect(tried).toEqual([2])
    expect(rig.letters.map(({ message: { id }, attempts }) => `${id} ${attempts}`)).toEqual(['1 3', '2 3'])
    expect([...rig.dispatcher.openCalls()]).toEqual([])
  })

  test("counts the broker's earlier deliveries as attempts", async () => {
    const rig = new Rig()
    rig.invoker.script = () => answered(500)
    void rig.run()
    rig.push(message('1', { attempt: 3 }))
    await rig.rest()
    expect(rig.letters).toMatchObject([{ attempts: 3 }])
  })

  test('a router that throws fails the run and gives its room back', async () => {
    const rig = new Rig()
    rig.triggers = () => {
      throw new Error('router broke')
    }
    rig.push(message('1'))
    await expect(rig.run()).rejects.toThrow('router broke')
    expect(rig.settled).toEqual([])
    expect(rig.dispatcher.unsettled).toBe(0)
    expect(rig.ledger.counts).toMatchObject({ received: 1, returned: 1 })
  })

  test('a source that throws fails the run; what is in flight is settled all the same', async () => {
    const rig = new Rig()
    rig.invoker.script = () => undefined
    const run = rig.run()
    rig.push(message('1'))
    await rig.rest()
    rig.source.fail(new Error('connection lost'))
    await expect(run).rejects.toThrow('connection lost')
    rig.invoker.answer(answered(200))
    await rig.rest()
    expect(rig.kinds()).toEqual(['1 ack'])
  })
})

describe('an outage of the gateway', () => {
  test('uses up no attempts and pulls nothing', async () => {
    const gate = testGate()
    const rig = new Rig({ gate, inFlightMax: 1 })
    rig.invoker.script = () => (gate.open && rig.invoker.started.length === 1 ? UNREACHABLE : answered(200))
    void rig.run()
    rig.push(message('1'))
    rig.push(message('2'))
    await rig.clock.advance(60_000)
    expect(rig.invoker.ids()).toEqual(['1'])
    gate.reopen()
    await rig.rest()
    expect(rig.kinds()).toEqual(['1 ack', '2 ack'])
    expect(rig.ledger.entries()[0]?.calls).toMatchObject([{ invocations: 1 }])
  })

  test('that another connector noticed ends for this one too', async () => {
    const gate = testGate()
    const rig = new Rig({ gate, inFlightMax: 1 })
    rig.invoker.script = ({ message: { id } }) => (id === '1' ? undefined : answered(200))
    void rig.run()
    rig.push(message('1'))
    rig.push(message('2'))
    await rig.rest()
    gate.report()
    rig.invoker.answer(answered(200))
    await rig.rest()
    expect(rig.kinds()).toEqual(['1 ack'])
    gate.reopen()
    await rig.rest()
    expect(rig.kinds()).toEqual(['1 ack', '2 ack'])
  })
})

describe('permits', () => {
  test('a fan-out that waits for slots of its connector holds none of those that all connectors share', async () => {
    const rig = new Rig({ inFlightMax: 2, totalMax: 4 })
    rig.triggers = () => ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => trigger(name))
    rig.invoker.script = () => undefined
    const other = new Rig({ limits: rig.limits })
    other.invoker.script = () => undefined
    void rig.run()
    rig.push(message('wide'))
    await rig.rest()
    expect([rig.invoker.open.size, rig.limits.total.used]).toEqual([2, 2])

    void other.run()
    other.push(message('next door'))
    await other.rest()
    expect(other.invoker.open.size).toBe(1)

    for (let round = 0; round < 6; round++) {
      rig.invoker.answer(answered(200))
      await rig.rest()
      expect(rig.invoker.open.size).toBe(Math.min(2, 5 - round))
    }
    other.invoker.answer(answered(200))
    await other.rest()
    expect([rig.kinds(), other.kinds(), rig.limits.total.used]).toEqual([['wide ack'], ['next door ack'], 0])
  })
})

describe('withdrawal', () => {
  test('frees the lane, the permits and the room, and settles nothing', async () => {
    const rig = new Rig()
    const cancel = new AbortController()
    rig.invoker.script = ({ message: { id } }) => (id === '1' ? undefined : answered(200))
    void rig.run()
    rig.push(message('1', { orderingKey: 'k' }), { signal: cancel.signal })
    rig.push(message('2', { orderingKey: 'k' }), { signal: cancel.signal })
    rig.push(message('3', { orderingKey: 'k' }))
    await rig.rest()
    cancel.abort()
    await rig.rest()
    expect(rig.kinds()).toEqual(['3 ack'])
    expect(rig.invoker.ids()).toEqual(['1', '3'])
    expect(rig.limits.total.used).toBe(0)
    expect(rig.ledger.counts).toMatchObject({ returned: 2, acked: 1, inFlight: 0 })
    expect(rig.ledger.imbalance).toBe(0)
  })

  test('of an event whose failure is on its way is not retried', async () => {
    const rig = new Rig()
    const cancel = new AbortController()
    rig.invoker.script = () => undefined
    void rig.run()
    rig.push(message('1'), { signal: cancel.signal })
    await rig.rest()
    rig.invoker.answer(answered(500))
    cancel.abort()
    await rig.rest()
    expect(rig.clock.pending).toBe(0)
    expect(rig.dispatcher.unsettled).toBe(0)
    expect(rig.settled).toEqual([])
  })
})
