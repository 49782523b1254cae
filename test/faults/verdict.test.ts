// The judge of the fault suite finds each kind of defect, and none where there is none.

import { expect, test } from 'vitest'

import { judge } from './verdict.ts'
import type { Received, SentEvent } from './verdict.ts'

const event = (index: number): SentEvent => ({ id: `e${index}`, key: `k${index % 2}`, sequence: Math.floor(index / 2) })
const SENT = [0, 1, 2, 3].map(event)
let answers = 0
const got = (index: number, status: number | undefined = 200): Received => ({
  ...event(index),
  status,
  answered: status === undefined ? undefined : (answers += 1),
})
const CLEAN = { lost: [], foreign: [], duplicates: [], disorder: [] }

test('each once and in order within its key is clean, whatever the order of the keys', () => {
  expect(judge(SENT, [got(1), got(3), got(0), got(2)])).toEqual(CLEAN)
})

test('what never came, and what came and never got a 200, is lost', () => {
  expect(judge(SENT, [got(0), got(1), got(2, 500)])).toEqual({ ...CLEAN, lost: ['e2', 'e3'] })
  expect(judge([event(0)], [{ ...event(0), status: undefined, answered: undefined }]).lost).toEqual(['e0'])
})

test('what was not sent is named', () => {
  expect(judge([event(0)], [got(0), got(1)]).foreign).toEqual(['e1'])
})

test('a retry after a failure is no duplicate; a repeat after a 200 or after no answer is one', () => {
  const unanswered: Received = { ...event(0), status: undefined, answered: undefined }
  expect(judge([event(0)], [got(0, 500), got(0, 503), got(0)]).duplicates).toEqual([])
  expect(judge([event(0)], [got(0), got(0)]).duplicates).toEqual(['e0'])
  expect(judge([event(0)], [unanswered, got(0)]).duplicates).toEqual(['e0'])
  expect(judge([event(0)], [got(0), got(0, 500), got(0)]).duplicates).toEqual(['e0', 'e0'])
})

test('a key that goes backwards is disorder, a repeat is not', () => {
  expect(judge(SENT, [got(0), got(2), got(0), got(1), got(3)]).disorder).toEqual([])
  expect(judge(SENT, [got(2), got(0), got(1), got(3)]).disorder).toEqual([
    'k0: 0 was invoked after 1',
    'k0: 0 was done after 1',
  ])
})

test('an event that is overtaken while it waits for a retry is disorder', () => {
  expect(judge(SENT, [got(0, 500), got(2), got(0), got(1), got(3)]).disorder).toEqual(['k0: 0 was done after 1'])
})
