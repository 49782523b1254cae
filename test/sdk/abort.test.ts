import { expect, test } from 'vitest'

import { orAborted } from '../../src/sdk/index.ts'

const forever = new Promise<never>(() => {})

test('work that ends first decides', async () => {
  const { signal } = new AbortController()
  await expect(orAborted(Promise.resolve(7), signal)).resolves.toBe(7)
  await expect(orAborted(Promise.reject(new Error('broken')), signal)).rejects.toThrow('broken')
})

test('an abort ends the wait with its reason, also one from before', async () => {
  const abort = new AbortController()
  const waiting = orAborted(forever, abort.signal)
  abort.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  await expect(orAborted(forever, abort.signal)).rejects.toThrow('enough')
})

test('work that fails after the abort is no unhandled rejection', async () => {
  const late = Promise.withResolvers<never>()
  await expect(orAborted(late.promise, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
  late.reject(new Error('too late'))
  await expect(late.promise).rejects.toThrow('too late')
})
