// What scripts for OpenFaaS do: the raw routes by curl, as one session whose lines build on each other. Texts and statuses are
// those of the OpenFaaS contract, sections 4 and 5.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

import { afterAll, beforeAll, expect, test } from 'vitest'

import { Secret } from '../../src/sdk/index.ts'
import { nodeFunction, processFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'

const run = promisify(execFile)
const missing = await run('curl', ['--version']).then(
  () => undefined,
  () => 'curl is not installed',
)
const AUTH = '-u admin:s3cret'

let rig: Rig

beforeAll(async () => {
  rig = await startRig(
    [nodeFunction('echo', 'echo'), processFunction('count', 'wc -c'), nodeFunction('answers', 'answers')],
    {
      auth: { username: 'admin', password: new Secret('s3cret') },
      metricsPort: 0,
    },
  )
})
afterAll(() => rig[Symbol.asyncDispose]())

/** @returns what curl wrote, then its status code in a line of its own */
async function curl(args: string, path: string): Promise<string> {
  const address = path.startsWith('http') ? path : `${rig.gateway.address}${path}`
  const { stdout } = await run('bash', ['-c', `curl -sS -m 60 -w '\\n%{http_code}' ${args} '${address}'`])
  return stdout
}

const json = (value: unknown): string => `-H 'Content-Type: application/json' -d '${JSON.stringify(value)}'`
const DEPLOYED = { service: 'later', image: 'echo', labels: { team: 'a' }, annotations: { topic: 'orders' } }

/** What, how, where, and what comes of it: the body, then the status. */
const SESSION: readonly (readonly [name: string, args: string, path: string, expected: string | RegExp])[] = [
  ['health is open', '', '/healthz', /^(OK)?\n200$/],
  ['the root leads to the portal', `-o /dev/null -w '%{redirect_url}'`, '/', /\/ui\/$/],
  ['without credentials there is no list', '', '/system/functions', 'invalid credentials\n401'],
  ['with wrong ones neither', '-u admin:wrong', '/system/functions', 'invalid credentials\n401'],
  ['the list', AUTH, '/system/functions', /^\[\{"name":"echo".*"name":"answers".*\]\n200$/],
  ['no such route', AUTH, '/system/nothing', '404 page not found\n\n404'],
  ['no such method', `${AUTH} -X PATCH`, '/system/functions', '\n405'],
  ['info', AUTH, '/system/info', /"provider":\{"provider":"[^"]+","orchestration":"[^"]+","version":\{"sha":"[^"]+","release":"[^"]+".*\n200$/],
  ['an update of what is not there', `${AUTH} -X PUT ${json(DEPLOYED)}`, '/system/functions', /\n404$/],
  ['a deployment', `${AUTH} ${json(DEPLOYED)}`, '/system/functions', '\n202'],
  ['an update', `${AUTH} -X PUT ${json({ ...DEPLOYED, envVars: { A: '1' } })}`, '/system/functions', '\n202'],
  ['a deployment with a name that is none', `${AUTH} ${json({ ...DEPLOYED, service: 'Ä' })}`, '/system/functions', /^validation failed: .*\n\n400$/],
  ['its status', AUTH, '/system/function/later?usage=1', /"name":"later".*"annotations":\{"topic":"orders"\}.*"availableReplicas":1.*"usage":\{.*\n200$/],
  ['a call', `-d hello -H 'Content-Type: text/plain'`, '/function/later', /hello[^]*\n200$/],
  ['a call by namespace, path and query', '-X PUT -d x', '/function/later.openfaas-fn/a/b?c=d', /"method":"PUT"[^]*"path":"\/a\/b"[^]*\n200$/],
  ['a process', '-d 12345', '/function/count', /^\s*5\n\n200$/],
  ['nobody', '-d x', '/function/nobody', 'No endpoints available for: nobody.\n\n503'],
  ['scaled', `${AUTH} ${json({ serviceName: 'later', replicas: 3 })}`, '/system/scale-function/later', '\n202'],
  ['its replicas', AUTH, '/system/function/later', /"replicas":3/],
  ['an async call', '-d x', '/async-function/later', '\n202'],
  ['an async call by GET', '', '/async-function/later', '\n405'],
  ['an async call with a callback that is no URL', `-d x -H 'X-Callback-Url: http://[::1'`, '/async-function/later', /\n400$/],
  ['a namespace', `${AUTH} ${json({ name: 'staging', labels: { openfaas: '1' } })}`, '/system/namespace/', '\n201'],
  ['the same again', `${AUTH} ${json({ name: 'staging', labels: { openfaas: '1' } })}`, '/system/namespace/', /\n409$/],
  ['namespaces', AUTH, '/system/namespaces', '["openfaas-fn","staging"]\n200'],
  ['a secret', `${AUTH} ${json({ name: 'api-key', namespace: 'staging', value: 'p4ss' })}`, '/system/secrets', '\n202'],
  ['secrets', AUTH, '/system/secrets?namespace=staging', '[{"name":"api-key","namespace":"staging"}]\n200'],
  ['no secret any more', `${AUTH} -X DELETE ${json({ name: 'api-key', namespace: 'staging' })}`, '/system/secrets', '\n202'],
  ['no namespace any more', `${AUTH} -X DELETE ${json({ name: 'staging' })}`, '/system/namespace/staging', '\n202'],
  ['an alert', `${AUTH} ${json({ status: 'resolved', receiver: 'r', alerts: [{ status: 'resolved', labels: { alertname: 'a', function_name: 'later.openfaas-fn' } }] })}`, '/system/alert', '\n200'],
  ['an alert that is none', `${AUTH} -d '{'`, '/system/alert', /^Unable to parse alert, bad format\.\s*\n400$/],
  ['removal', `${AUTH} -X DELETE ${json({ functionName: 'later' })}`, '/system/functions', '\n202'],
  ['removal of what is gone', `${AUTH} -X DELETE ${json({ functionName: 'later' })}`, '/system/functions', /\n404$/],
] // prettier-ignore

const wanted = (expected: string | RegExp): unknown => typeof expected === 'string' ? expected : expect.stringMatching(expected) // prettier-ignore

test.skipIf(missing !== undefined)('a session', { timeout: 180_000 }, async () => {
  for (const [name, args, path, expected] of SESSION) {
    expect([name, await curl(args, path)]).toEqual([name, wanted(expected)])
  }
})

test.skipIf(missing !== undefined)('the headers of a call, in the order of nobody', async () => {
  const said = await curl('-i -d x', '/function/echo')
  for (const header of [/^x-call-id: [0-9a-f-]{36}$/im, /^x-start-time: \d{19}$/im, /^x-duration-seconds: \d+\.\d{6}$/im])
    expect(said.replaceAll('\r', '')).toMatch(header)
  const own = await curl(`-i -d x -H 'X-Call-Id: mine'`, '/function/count')
  expect(own.toLowerCase()).not.toContain('x-call-id')
}) // prettier-ignore

test.skipIf(missing !== undefined)('logs follow until the client leaves, and metrics stand on their own port', async () => {
  await curl('-d x', '/function/count')
  const log = (): Promise<string> => curl(AUTH, '/system/logs?name=count&tail=1&follow=false')
  await until('the log is there', async () => (await log()).startsWith('{'))
  const logs = await log()
  expect(JSON.parse(logs.split('\n')[0] ?? '')).toMatchObject({ name: 'count', namespace: 'openfaas-fn', instance: expect.any(String) as string, timestamp: expect.stringMatching(/^\d{4}-.*Z$/) as string, text: expect.any(String) as string })
  const left = await run('bash', ['-c', `curl -sN -m 2 ${AUTH} '${rig.gateway.address}/system/logs?name=count&tail=-1&follow=true' | head -n 1`])
  expect(left.stdout).toMatch(/^\{"name":"count".*\}\n$/)
  const metrics = await curl('', `${String(rig.gateway.metricsAddress)}/metrics`)
  expect(metrics).toMatch(/^gateway_function_invocation_total\{function_name="count\.openfaas-fn",code="200"\} [1-9]/m)
}) // prettier-ignore
