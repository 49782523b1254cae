// Why a call came to nothing stands in the log of its function, where `faas-cli logs` and the portal read it.

import { expect, test } from 'vitest'

import { nodeFunction, open, processFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'
import { apiOf } from './system/api.ts'
import { startUpstream } from './upstream.ts'

/** `instance: text` of every line. */
async function logOf(rig: Rig, name: string): Promise<readonly string[]> {
  const { text } = await apiOf(rig).get(`/system/logs?name=${name}&tail=-1`)
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const { instance, text: said } = JSON.parse(line) as { instance: string; text: string }
      return `${instance}: ${said}`
    })
}

const called = { headers: { 'X-Call-Id': 'the-call' } }

test('a server that refuses connections', async () => {
  const upstream = await startUpstream('away', () => {})
  await upstream[Symbol.asyncDispose]()
  await using rig = await startRig([upstream.spec])
  const { url } = upstream.spec.runtime as { url: string }
  expect((await rig.call('/function/away/v1?a=1', called)).status).toBe(500)
  const line = `GET /v1?a=1 - failed: connect ECONNREFUSED ${url.slice('http://'.length)} [the-call]`
  expect(await logOf(rig, 'away')).toEqual([`away-1: ${line}`])
  // The gateway's own log says it once, too.
  expect(rig.log.events).toEqual([{ name: 'away', line }])
})

test('a server that takes longer than the gateway waits', async () => {
  await using upstream = await startUpstream('slow', () => {})
  await using rig = await startRig([upstream.spec], { upstreamTimeoutMs: 200 })
  expect(await rig.call('/function/slow', called)).toMatchObject({ status: 502, text: '' })
  expect(await logOf(rig, 'slow')).toEqual(["slow-1: GET / - failed: no answer within the gateway's 200 ms [the-call]"])
})

test('a process per call that takes longer than the gateway waits, and one whose command does not exist', async () => {
  await using rig = await startRig([processFunction('slow', 'sleep 60'), processFunction('none', './nowhere.sh')], {
    upstreamTimeoutMs: 200,
  })
  expect((await rig.call('/function/slow', called)).status).toBe(502)
  expect(await logOf(rig, 'slow')).toContain("slow-1: GET / - failed: no answer within the gateway's 200 ms [the-call]")
  expect((await rig.call('/function/none', called)).status).toBe(500)
  expect((await logOf(rig, 'none')).join('\n')).toMatch(/^none-1: GET \/ - failed: .*nowhere\.sh.* \[the-call\]$/m)
})

test('a handler that ends its process, and one that cannot be loaded', async () => {
  await using rig = await startRig([nodeFunction('dies', 'misbehave'), nodeFunction('broken', 'broken')])
  expect((await rig.call('/function/dies/exit', called)).status).toBe(500)
  const dies = await logOf(rig, 'dies')
  expect(dies).toContain('dies-1: exited with status 3; the next call starts it again')
  expect(dies.at(-1)).toMatch(/^dies-1: GET \/exit - failed: .+ \[the-call\]$/)
  expect((await rig.call('/function/broken', called)).status).toBe(500)
  const broken = await logOf(rig, 'broken')
  expect(broken.join('\n')).toMatch(/SyntaxError|Error: /)
  expect(broken).toContain('broken-1: exited with status 1; the next call starts it again')
  expect(broken.at(-1)).toBe('broken-1: GET / - failed: exited with status 1 [the-call]')
})

test('no replica that can be started from zero', async () => {
  await using rig = await startRig([nodeFunction('broken', 'broken', { labels: { 'com.openfaas.scale.min': '0' } })])
  expect((await rig.call('/function/broken', called)).status).toBe(503)
  expect((await logOf(rig, 'broken')).at(-1)).toBe('broken: GET / - failed: no replica could be started [the-call]')
})

test('an answer that breaks off', async () => {
  await using rig = await startRig([nodeFunction('streams', 'streams')])
  await expect(rig.call('/function/streams/broken', called)).rejects.toThrow('aborted')
  await until('its log says so', async () =>
    (await logOf(rig, 'streams')).some((line) =>
      /^streams-1: GET \/broken - failed: the answer broke off: .+ \[the-call\]$/.test(line),
    ),
  )
})

test('a caller that leaves is no failure of the function', async () => {
  let arrived = false
  await using upstream = await startUpstream('slow', () => (arrived = true))
  await using rig = await startRig([upstream.spec])
  const leaving = new AbortController()
  const left = open(rig.gateway.address, '/function/slow', { signal: leaving.signal }).catch(() => undefined)
  await until('the call runs', () => arrived)
  leaving.abort()
  await left
  await until('the call is over', () => rig.log.requests.some((line) => line.includes('/function/slow - [499]')))
  expect(await logOf(rig, 'slow')).toEqual([])
})

test('a path however long leaves room for the reason', async () => {
  const upstream = await startUpstream('away', () => {})
  await upstream[Symbol.asyncDispose]()
  await using rig = await startRig([upstream.spec])
  await rig.call(`/function/away/${'x'.repeat(30_000)}`, called)
  const [line] = await logOf(rig, 'away')
  expect(line).toMatch(/^away-1: GET \/x{299} - failed: connect ECONNREFUSED .+ \[the-call\]$/)
})

test('a secret that is not there, where a stack file asks for it', async () => {
  await using rig = await startRig([processFunction('cat', 'cat', { secrets: ['api-key'] })])
  expect(await logOf(rig, 'cat')).toEqual([
    'cat: secret api-key does not exist in namespace openfaas-fn; it runs without',
  ])
})
