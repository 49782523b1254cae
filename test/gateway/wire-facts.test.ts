// Facts of the OpenFaaS contract about the gateway on the wire that belong to no other file: methods that no parser knows, who
// the gateway says it is, and the switch that logs where a call goes.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { VERSION } from '../../src/telemetry/version.ts'
import { sent } from './raw-socket.ts'
import { nodeFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'

let rig: Rig

beforeAll(async () => {
  rig = await startRig([nodeFunction('echo', 'echo')], { writeRequestUri: true })
})
afterAll(() => rig[Symbol.asyncDispose]())

async function answered(bytes: string): Promise<string> {
  const client = await sent(rig.gateway.address, bytes)
  await until('the connection ends', client.closed)
  return client.text()
}

describe('a method that no route takes is a 405, empty', () => {
  test.each(['FOO', 'get', 'GETX', 'X-CUSTOM', 'BREW'])('%s', async (method) => {
    for (const path of ['/function/echo', '/async-function/echo', '/system/functions', '/healthz'])
      expect(await answered(`${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)).toMatch(
        /^HTTP\/1\.1 405 Method Not Allowed\r\n(?:.+\r\n)*\r\n$/,
      )
  })

  test('behind another request it ends the connection, and nothing is said into the answer to that one', async () => {
    const text = await answered('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nFOO / HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1)
  })
})

test("the gateway's own name stands in for a caller's that has none", async () => {
  const { text, headers } = await rig.call('/function/echo')
  expect((JSON.parse(text) as { headers: object }).headers).toHaveProperty(
    'user-agent',
    `connector-hub-gateway/${VERSION}`,
  )
  expect(headers['x-served-by']).toBe(`connector-hub/${VERSION}`)
})

test('write_request_uri: a line for each call with where it is sent', async () => {
  await rig.call('/function/echo/v1?a=1')
  expect(rig.log.requests).toContain('forwardRequest: echo.openfaas-fn /v1?a=1')
})

test('telemetry is what there is, and is sent to nobody', async () => {
  expect(JSON.parse((await rig.call('/system/telemetry')).text)).toEqual({ functions: 1, replicas: 1, namespaces: 1 })
})
