import { expect, test } from 'vitest'

import { Call, Flight } from '../../src/delivery/flight.ts'
import { FunctionState } from '../../src/delivery/function-state.ts'
import { message, trigger } from './rig.ts'

const state = (): FunctionState => new FunctionState({ finished: () => {} })

function call(id: string, target: FunctionState): Call {
  const flight = new Flight({ message: message(id), settle: () => Promise.resolve('settled') }, 0, 0)
  return new Call(flight, trigger('a'), target, () => {})
}

test('a lane is held by one and handed on in order', () => {
  const target = state()
  const [one, two, three] = [call('1', target), call('2', target), call('3', target)]
  expect([target.enterLane('k', one), target.enterLane('k', two), target.enterLane('k', three)]).toEqual([
    true,
    false,
    false,
  ])
  expect(target.leaveLane('k')).toBe(two)
  expect(target.leaveLane('k')).toBe(three)
  expect(target.leaveLane('k')).toBeUndefined()
  expect(target.enterLane('k', one)).toBe(true)
})

test('keys do not wait for each other', () => {
  const target = state()
  expect(target.enterLane('k', call('1', target))).toBe(true)
  expect(target.enterLane('l', call('2', target))).toBe(true)
})

test('one that was withdrawn in its lane passes its turn on', () => {
  const target = state()
  const [one, two, three] = [call('1', target), call('2', target), call('3', target)]
  for (const each of [one, two, three]) target.enterLane('k', each)
  two.state = 'done'
  expect(target.leaveLane('k')).toBe(three)
})
