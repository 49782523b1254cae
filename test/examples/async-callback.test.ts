// deploy/examples/async-callback, command by command: a call that fails twice, and its result at the callback.

import { join } from 'node:path'

import { expect, test } from 'vitest'

import { Example, gatewayOf } from './example.ts'

test(
  'the result of a call that failed twice comes to the callback, with the id of the call',
  { timeout: 120_000 },
  async () => {
    using example = new Example('async-callback')
    example.env['RESULTS'] = join(example.folder, 'results')
    await using gateway = example.start('connector-hub gateway', ['--port', '0'])
    const url = await gatewayOf(gateway)
    const here = { 'http://127.0.0.1:8080': url }

    const accepted = await example.run('/async-function/flaky', here)
    expect(accepted).toMatch(/^HTTP\/1\.1 202 Accepted\r\n/)
    // A call id that the caller has chosen is not said again.
    expect(accepted).not.toMatch(/^x-call-id:/im)
    const result = JSON.parse(await example.run('/function/store/job-1', here)) as Record<string, string>
    expect(result).toEqual({
      'x-call-id': 'job-1',
      'x-function-name': 'flaky',
      'x-function-status': '200',
      'x-duration-seconds': expect.stringMatching(/^\d+\.\d{6}$/),
      'x-retry': '2',
      'x-retry-max': '4',
      body: 'a long job: done in attempt 3',
    })
    await gateway.says(/flaky: attempt 2 of job-1 fails/)
    expect(example.unused).toEqual([])
  },
)

test('whoever names an odd call id writes and reads no other file', async () => {
  using example = new Example('async-callback')
  example.env['RESULTS'] = join(example.folder, 'results')
  await using gateway = example.start('connector-hub gateway', ['--port', '0'])
  const store = `${await gatewayOf(gateway)}/function/store`
  const put = (callId: string): Promise<Response> => fetch(store, { method: 'POST', body: 'x', headers: { 'X-Call-Id': callId } }) // prettier-ignore
  expect((await put('../../stack')).status).toBe(400)
  expect((await put('good-1')).status).toBe(204)
  expect((await fetch(`${store}/good-1`)).status).toBe(200)
  expect((await fetch(`${store}/..%2Fgood-1`)).status).toBe(404)
  expect((await fetch(`${store}/other`)).status).toBe(404)
})
