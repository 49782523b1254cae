// Dead letters on their way again, on a clock of the test's own.

import { expect, test } from 'vitest'

import { meantLetters, storeBox } from '../../src/delivery/letter-box.ts'
import { SqliteDeadLetters } from '../../src/delivery/dead-letters.ts'
import { redrive } from '../../src/delivery/redrive.ts'
import type { RedriveOptions } from '../../src/delivery/redrive.ts'
import type { Invoker, Outcome } from '../../src/invoke/outcome.ts'
import { HubError, ManualClock } from '../../src/sdk/index.ts'
import type { HeldLetter, LetterBox, Trigger } from '../../src/sdk/index.ts'
import { defaults } from '../discovery/fixtures.ts'
import { message } from './rig.ts'

const clock = new ManualClock()
const { signal } = new AbortController()

const answered = (status: number): Outcome => ({ kind: 'answered', status, durationMs: 1, retryAfterMs: undefined, internal: false, bodyBytes: 0, response: undefined }) // prettier-ignore

class Rig {
  readonly invoked: string[] = []
  readonly told: (readonly [id: string, problem: string | undefined])[] = []
  answer: (id: string) => Outcome = () => answered(200)

  options(perSecond?: number): RedriveOptions {
    const invoker: Invoker = {
      invoke: ({ message: { id } }) => {
        this.invoked.push(id)
        return Promise.resolve(this.answer(id))
      },
      close: () => Promise.resolve(),
    }
    const triggerOf = ({ target = '' }: { readonly target?: string }): Trigger | undefined =>
      target === 'gone' ? undefined : { function: target, pattern: 't', settings: defaults }
    return { invokerOf: () => invoker, triggerOf, perSecond, clock, onEach: ({ id }, problem) => this.told.push([id, problem]) } // prettier-ignore
  }
}

async function filled(count: number, functionOf: (index: number) => string = () => 'f'): Promise<SqliteDeadLetters> {
  const letters = new SqliteDeadLetters(':memory:')
  for (let index = 1; index <= count; index += 1)
    await letters.put({ message: message(`e${index}`), function: functionOf(index), reason: 'old', attempts: 1, failedAtMs: 0 }) // prettier-ignore
  return letters
}

const all = (letters: SqliteDeadLetters): AsyncIterable<HeldLetter> => meantLetters(storeBox(letters, 'here', clock), {}, signal) // prettier-ignore

test('no faster than asked', async () => {
  using letters = await filled(3)
  const rig = new Rig()
  const done = redrive(all(letters), rig.options(2), signal)
  await clock.advance(0)
  expect(rig.invoked).toEqual(['e1'])
  await clock.advance(499)
  expect(rig.invoked).toEqual(['e1'])
  await clock.advance(1)
  expect(rig.invoked).toEqual(['e1', 'e2'])
  await clock.advance(1000)
  expect(await done).toEqual({ done: 3, failed: 0, unreachable: undefined })
  expect(letters.count()).toBe(0)
})

test('what comes in meanwhile is left alone, and what fails keeps its number', async () => {
  using letters = await filled(250, (index) => (index % 50 === 0 ? 'gone' : 'f'))
  const rig = new Rig()
  rig.answer = (id) => {
    void letters.put({ message: message(`late-${id}`), function: 'f', reason: 'new', attempts: 1, failedAtMs: 0 })
    return answered(id === 'e7' ? 503 : 200)
  }
  expect(await redrive(all(letters), rig.options(), signal)).toEqual({ done: 244, failed: 6, unreachable: undefined })
  expect(rig.invoked.filter((id) => id.startsWith('late'))).toEqual([])
  const left = letters.list(1000)
  expect(left.filter(({ number }) => number <= 250).map(({ number, reason, attempts }) => [number, reason, attempts])).toEqual([[7, 'answered 503', 2], ...[50, 100, 150, 200, 250].map((number) => [number, 'old', 1])]) // prettier-ignore
  expect(rig.told.find(([id]) => id === '50')).toEqual(['50', 'gone is not deployed, or no longer triggered by test'])
})

test('a gateway that is away ends it, and nothing is removed', async () => {
  using letters = await filled(3)
  const rig = new Rig()
  rig.answer = () => ({ kind: 'unreachable', error: new HubError('HUB_GATEWAY_UNREACHABLE', 'away'), durationMs: 1 })
  expect(await redrive(all(letters), rig.options(), signal)).toEqual({ done: 0, failed: 0, unreachable: 'away' })
  expect([rig.invoked, letters.count()]).toEqual([['e1'], 3])
})

test('a letter that no hub wrote has no function to go to', async () => {
  using letters = await filled(1, () => '')
  const rig = new Rig()
  expect(await redrive(all(letters), rig.options(), signal)).toEqual({ done: 0, failed: 1, unreachable: undefined })
  expect([rig.invoked, letters.count()]).toEqual([[], 1])
})

test('the search ends when each of the named letters was found', async () => {
  using letters = await filled(3)
  const box: LetterBox = storeBox(letters, 'here', clock)
  let read = 0
  const counting: LetterBox = {
    ...box,
    async *letters(end) {
      for await (const letter of box.letters(end)) {
        read += 1
        yield letter
      }
    },
  }
  const found: string[] = []
  for await (const { id } of meantLetters(counting, { ids: new Set(['2']) }, signal)) found.push(id)
  expect([found, read]).toEqual([['2'], 2])
})
