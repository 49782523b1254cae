// The real faas-cli against the gateway with basic auth on: output and exit status of each command, as with an OpenFaaS.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { Secret } from '../../src/sdk/index.ts'
import { noProgram, provideProgram } from '../programs/programs.ts'
import { startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'

interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

const reason = await noProgram('faas-cli')
const PASSWORD = 'pass:word with spaces'
const STACK = `version: 1.0
provider:
  name: openfaas
  gateway: http://127.0.0.1:1
functions:
  upper:
    lang: dockerfile
    handler: ./upper
    image: local/upper:1
    fprocess: \${TRANSLATE:-tr a-z A-Z}
    environment:
      LEVEL: debug
    environment_file:
      - env.yaml
    secrets:
      - stack-key
    labels:
      com.openfaas.scale.min: "2"
    annotations:
      topic: "orders.created,orders.updated"
    limits:
      memory: 128Mi
    readonly_root_filesystem: true
  count:
    lang: dockerfile
    handler: ./count
    image: local/count:1
    fprocess: wc -c
`

let rig: Rig
let folder: string
let executable: string

beforeAll(async () => {
  if (reason !== undefined) return
  executable = (await provideProgram('faas-cli')).argv[0]
  folder = mkdtempSync(join(tmpdir(), 'faas-cli-test-'))
  writeFileSync(join(folder, 'stack.yaml'), STACK)
  writeFileSync(join(folder, 'env.yaml'), 'environment:\n  REGION: north\n')
  rig = await startRig([], { auth: { username: 'admin', password: new Secret(PASSWORD) } })
  await faas(['login', '-u', 'admin', '--password-stdin'], { input: PASSWORD })
})
afterAll(async () => {
  await rig?.[Symbol.asyncDispose]()
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
})
beforeEach((context) => {
  if (reason !== undefined) context.skip(reason)
})

/** @param config of the credentials; by default those of the login before all tests */
function start(args: readonly string[], config = 'config'): ChildProcess {
  return spawn(executable, args, {
    cwd: folder,
    env: {
      PATH: process.env['PATH'],
      HOME: folder,
      OPENFAAS_CONFIG: join(folder, config),
      OPENFAAS_URL: rig.gateway.address,
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
}

async function faas(
  args: readonly string[],
  { input = '', config }: { input?: string; config?: string } = {},
): Promise<Ran> {
  const child = start(args, config)
  const output = { out: '', err: '' }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output.out += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (output.err += text))
  child.stdin?.end(input)
  const code = await new Promise<number | null>((resolve, reject) => child.once('close', resolve).once('error', reject))
  return { code, ...output }
}

/** Deployed, with what a command needs to be about. */
async function deployed(name: string, ...more: readonly string[]): Promise<void> {
  const { code, out } = await faas([
    'deploy',
    '--image',
    `local/${name}:1`,
    '--name',
    name,
    '--fprocess',
    'cat',
    ...more,
  ])
  expect(out).toBe(`\nDeployed. 202 Accepted.\nURL: ${rig.gateway.address}/function/${name}\n\n`)
  expect(code).toBe(0)
}

async function status(name: string): Promise<Record<string, unknown>> {
  const authorization = `Basic ${Buffer.from(`admin:${PASSWORD}`).toString('base64')}`
  const { text } = await rig.call(`/system/function/${name}`, { headers: { Authorization: authorization } })
  return JSON.parse(text) as Record<string, unknown>
}

describe('login', () => {
  test('without it, what is protected is refused, and calls are not', async () => {
    const refused = 'Unauthorized access, run "faas-cli login" to setup authentication for this server\n'
    expect(await faas(['list'], { config: 'none' })).toEqual({ code: 1, out: refused, err: '' })
    const { code, out } = await faas(['invoke', 'nobody'], { config: 'none' })
    expect(code).toBe(1)
    expect(out).toContain('503 - No endpoints available for: nobody.')
  })

  test('with a wrong password', async () => {
    const { code, out } = await faas(['login', '-u', 'admin', '-p', 'wrong'], { config: 'wrong' })
    expect(out).toContain('Unable to login, either username or password is incorrect\n')
    expect(code).toBe(1)
  })

  test('with the right one it is kept, and with `logout` it is gone', async () => {
    const { code, out } = await faas(['login', '-u', 'admin', '--password-stdin'], { input: PASSWORD, config: 'short' })
    expect(out).toBe(
      `Calling the OpenFaaS server to validate the credentials...\ncredentials saved for admin ${rig.gateway.address}\n`,
    )
    expect(code).toBe(0)
    expect((await faas(['list'], { config: 'short' })).code).toBe(0)
    expect((await faas(['logout'], { config: 'short' })).code).toBe(0)
    expect((await faas(['list'], { config: 'short' })).code).toBe(1)
  })
})

describe('deploy', () => {
  test('creates by PUT, 404, POST; again it updates', async () => {
    await deployed('echo', '--label', 'team=shop', '--annotation', 'topic=orders', '-e', 'LEVEL=debug')
    const first = await status('echo')
    expect(first).toMatchObject({
      image: 'local/echo:1',
      envProcess: 'cat',
      envVars: { LEVEL: 'debug' },
      labels: { team: 'shop' },
      annotations: { topic: 'orders' },
    })
    const { code, out } = await faas(['deploy', '--image', 'local/echo:2', '--name', 'echo', '--fprocess', 'cat'])
    expect(out).toContain('Deployed. 202 Accepted.\n')
    expect(code).toBe(0)
    const second = await status('echo')
    expect(second).toMatchObject({ image: 'local/echo:2', createdAt: first['createdAt'] })
    expect(second).not.toHaveProperty('annotations')
  })

  test('--replace --update=false removes and creates', async () => {
    await deployed('replaced')
    const args = ['deploy', '--image', 'local/replaced:2', '--name', 'replaced', '--fprocess', 'cat']
    const { code, out } = await faas([...args, '--replace', '--update=false'])
    expect(out).toContain('Removing old function.\n')
    expect(out).toContain('Deployed. 202 Accepted.\n')
    expect(code).toBe(0)
    expect(await status('replaced')).toMatchObject({ image: 'local/replaced:2' })
  })

  test.each([
    [
      'a second time without --update',
      ['--image', 'local/again:1', '--name', 'again', '--fprocess', 'cat', '--update=false'],
      'Unexpected status: 500, message: unable create Deployment: again.openfaas-fn already exists\n',
      "Function 'again' failed to deploy with status code: 500\n",
    ],
    [
      'an image that cannot run here',
      ['--image', 'nginx:latest', '--name', 'nginx'],
      'Unexpected status: 400, message: there is no container engine to run image nginx:latest: set fprocess, upstream_url, or a handler folder\n',
      "Function 'nginx' failed to deploy with status code: 400\n",
    ],
    [
      'a secret that is missing',
      ['--image', 'local/x:1', '--name', 'x', '--fprocess', 'cat', '--secret', 'no-such'],
      'Unexpected status: 400, message: unable to fetch secrets: secret "no-such" not found\n',
      "Function 'x' failed to deploy with status code: 400\n",
    ],
    [
      'a namespace that is not there',
      ['--image', 'local/x:1', '--name', 'x', '--fprocess', 'cat', '--namespace', 'nowhere'],
      'Unexpected status: 400, message: namespace nowhere not found\n',
      "Function 'x' failed to deploy with status code: 400\n",
    ],
  ])('%s fails and says why', async (_, args, ...said) => {
    if (args.includes('again')) await deployed('again')
    const { code, out } = await faas(['deploy', ...args])
    for (const text of said) expect(out).toContain(text)
    expect(code).toBe(1)
  })

  test('from a stack.yaml, twice; and removes what it names', async () => {
    const { address } = rig.gateway
    expect((await faas(['secret', 'create', 'stack-key', '--from-literal', 'x'])).code).toBe(0)
    for (let round = 0; round < 2; round++) {
      const { code, out } = await faas(['deploy', '-f', 'stack.yaml', '--gateway', address])
      for (const name of ['upper', 'count'])
        expect(out).toContain(`Deploying: ${name}.\n\nDeployed. 202 Accepted.\nURL: ${address}/function/${name}\n`)
      expect(code).toBe(0)
    }
    expect(await status('upper')).toMatchObject({
      envProcess: 'tr a-z A-Z',
      envVars: { LEVEL: 'debug', REGION: 'north' },
      secrets: ['stack-key'],
      labels: { 'com.openfaas.scale.min': '2' },
      annotations: { topic: 'orders.created,orders.updated' },
      limits: { memory: '128Mi' },
      readOnlyRootFilesystem: true,
      replicas: 2,
    })
    expect(await faas(['invoke', 'upper'], { input: 'abc' })).toEqual({ code: 0, out: 'ABC', err: '' })
    const removed = await faas(['remove', '-f', 'stack.yaml', '--gateway', address])
    for (const name of ['upper', 'count']) expect(removed.out).toContain(`Deleting: ${name}.\nRemoving old function.\n`)
    expect(removed.code).toBe(0)
  })
})

test('list, -q, -v', async () => {
  await deployed('listed')
  await faas(['invoke', 'listed'], { input: 'x' })
  const plain = await faas(['list'])
  expect(plain.out).toMatch(/^Function +\tInvocations +\tReplicas\n/)
  expect(plain.out).toMatch(/^listed +\t1 +\t1 +$/m)
  expect((await faas(['list', '--quiet'])).out.split('\n')).toContain('listed')
  const verbose = await faas(['list', '--verbose'])
  expect(verbose.out).toMatch(
    /^listed +\tlocal\/listed:1 +\t1 +\t1 +\t+\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC$/m,
  )
  expect([plain.code, verbose.code]).toEqual([0, 0])
  await deployed('aaa-idle')
  const first = async (...args: string[]): Promise<string | undefined> => (await faas(['list', '--quiet', ...args])).out.split('\n')[0] // prettier-ignore
  expect(await first()).toBe('aaa-idle')
  expect(await first('--sort=invocations')).not.toBe('aaa-idle')
})

test('describe', async () => {
  await deployed('shown', '-e', 'A=1')
  const { address } = rig.gateway
  const { code, out } = await faas(['describe', 'shown'])
  const rows = Object.fromEntries(out.split('\n').map((line) => line.split(/: +/) as [string, string]))
  expect(rows).toMatchObject({
    Name: 'shown',
    Status: 'Ready',
    Replicas: '1',
    'Available Replicas': '1',
    Invocations: '0',
    Image: 'local/shown:1',
    'Function Process': 'cat',
    URL: `${address}/function/shown`,
    'Async URL': `${address}/async-function/shown`,
  })
  expect(code).toBe(0)
  const verbose = await faas(['describe', 'shown', '--verbose'])
  expect(verbose.out).toMatch(/Usage:.*\n +RAM:\s+0\.00 MB\n +CPU:\s+0 Mi/)
  expect(await faas(['describe', 'nobody'])).toEqual({ code: 1, out: 'No such function: nobody\n', err: '' })
})

test('invoke, and --async', async () => {
  await deployed('called')
  expect(await faas(['invoke', 'called'], { input: 'hello' })).toEqual({ code: 0, out: 'hello', err: '' })
  expect(await faas(['invoke', 'called', '-n', 'openfaas-fn'], { input: 'again' })).toMatchObject({
    code: 0,
    out: 'again',
  })
  expect(await faas(['invoke', 'called', '--async'], { input: 'later' })).toEqual({
    code: 0,
    out: '',
    err: 'Function submitted asynchronously.\n',
  })
  await until('the third call has run', async () => /^called +\t3 /m.test((await faas(['list'])).out))
})

describe('logs', () => {
  const LINE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z (Forking fprocess\.|Wrote \d+ Bytes - Duration: [\d.]+s)$/

  test('--tail=false, --lines, --since, as JSON', async () => {
    await deployed('logged')
    for (const input of ['a', 'bb']) await faas(['invoke', 'logged'], { input })
    const all = await faas(['logs', 'logged', '--tail=false'])
    const lines = all.out.trimEnd().split('\n')
    expect(lines).toHaveLength(4)
    for (const line of lines) expect(line).toMatch(LINE)
    expect(all.code).toBe(0)
    const last = await faas(['logs', 'logged', '--tail=false', '--lines=1'])
    expect(last).toMatchObject({ code: 0, out: `${lines.at(-1)}\n` })
    expect((await faas(['logs', 'logged', '--tail=false', '--since=1h'])).out).toBe(all.out)
    const future = new Date(Date.now() + 3_600_000).toISOString()
    expect(await faas(['logs', 'logged', '--tail=false', `--since-time=${future}`])).toMatchObject({ code: 0, out: '' })
    const json = await faas(['logs', 'logged', '--tail=false', '--lines=1', '--output=json'])
    expect(JSON.parse(json.out)).toEqual({
      name: 'logged',
      namespace: 'openfaas-fn',
      instance: 'logged-1',
      timestamp: expect.stringMatching(/Z$/) as string,
      text: expect.stringMatching(/^Wrote 2 Bytes/) as string,
    })
  })

  test('--tail goes on until it is ended', async () => {
    await deployed('followed')
    const child = start(['logs', 'followed', '--tail'])
    let out = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text))
    const closed = new Promise((resolve) => child.once('close', resolve))
    for (const rounds of [2, 4]) {
      await faas(['invoke', 'followed'], { input: 'x' })
      await until(`${rounds} lines`, () => out.split('\n').length > rounds)
    }
    expect(child.exitCode).toBeNull()
    child.kill()
    await closed
  })

  test('of a function that nobody deployed', async () => {
    const { code, out } = await faas(['logs', 'nobody', '--tail=false'])
    expect(out).toContain('500 - function log request failed')
    expect(code).toBe(1)
  })
})

test('secret create, update, list, remove', async () => {
  const value = (): string => readFileSync(join(rig.directory, 'state', 'secrets', 'openfaas-fn', 'api-key'), 'utf8')
  expect(await faas(['secret', 'create', 'api-key', '--from-literal', 's3cr3t'])).toMatchObject({
    code: 0,
    out: 'Creating secret: api-key.\nCreated: 202 Accepted\n',
  })
  expect(value()).toBe('s3cr3t')
  expect((await faas(['secret', 'create', 'api-key', '--from-literal', 'x'])).out).toContain(
    'secret with the name "api-key" already exists',
  )
  writeFileSync(join(folder, 'secret.txt'), 'from a file')
  expect(await faas(['secret', 'update', 'api-key', '--from-file', 'secret.txt'])).toMatchObject({
    code: 0,
    out: 'Updating secret: api-key\nUpdated: 202 Accepted\n',
  })
  expect(value()).toBe('from a file')
  expect((await faas(['secret', 'update', 'nope', '--from-literal', 'x'])).out).toContain('unable to find secret: nope')
  const listed = await faas(['secret', 'list'])
  expect(listed.out.split('\n').map((line) => line.trim())).toContain('api-key')
  expect(listed.out).not.toContain('from a file')
  expect(await faas(['secret', 'remove', 'api-key'])).toMatchObject({ code: 0, out: 'Removed.. OK.\n' })
  expect(await faas(['secret', 'remove', 'api-key'])).toMatchObject({
    code: 1,
    out: 'Unable to find secret: api-key\n',
  })
})

test('namespaces', async () => {
  expect(await faas(['namespaces'])).toEqual({ code: 0, out: 'Namespaces:\n - openfaas-fn\n', err: '' })
})

test('version', async () => {
  const { code, out } = await faas(['version', '--warn-update=false'])
  for (const row of [
    /uri: +http:\/\/127\.0\.0\.1:/,
    /version: +\d+\.\d+\.\d+/,
    /sha: +\S/,
    /name: +\S/,
    /orchestration: +\S/,
  ])
    expect(out).toMatch(row)
  expect(code).toBe(0)
})

test('remove', async () => {
  await deployed('passing')
  expect(await faas(['remove', 'passing'])).toEqual({
    code: 0,
    out: 'Deleting: passing.\nRemoving old function.\n',
    err: '',
  })
  expect(await faas(['remove', 'passing'])).toEqual({ code: 1, out: 'Deleting: passing.\nNo existing function to remove\n', err: '' }) // prettier-ignore
})
