import { describe, expect, test } from 'vitest'

import { Rig, answered, message, trigger } from './rig.ts'

describe('one failing function does not slow the others', () => {
  test('500 events of a quick function are settled while the slow one is in its first round', async () => {
    const rig = new Rig({ inFlightMax: 20 })
    rig.triggers = ({ topic }) => [trigger(topic, { concurrency: 10 })]
    rig.invoker.script = ({ function: name }) => (name === 'slow' ? undefined : answered(200))
    void rig.run()
    for (let index = 0; index < 500; index++) {
      rig.push(message(`slow ${index}`, { topic: 'slow' }))
      rig.push(message(`quick ${index}`, { topic: 'quick' }))
    }
    await rig.rest()
    expect(rig.invoker.ids('slow')).toHaveLength(10)
    expect(rig.settled.filter(({ id }) => id.startsWith('quick'))).toHaveLength(500)
    expect(rig.settled).toHaveLength(500)
    expect(rig.clock.monotonic()).toBe(0)
  })

  test('nor does one that only fails: its retries hold no permits', async () => {
    const rig = new Rig({ inFlightMax: 2 })
    rig.triggers = ({ topic }) => [trigger(topic)]
    rig.invoker.script = ({ function: name }) => answered(name === 'failing' ? 500 : 200)
    void rig.run()
    for (let index = 0; index < 300; index++) {
      rig.push(message(`failing ${index}`, { topic: 'failing' }))
      rig.push(message(`quick ${index}`, { topic: 'quick' }))
    }
    await rig.rest()
    expect(rig.kinds()).toEqual(Array.from({ length: 300 }, (_, index) => `quick ${index} ack`))
  })

  test('a fan-out acks the quick function once and waits for the slow one only', async () => {
    const rig = new Rig()
    rig.triggers = () => [trigger('slow', { concurrency: 1 }), trigger('quick')]
    rig.invoker.script = ({ function: name }) => (name === 'slow' ? undefined : answered(200))
    void rig.run()
    for (let index = 0; index < 8; index++) rig.push(message(`${index}`))
    await rig.rest()
    expect(rig.invoker.ids('quick')).toHaveLength(8)
    expect(rig.invoker.ids('slow')).toEqual(['0'])
    expect(rig.settled).toEqual([])
  })
})

describe('bounds', () => {
  test('pulls no more bytes than may be unsettled, but always one event', async () => {
    const rig = new Rig({ unsettledBytesMax: 10 })
    rig.invoker.script = () => undefined
    void rig.run()
    rig.push(message('big', { body: new Uint8Array(50) }))
    rig.push(message('small', { body: new Uint8Array(1) }))
    await rig.rest()
    expect(rig.invoker.ids()).toEqual(['big'])
    rig.invoker.answer(answered(200))
    await rig.rest()
    expect(rig.invoker.ids()).toEqual(['big', 'small'])
  })

  test('holds at most heldMax deliveries beside those in flight', async () => {
    const rig = new Rig({ inFlightMax: 2, heldMax: 3 })
    rig.invoker.script = () => answered(500)
    void rig.run()
    for (let index = 0; index < 20; index++) rig.push(message(`${index}`))
    await rig.rest()
    expect(rig.dispatcher.unsettled).toBe(5)
    expect(rig.source.length).toBe(15)
  })

  test('a permit taken under an older wiring goes back without restoring its bound', async () => {
    const rig = new Rig()
    let concurrency = 3
    rig.triggers = () => [trigger('a', { concurrency })]
    rig.invoker.script = () => undefined
    void rig.run()
    for (const id of ['1', '2', '3']) rig.push(message(id))
    await rig.rest()
    concurrency = 1
    rig.push(message('4'))
    rig.push(message('5'))
    await rig.rest()
    rig.invoker.answer(answered(200))
    await rig.rest()
    expect(rig.invoker.ids()).toEqual(['1', '2', '3'])
    rig.invoker.answer(answered(200))
    rig.invoker.answer(answered(200))
    await rig.rest()
    expect(rig.invoker.ids()).toEqual(['1', '2', '3', '4'])
  })
})
