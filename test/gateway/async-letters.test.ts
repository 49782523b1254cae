// Async calls that no retry could deliver: kept up to a bound, counted, and said when the oldest have to go.

import { join } from 'node:path'

import { expect, test } from 'vitest'

import { SqliteDeadLetters } from '../../src/delivery/dead-letters.ts'
import { processFunction, startRig, until } from './rig.ts'

const KIB = 1024

test('the newest are kept, within the bound; what had to go is logged and counted', async () => {
  const NEVER = { 'com.openfaas.retry.attempts': '0' }
  await using rig = await startRig([processFunction('fails', 'false', { annotations: NEVER })], {
    queue: { deadLetterBytesMax: 100 * KIB, inFlightMax: 1 },
  })
  const metrics = async (): Promise<string[]> =>
    (await rig.call('/metrics')).text.split('\n').filter((line) => line.startsWith('queue_worker_dead_letters'))
  const fail = async (id: string): Promise<void> => {
    const body = Buffer.alloc(20 * KIB)
    expect((await rig.call('/async-function/fails', { method: 'POST', headers: { 'X-Call-Id': id }, body })).status).toBe(202) // prettier-ignore
    await until(`${id} is over`, () => rig.gateway.queueLength === 0)
  }
  for (const id of ['1', '2', '3', '4']) await fail(id)
  expect(await metrics()).toEqual(['queue_worker_dead_letters 4', 'queue_worker_dead_letters_dropped_total 0'])
  // Of more than 20 KiB each, four are less than nine tenths of the bound, and five above it.
  for (const id of ['5', '6']) await fail(id)
  expect(await metrics()).toEqual(['queue_worker_dead_letters 4', 'queue_worker_dead_letters_dropped_total 2'])
  using letters = new SqliteDeadLetters(join(rig.directory, 'state', 'async-dead-letters.db'))
  expect(letters.list(10).map(({ message }) => message.id)).toEqual(['3', '4', '5', '6'])
  const line = 'The oldest dead letter is dropped: async_dead_letters_max is 100KiB'
  expect(rig.log.requests.filter((one) => one === line)).toHaveLength(2)
})
