import { describe, expect, test } from 'vitest'

import { ManualClock } from '../../src/sdk/index.ts'
import { Gateway, freePort, invocation, invoker } from './gateway.ts'
import type { Received } from './gateway.ts'

/** Names and values as sent, without what HTTP itself adds. */
function sent(rawHeaders: readonly string[]): string[][] {
  const pairs = Array.from({ length: rawHeaders.length / 2 }, (_, index) => rawHeaders.slice(index * 2, index * 2 + 2))
  return pairs.filter(([name = '']) => !['host', 'connection', 'content-length'].includes(name.toLowerCase()))
}

describe('a request', () => {
  test('has exactly the headers of the OpenFaaS contract, and no credentials', async () => {
    await using gateway = await Gateway.start()
    await using http = invoker(gateway.url)
    await http.invoke(invocation({ headers: { 'X-Mqtt-Qos': '1' } }))
    const [request] = gateway.received
    expect(request).toMatchObject({ method: 'POST', url: '/function/echo.openfaas-fn' })
    expect(sent(request?.rawHeaders ?? [])).toEqual([
      ['User-Agent', 'connector-hub/0'],
      ['X-Connector', 'connector-hub/test'],
      ['X-Topic', 'orders'],
      ['Content-Type', 'application/json'],
      ['X-Mqtt-Qos', '1'],
    ])
  })

  test('sends each value of a header that has several as a header of its own', async () => {
    await using gateway = await Gateway.start()
    await using http = invoker(gateway.url)
    await http.invoke(invocation({ headers: { 'X-A': '1', 'X-B': 'b' }, moreHeaders: ['X-A', '2', 'X-A', '3'] }))
    const headers = sent(gateway.received[0]?.rawHeaders ?? []).filter(([name = '']) => /^X-[AB]$/.test(name))
    expect(headers).toEqual([
      ['X-A', '1'],
      ['X-B', 'b'],
      ['X-A', '2'],
      ['X-A', '3'],
    ])
  })

  test('carries the bytes unchanged, under the content type that the event states', async () => {
    await using gateway = await Gateway.start()
    await using http = invoker(gateway.url)
    const body = Uint8Array.from({ length: 100_000 }, (_, index) => index % 256)
    await http.invoke(invocation({ body, contentType: 'application/x-own' }))
    expect(gateway.received[0]?.body.equals(body)).toBe(true)
    expect(gateway.received[0]?.headers['content-type']).toBe('application/x-own')
  })

  test('with an empty body declares no content type, unless the event states one', async () => {
    await using gateway = await Gateway.start()
    await using http = invoker(gateway.url)
    await http.invoke(invocation({ body: new Uint8Array(0) }))
    await http.invoke(invocation({ body: new Uint8Array(0), contentType: 'text/plain' }))
    expect(gateway.received[0]?.headers).not.toHaveProperty('content-type')
    expect(gateway.received[0]?.headers['content-length']).toBe('0')
    expect(gateway.received[1]?.headers['content-type']).toBe('text/plain')
  })

  test.each([
    ['', '/function/echo.openfaas-fn'],
    ['/', '/function/echo.openfaas-fn'],
    ['/faas', '/faas/function/echo.openfaas-fn'],
    ['/faas/', '/faas/function/echo.openfaas-fn'],
  ])('goes below the path %j of the gateway', async (prefix, url) => {
    await using gateway = await Gateway.start()
    await using http = invoker(gateway.url + prefix)
    await http.invoke(invocation())
    await http.invoke(invocation({ path: '/v1?limit=5' }))
    expect(gateway.received.map((one) => one.url)).toEqual([url, `${url}/v1?limit=5`])
  })

  test.each(['a\r\nX-Evil: 1', 'größe/☃', '\u0000'])('encodes the topic %j and never injects it', async (topic) => {
    await using gateway = await Gateway.start()
    await using http = invoker(gateway.url)
    await http.invoke(invocation({ topic }))
    const headers: Received['headers'] = gateway.received[0]?.headers ?? {}
    expect(headers).not.toHaveProperty('x-evil')
    expect(headers['x-topic-enc']).toBe('b64')
    expect(Buffer.from(String(headers['x-topic']), 'base64').toString()).toBe(topic)
  })

  test('to the async route names the callback, and 202 is an acceptance', async () => {
    await using gateway = await Gateway.start()
    await using http = invoker(gateway.url)
    gateway.answer = (_, response) => void response.writeHead(202, { 'X-Call-Id': 'c1' }).end()
    const callbackUrl = 'http://gateway/function/done'
    const outcome = await http.invoke(invocation({}, { mode: 'async', callbackUrl }))
    expect(outcome).toMatchObject({ kind: 'accepted', callId: 'c1' })
    expect(gateway.received[0]).toMatchObject({
      url: '/async-function/echo.openfaas-fn',
      headers: { 'x-callback-url': callbackUrl },
    })
  })

  test('that HTTP cannot carry is the fault of the event, not of the gateway', async () => {
    await using gateway = await Gateway.start()
    await using http = invoker(gateway.url)
    for (const bad of [{ contentType: 'a\r\nX-Evil: 1' }, { path: '/a b\r\n' }, { headers: { 'X-A': 'a\nb' } }])
      expect(await http.invoke(invocation(bad))).toMatchObject({
        kind: 'interrupted',
        error: { code: 'HUB_INVOKE_INTERRUPTED' },
      })
    expect(gateway.received).toEqual([])
  })
})

describe('an answer', () => {
  test('of any status is an answer, with Retry-After and the mark of the platform', async () => {
    await using gateway = await Gateway.start()
    await using http = invoker(gateway.url)
    gateway.answer = (_, response) =>
      void response.writeHead(503, { 'Retry-After': '7', 'X-OpenFaaS-Internal': 'gateway' }).end('away')
    expect(await http.invoke(invocation())).toMatchObject({
      kind: 'answered',
      status: 503,
      retryAfterMs: 7000,
      internal: true,
      bodyBytes: 4,
      response: undefined,
    })
  })

  test('of 50 MB is read to its end and only kept as far as asked', async () => {
    await using gateway = await Gateway.start()
    await using http = invoker(gateway.url, { connectionsMax: 1 })
    const bytes = 50 * 1024 * 1024
    gateway.answer = (_, response) => void response.end(Buffer.alloc(bytes, 'x'))
    const outcome = await http.invoke(invocation({}, { responseBytesMax: 5 }))
    expect(outcome).toMatchObject({ kind: 'answered', bodyBytes: bytes })
    expect(outcome.kind === 'answered' && Buffer.from(outcome.response?.body ?? []).toString()).toBe('xxxxx')
    // The one connection is free again.
    gateway.answer = (_, response) => void response.end()
    expect(await http.invoke(invocation())).toMatchObject({ kind: 'answered', status: 200, response: undefined })
  })

  test('cut off in its middle is an interruption', async () => {
    await using gateway = await Gateway.start()
    await using http = invoker(gateway.url)
    gateway.answer = (_, response) => {
      response.writeHead(200, { 'Content-Length': '100' })
      response.write('half', () => response.destroy())
    }
    expect(await http.invoke(invocation())).toMatchObject({
      kind: 'interrupted',
      error: { code: 'HUB_INVOKE_INTERRUPTED', canRetry: true },
    })
  })
})

describe('no answer', () => {
  test.each([
    ['a line break', { 'X-A': 'a\nb' }],
    ['a length that is not the one of the body', { 'Content-Length': '99' }],
    ['Expect', { Expect: '100-continue' }],
  ])('because %s in a header cannot be sent, is not the fault of the gateway', async (_, headers) => {
    await using gateway = await Gateway.start()
    await using http = invoker(gateway.url)
    expect(await http.invoke(invocation({ headers }))).toMatchObject({
      kind: 'interrupted',
      error: { code: 'HUB_INVOKE_INTERRUPTED', canRetry: false },
    })
    expect(gateway.received).toEqual([])
    expect(await http.invoke(invocation())).toMatchObject({ kind: 'answered', status: 200 })
  })

  test('within the timeout is an interruption', async () => {
    await using gateway = await Gateway.start()
    const clock = new ManualClock()
    await using http = invoker(gateway.url, { clock })
    const asked = new Promise<void>((resolve) => (gateway.answer = () => resolve()))
    const outcome = http.invoke(invocation({}, { timeoutMs: 5000 }))
    await asked
    await clock.advance(5000)
    expect(await outcome).toMatchObject({
      kind: 'interrupted',
      error: { code: 'HUB_INVOKE_TIMEOUT' },
      durationMs: 5000,
    })
    expect(clock.pending).toBe(0)
  })

  test('because nobody listens is unreachable; the password of the URL is not told', async () => {
    const port = await freePort()
    await using http = invoker(`http://user:hunter2@127.0.0.1:${port}`)
    const outcome = await http.invoke(invocation())
    expect(outcome).toMatchObject({ kind: 'unreachable', error: { code: 'HUB_GATEWAY_UNREACHABLE', canRetry: true } })
    expect(outcome.kind === 'unreachable' && outcome.error.message).not.toContain('hunter2')
  })

  test('wanted any more ends as cancelled, before and while it is asked', async () => {
    await using gateway = await Gateway.start()
    await using http = invoker(gateway.url)
    expect(await http.invoke(invocation({}, { signal: AbortSignal.abort() }))).toMatchObject({ kind: 'cancelled' })
    expect(gateway.received).toEqual([])
    const cancel = new AbortController()
    gateway.answer = () => cancel.abort()
    expect(await http.invoke(invocation({}, { signal: cancel.signal }))).toMatchObject({ kind: 'cancelled' })
  })

  test('after close: what runs, what waits for a socket and what comes later is cancelled', async () => {
    await using gateway = await Gateway.start()
    const http = invoker(gateway.url, { connectionsMax: 1 })
    const asked = new Promise<void>((resolve) => (gateway.answer = () => resolve()))
    const outcomes = [http.invoke(invocation()), http.invoke(invocation())]
    await asked
    await http.close()
    await http.close()
    outcomes.push(http.invoke(invocation()))
    expect((await Promise.all(outcomes)).map(({ kind }) => kind)).toEqual(['cancelled', 'cancelled', 'cancelled'])
    expect(gateway.received).toHaveLength(1)
  })
})
