import { expect, test } from 'vitest'

import { Limits, Permits } from '../../src/delivery/limits.ts'

function waiter(name: string, granted: string[]): { gone: boolean; permitted(): void } {
  return { gone: false, permitted: () => void granted.push(name) }
}

test('permits go first come, first served, and never beyond the bound', () => {
  const permits = new Permits(1)
  const granted: string[] = []
  expect([permits.tryTake(), permits.tryTake()]).toEqual([true, false])
  permits.enqueue(waiter('a', granted))
  permits.enqueue(waiter('b', granted))
  expect(granted).toEqual([])
  permits.release()
  expect([granted, permits.used, permits.waiting]).toEqual([['a'], 1, 1])
  permits.release()
  permits.release()
  expect([granted, permits.used]).toEqual([['a', 'b'], 0])
})

test('one that has left passes its turn on', () => {
  const permits = new Permits(1)
  const granted: string[] = []
  permits.tryTake()
  const left = waiter('left', granted)
  permits.enqueue(left)
  permits.enqueue(waiter('b', granted))
  left.gone = true
  permits.release()
  expect([granted, permits.used]).toEqual([['b'], 1])
})

test('those that have left are let go before their turn comes, and are not counted', () => {
  const permits = new Permits(1)
  const granted: string[] = []
  permits.tryTake()
  const crowd = Array.from({ length: 100 }, (_, index) => waiter(String(index), granted))
  for (const one of crowd) permits.enqueue(one)
  for (const one of crowd.splice(0, 99)) {
    one.gone = true
    permits.left()
  }
  expect(permits.waiting).toBe(1)
  permits.release()
  expect([granted, permits.used, permits.waiting]).toEqual([['99'], 1, 0])
})

test('a raised bound admits waiters at once, a lowered one takes effect as permits come back', () => {
  const permits = new Permits(1)
  const granted: string[] = []
  permits.tryTake()
  for (const name of ['a', 'b', 'c']) permits.enqueue(waiter(name, granted))
  permits.resize(3)
  expect(granted).toEqual(['a', 'b'])
  permits.resize(1)
  permits.release()
  permits.release()
  expect([granted, permits.used]).toEqual([['a', 'b'], 1])
  permits.release()
  expect(granted).toEqual(['a', 'b', 'c'])
})

test('a function keeps one set of permits; its bound follows the wiring', () => {
  const limits = new Limits(10)
  const permits = limits.forFunction('a', 1)
  permits.tryTake()
  expect(limits.forFunction('a', 2)).toBe(permits)
  expect(limits.forFunction('b', 5)).not.toBe(permits)
  expect([...limits.functions()]).toEqual([
    { function: 'a', inFlight: 1, waiting: 0, max: 2 },
    { function: 'b', inFlight: 0, waiting: 0, max: 5 },
  ])
})
