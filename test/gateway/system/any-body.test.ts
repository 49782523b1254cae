// Whatever is sent to a system route gets an answer of that route, and the gateway goes on.

import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { processFunction, startRig } from '../rig.ts'
import type { Rig } from '../rig.ts'

let rig: Rig

beforeAll(async () => {
  rig = await startRig([processFunction('cat', 'cat')])
})
afterAll(() => rig[Symbol.asyncDispose]())

const ROUTES: readonly (readonly [method: string, path: string, fields: readonly string[]])[] = [
  [
    'POST',
    '/system/functions',
    ['service', 'image', 'namespace', 'envVars', 'labels', 'secrets', 'limits', 'readOnlyRootFilesystem'],
  ],
  ['PUT', '/system/functions', ['service', 'image', 'envProcess', 'annotations', 'constraints', 'requests']],
  ['DELETE', '/system/functions', ['functionName', 'namespace']],
  ['POST', '/system/scale-function/cat', ['serviceName', 'replicas', 'namespace']],
  ['POST', '/system/namespace/', ['name', 'labels', 'annotations']],
  ['PUT', '/system/namespace/nowhere', ['name', 'labels', 'annotations']],
  ['POST', '/system/secrets', ['name', 'namespace', 'value', 'rawValue']],
  ['PUT', '/system/secrets', ['name', 'namespace', 'value', 'rawValue']],
  ['DELETE', '/system/secrets', ['name', 'namespace']],
]

/** An object with this route's own fields, each of any kind; or anything else that is JSON, or nothing of the kind. */
function bodies(fields: readonly string[]): fc.Arbitrary<string> {
  const values = Object.fromEntries(fields.map((name) => [name, fc.jsonValue({ maxDepth: 2 })]))
  return fc.oneof(
    fc.record(values, { requiredKeys: [] }).map((value) => JSON.stringify(value)),
    fc.json(),
    fc.string(),
  )
}

test.each(ROUTES)('%s %s', async (method, path, fields) => {
  await fc.assert(
    fc.asyncProperty(bodies(fields), async (body) => {
      const { status, text, headers } = await rig.call(path, { method, body })
      // A body by chance may be a good one.
      expect([201, 202, 400, 404]).toContain(status)
      const isEmpty = text === ''
      const isText = text.endsWith('\n') && headers['content-type'] === 'text/plain; charset=utf-8'
      expect({ isEmpty, isText }).toEqual({ isEmpty: status < 300, isText: status >= 300 })
    }),
    { numRuns: 50 },
  )
  expect((await rig.call('/function/cat', { body: 'still here' })).text).toBe('still here')
})

test('POST /system/alert', async () => {
  const alert = fc.record({ status: fc.jsonValue(), labels: fc.jsonValue() }, { requiredKeys: [] })
  const body = fc.oneof(
    fc.record({ alerts: fc.array(alert) }).map((value) => JSON.stringify(value)),
    bodies(['alerts']),
  )
  await fc.assert(
    fc.asyncProperty(body, async (sent) => {
      const { status, text } = await rig.call('/system/alert', { body: sent })
      expect([200, 400, 500]).toContain(status)
      expect(/^(\[\d+\] [^\n]+\n)+$/.test(text)).toBe(status === 500)
    }),
    { numRuns: 50 },
  )
})

test('GET /system/logs with any query', async () => {
  const value = fc.oneof(fc.string(), fc.constantFrom('-1', '5', '2026-01-05T10:00:00Z', 'cat', 'true'))
  const query = fc.record(
    { name: value, tail: value, since: value, instance: value, namespace: value },
    { requiredKeys: [] },
  )
  await fc.assert(
    fc.asyncProperty(query, async (sent) => {
      const { status } = await rig.call(`/system/logs?${new URLSearchParams(sent).toString()}`)
      expect([200, 422, 500]).toContain(status)
    }),
    { numRuns: 50 },
  )
})
