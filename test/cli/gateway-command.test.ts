// `gateway` as a process: OpenFaaS's environment names, its own port for metrics, a line for each call.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, expect, test } from 'vitest'

import { CliProcess, QUICKSTART } from './cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'gateway-command-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function started(name: string, env: Readonly<Record<string, string>>, ...args: readonly string[]): CliProcess {
  const stateDir = join(folder, name)
  return new CliProcess(['gateway', '--stack', QUICKSTART, '--port', '0', '--state-dir', stateDir, ...args], { env })
}

test('takes its settings from the environment, says what has no effect, and logs each call', async () => {
  await using gateway = started('set', {
    upstream_timeout: '30',
    function_namespace: 'mine',
    functions_provider_url: 'http://provider:8081',
    write_request_uri: '1',
  })
  const [, url = ''] = await gateway.says(/gateway +(http:\/\/127\.0\.0\.1:\d+)/)
  const [, metrics = ''] = await gateway.says(/metrics +(http:\/\/127\.0\.0\.1:\d+\/metrics)/)
  await gateway.says(/count +http/)
  expect(await (await fetch(`${url}/system/namespaces`)).json()).toEqual(['mine'])
  expect((await fetch(`${url}/function/count.mine?x=1`, { method: 'POST', body: 'two words' })).status).toBe(200)
  await gateway.says(/forwardRequest: count\.mine \/\?x=1/)
  await gateway.says(/Forwarded \[POST\] to \/function\/count\.mine\?x=1 - \[200\] - \d+\.\d{4}s/)
  expect(await (await fetch(metrics)).text()).toContain(
    'gateway_function_invocation_total{function_name="count.mine",code="200"} 1',
  )
  expect((await fetch(new URL('/healthz', metrics))).status).toBe(200)
  expect((await fetch(new URL('/function/count', metrics))).status).toBe(404)
  gateway.signal('SIGTERM')
  const { code, stderr } = await gateway.ended()
  expect(code).toBe(0)
  expect(stderr).toContain('functions_provider_url has no effect: the gateway runs the functions itself')
})

test('--no-access-log prints no line for a call', async () => {
  await using gateway = started('silent', {}, '--no-access-log')
  const [, url = ''] = await gateway.says(/gateway +(http:\/\/127\.0\.0\.1:\d+)/)
  expect((await fetch(`${url}/function/count`, { method: 'POST', body: 'x' })).status).toBe(200)
  gateway.signal('SIGTERM')
  expect((await gateway.ended()).stdout).not.toContain('Forwarded')
})

test('a setting that cannot be meant stops the start', async () => {
  await using gateway = started('refused', { upstream_timeout: 'soon' })
  const { code, stderr } = await gateway.ended()
  expect(code).toBe(2)
  expect(stderr).toContain('HUB_CONFIG_INVALID: upstream_timeout "soon" is not a duration from 1ms to 24 days.')
})

test('lets a running call end when it is told to stop, and takes options for what the environment says, too', async () => {
  const place = join(folder, 'slow')
  mkdirSync(place)
  const code = `const { existsSync, writeFileSync } = require('node:fs')
const wait = () => new Promise((resolve) => setTimeout(() => resolve(existsSync('gate') || wait()), 10))
module.exports = async () => { writeFileSync('began', ''); await wait(); return 'done' }`
  writeFileSync(join(place, 'handler.js'), code)
  writeFileSync(join(place, 'package.json'), '{"type":"commonjs"}')
  const stack = join(folder, 'slow.yaml')
  writeFileSync(stack, 'functions:\n  slow: { lang: node22, handler: ./slow }\n')
  await using gateway = new CliProcess(
    ['gateway', '--stack', stack, '--port', '0', '--state-dir', join(folder, 'drain'), '--json'].concat([
      '--function-namespace',
      'mine',
      '--drain-timeout',
      '50s',
    ]),
    { env: { function_namespace: 'other' } },
  )
  await gateway.says(/"kind":"started"/)
  const { addresses } = JSON.parse(gateway.stdout.split('\n').find((line) => line.includes('started')) ?? '') as { addresses: Record<string, string> } // prettier-ignore
  expect(Object.keys(addresses)).toEqual(['gateway', 'portal', 'metrics', 'slow'])
  expect(await (await fetch(`${addresses['gateway']}/system/namespaces`)).json()).toEqual(['mine'])
  const answer = fetch(addresses['slow'] as string, { method: 'POST' })
  await expect.poll(() => existsSync(join(place, 'began'))).toBe(true)
  gateway.signal('SIGTERM')
  await gateway.says(/SIGTERM: letting what runs end, at most 50s; once more to stop at once/)
  writeFileSync(join(place, 'gate'), '')
  expect(await (await answer).text()).toBe('done')
  const { code: exit, stdout } = await gateway.ended()
  expect(exit).toBe(0)
  // Nothing of what was said last is lost.
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { kind: string; text?: string })
  expect(lines.find(({ kind, text }) => kind === 'request' && text?.includes('/function/slow - [200]'))).toBeDefined()
})

test('says how to fix a port of metrics that is taken', async () => {
  const blocker = createServer()
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve))
  const { port } = blocker.address() as AddressInfo
  await using gateway = started('taken', {}, '--metrics-port', String(port))
  const { code, stderr } = await gateway.ended()
  blocker.close()
  expect(code).toBe(2)
  expect(stderr).toContain(`HUB_GATEWAY_LISTEN: 127.0.0.1:${port}`)
  expect(stderr).toContain('Choose another port with --metrics-port, or stop what is using it.')
})

test('a state directory has one gateway at a time, and is free again however that one ended', async () => {
  await using first = started('shared', {})
  await first.says(/count +http/)
  await using second = started('shared', {})
  const { code, stderr } = await second.ended()
  expect([code, stderr]).toEqual([2, expect.stringMatching(/^HUB_STATE_UNUSABLE: \S+\/shared is in use by another gateway\. Stop that one, or give this one a folder of its own with --state-dir\.\n$/)]) // prettier-ignore
  first.signal('SIGKILL')
  await first.ended()
  await using third = started('shared', {})
  await third.says(/count +http/)
})
