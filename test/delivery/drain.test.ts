import { describe, expect, test } from 'vitest'

import type { DrainReport } from '../../src/delivery/dispatcher.ts'
import { Rig, answered, message, trigger } from './rig.ts'

const NOT_DURABLE = { retry: 'held', reject: 'hub', durable: false } as const

describe('a drain', () => {
  test('of a durable source waits for what runs and leaves the rest to the broker', async () => {
    const rig = new Rig({ inFlightMax: 5 })
    rig.triggers = () => [trigger('a', { concurrency: 1 })]
    rig.invoker.script = () => undefined
    const run = rig.run()
    for (const id of ['1', '2', '3']) rig.push(message(id, { orderingKey: 'k' }))
    await rig.rest()
    const drained = rig.dispatcher.drain(10_000)
    await rig.rest()
    rig.invoker.answer(answered(200))
    await expect(drained).resolves.toEqual({ unsettled: 2 })
    rig.stop.abort()
    rig.source.end()
    await run
    expect(rig.invoker.ids()).toEqual(['1'])
    expect(rig.kinds()).toEqual(['1 ack'])
    expect(rig.clock.pending).toBe(0)
  })

  test('starts nothing behind an event of the same key that it gives back', async () => {
    const rig = new Rig()
    rig.invoker.script = () => answered(500)
    void rig.run()
    rig.push(message('1', { orderingKey: 'k' }))
    rig.push(message('2', { orderingKey: 'k' }))
    await rig.rest()
    await expect(rig.dispatcher.drain(10_000)).resolves.toEqual({ unsettled: 2 })
    expect(rig.invoker.ids()).toEqual(['1'])
    expect(rig.settled).toEqual([])
  })

  test('starts nothing with a permit that it gives back', async () => {
    const rig = new Rig({ totalMax: 1, inFlightMax: 4 })
    rig.triggers = ({ id }) => [trigger(id === '1' ? 'slow' : 'one', { concurrency: 1 })]
    rig.invoker.script = () => undefined
    void rig.run()
    for (const id of ['1', '2', '3']) rig.push(message(id))
    await rig.rest()
    const drained = rig.dispatcher.drain(10_000)
    rig.invoker.answer(answered(200))
    await expect(drained).resolves.toEqual({ unsettled: 2 })
    expect(rig.invoker.ids()).toEqual(['1'])
    expect(rig.limits.total.used).toBe(0)
  })

  test('of a source that keeps nothing invokes what waits and buries what would be retried', async () => {
    const rig = new Rig({ capabilities: NOT_DURABLE })
    rig.triggers = () => [trigger('a', { concurrency: 1 })]
    rig.invoker.script = ({ message: { id } }) => (id === '1' ? answered(500) : undefined)
    void rig.run()
    for (const id of ['1', '2', '3']) rig.push(message(id))
    await rig.rest()
    const drained = rig.dispatcher.drain(10_000)
    await rig.rest()
    rig.invoker.answer(answered(200))
    await rig.rest()
    rig.invoker.answer(answered(200))
    await expect(drained).resolves.toEqual({ unsettled: 0 })
    expect(rig.letters).toMatchObject([{ reason: 'shut down before it could be retried', attempts: 1 }])
    expect(rig.kinds().toSorted()).toEqual(['1 reject', '2 ack', '3 ack'])
  })

  test('aborts what still runs at its timeout', async () => {
    for (const durable of [true, false]) {
      const rig = new Rig({ capabilities: { retry: 'held', reject: 'hub', durable } })
      rig.invoker.script = () => undefined
      void rig.run()
      rig.push(message('1', { orderingKey: 'k' }))
      rig.push(message('2', { orderingKey: 'k' }))
      await rig.rest()
      let report: DrainReport | undefined
      void rig.dispatcher.drain(5000).then((done) => (report = done))
      await rig.clock.advance(4999)
      expect(report).toBeUndefined()
      await rig.clock.advance(1)
      expect(report).toEqual({ unsettled: durable ? 2 : 0 })
      expect(rig.letters.map((letter) => letter.message.id).toSorted()).toEqual(durable ? [] : ['1', '2'])
      expect(rig.invoker.ids()).toEqual(['1'])
      expect(rig.ledger.imbalance).toBe(0)
      expect(rig.clock.pending).toBe(0)
    }
  })

  test('ends although a settlement never answers and no dead letter can be stored', async () => {
    const rig = new Rig({ capabilities: NOT_DURABLE })
    rig.invoker.script = ({ message: { id } }) => answered(id === 'stuck' ? 200 : 400)
    rig.onSettle = () => new Promise(() => {})
    rig.putLetter = () => Promise.reject(new Error('disk full'))
    void rig.run()
    rig.push(message('stuck'))
    rig.push(message('lost'))
    await rig.rest()
    let report: DrainReport | undefined
    void rig.dispatcher.drain(1000).then((done) => (report = done))
    await rig.clock.advance(1000)
    expect(report).toBeUndefined()
    await rig.clock.advance(2000)
    expect(report).toEqual({ unsettled: 2 })
    expect(rig.lost).toEqual(['a lost'])
    expect(rig.ledger.imbalance).toBe(0)
    expect(rig.clock.pending).toBe(0)
  })

  test('of nothing is over at once, as often as it is asked for', async () => {
    const rig = new Rig()
    await expect(rig.dispatcher.drain(1000)).resolves.toEqual({ unsettled: 0 })
    await expect(rig.dispatcher.drain(1000)).resolves.toEqual({ unsettled: 0 })
    expect(rig.clock.pending).toBe(0)
  })
})
