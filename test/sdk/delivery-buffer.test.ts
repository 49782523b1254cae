import { expect, test } from 'vitest'

import { DeliveryBuffer } from '../../src/sdk/index.ts'

async function drain<T>(buffer: DeliveryBuffer<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of buffer) items.push(item)
  return items
}

test('hands out in order what was pushed before and after the reader came', async () => {
  const buffer = new DeliveryBuffer<number>(3)
  buffer.push(1)
  buffer.push(2)
  const reading = drain(buffer)
  await Promise.resolve()
  for (const item of [3, 4]) {
    buffer.push(item)
    await new Promise((resolve) => void setImmediate(resolve))
  }
  buffer.end()
  expect(await reading).toEqual([1, 2, 3, 4])
})

test('says how much is free and throws beyond the bound', () => {
  const buffer = new DeliveryBuffer<string>(2)
  expect([buffer.free, buffer.length]).toEqual([2, 0])
  buffer.push('a')
  buffer.push('b')
  expect([buffer.free, buffer.length]).toEqual([0, 2])
  expect(() => buffer.push('c')).toThrow(RangeError)
})

test('what goes straight to a waiting reader takes no room', async () => {
  const buffer = new DeliveryBuffer<string>(1)
  const iterator = buffer[Symbol.asyncIterator]()
  const next = iterator.next()
  buffer.push('a')
  buffer.push('b')
  expect(await next).toEqual({ done: false, value: 'a' })
  expect(buffer.free).toBe(0)
})

test('after the end the reader gets what is buffered; what is pushed later is left to the broker', async () => {
  const buffer = new DeliveryBuffer<string>(4)
  buffer.push('a')
  buffer.end()
  buffer.end()
  buffer.push('b')
  expect(await drain(buffer)).toEqual(['a'])
})

test('a failure drops what is buffered and reaches the reader, waiting or not', async () => {
  const early = new DeliveryBuffer<string>(4)
  early.push('a')
  early.fail(new Error('lost'))
  early.fail(new Error('later'))
  early.end()
  await expect(drain(early)).rejects.toThrow('lost')
  const waiting = new DeliveryBuffer<string>(4)
  const reading = drain(waiting)
  await Promise.resolve()
  waiting.fail(new Error('lost'))
  await expect(reading).rejects.toThrow('lost')
})

test('a failure after the end changes nothing', async () => {
  const buffer = new DeliveryBuffer<string>(4)
  buffer.push('a')
  buffer.end()
  buffer.fail(new Error('late'))
  expect(await drain(buffer)).toEqual(['a'])
})

test('has one reader that reads one item at a time', async () => {
  const buffer = new DeliveryBuffer<string>(4)
  const iterator = buffer[Symbol.asyncIterator]()
  expect(() => buffer[Symbol.asyncIterator]()).toThrow('one reader')
  const first = iterator.next()
  await expect(iterator.next()).rejects.toThrow('one item at a time')
  buffer.push('a')
  expect((await first).value).toBe('a')
})

test('a reader that leaves ends the buffer', async () => {
  const buffer = new DeliveryBuffer<string>(4)
  buffer.push('a')
  buffer.push('b')
  for await (const item of buffer) {
    expect(item).toBe('a')
    break
  }
  buffer.push('c')
  expect(buffer.clear()).toEqual(['b'])
})

test('clear returns what was dropped and makes room', () => {
  const buffer = new DeliveryBuffer<number>(2)
  buffer.push(1)
  buffer.push(2)
  expect(buffer.clear()).toEqual([1, 2])
  expect(buffer.free).toBe(2)
})

test('keeps its order and bound over many more items than the bound', async () => {
  const buffer = new DeliveryBuffer<number>(3000)
  const iterator = buffer[Symbol.asyncIterator]()
  let pushed = 0
  for (let read = 0; read < 10_000; read++) {
    while (buffer.free > 0) buffer.push(pushed++)
    expect((await iterator.next()).value).toBe(read)
  }
  expect(buffer.length).toBe(2999)
})
