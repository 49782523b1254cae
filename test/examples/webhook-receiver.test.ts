// deploy/examples/webhook-receiver, command by command, with the secrets that its README makes; then what must not pass.

import { createHmac } from 'node:crypto'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { findExecutable } from '../servers/process.ts'
import { Example, gatewayOf } from './example.ts'

const TEST_MS = 120_000
const BODY = '{"repository":{"full_name":"me/mine"},"object_kind":"push","note":"Grüße"}'
const NO_PYTHON = findExecutable('python3') === undefined ? 'no python3' : undefined

/** Statuses of the answers that curl -i printed. */
const statuses = (text: string): readonly string[] => [...text.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status = '']) => status) // prettier-ignore

test('the commands of the README', { timeout: TEST_MS }, async (context) => {
  context.skip(NO_PYTHON !== undefined, NO_PYTHON)
  using example = new Example('webhook-receiver')
  await example.run('openssl rand -hex 32 > .secrets', {})
  await using gateway = example.start('connector-hub gateway', ['--port', '0'])
  const here = { 'http://127.0.0.1:8080': await gatewayOf(gateway) }
  const github = await example.run('for function in github github-py', here)
  expect([statuses(github), github.match(/push accepted/g)]).toEqual([['200', '200'], ['push accepted', 'push accepted']]) // prettier-ignore
  expect(statuses(await example.run('sha256=00', here))).toEqual(['401'])
  expect(await example.run('X-Gitlab-Token', here)).toMatch(/^HTTP\/1\.1 200[^]*push accepted$/)
  expect(await example.run('webhook-signature', here)).toMatch(/^HTTP\/1\.1 200[^]*merge_request accepted$/)
  expect(example.unused).toEqual([])
  // Nothing that was printed, here or by the functions, tells a secret.
  for (const name of ['github-webhook', 'gitlab-token', 'gitlab-signing-token'])
    expect(gateway.stdout + gateway.stderr).not.toContain(readFileSync(join(example.folder, '.secrets', name), 'utf8').trim()) // prettier-ignore
})

/** A receiver with its secrets, and what signs like GitHub and GitLab do. */
async function receiver(): Promise<
  AsyncDisposable & {
    readonly folder: string
    post(name: string, headers: Readonly<Record<string, string>>, body?: string): Promise<number>
    secret(name: string): string
  }
> {
  const example = new Example('webhook-receiver')
  await example.run('openssl rand -hex 32 > .secrets', {})
  const gateway = example.start('connector-hub gateway', ['--port', '0'])
  const url = await gatewayOf(gateway)
  return {
    folder: example.folder,
    async post(name, headers, body = BODY) {
      return (await fetch(`${url}/function/${name}`, { method: 'POST', body, headers })).status
    },
    secret: (name) => readFileSync(join(example.folder, '.secrets', name), 'utf8').trim(),
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]()
      example[Symbol.dispose]()
    },
  }
}

const sha256 = (key: string | Buffer, text: string, encoding: 'hex' | 'base64' = 'hex'): string => createHmac('sha256', key).update(text).digest(encoding) // prettier-ignore

describe.for(['github', 'github-py'])('%s', (name) => {
  test('takes what is signed with the secret, and nothing else', { timeout: TEST_MS }, async (context) => {
    context.skip(NO_PYTHON !== undefined && name === 'github-py', NO_PYTHON)
    await using there = await receiver()
    const signature = `sha256=${sha256(there.secret('github-webhook'), BODY)}`
    const header = (value: string): Record<string, string> => ({ 'X-Hub-Signature-256': value, 'X-GitHub-Event': 'push' }) // prettier-ignore
    expect(await there.post(name, header(signature))).toBe(200)
    // It has no time in it: the same request is taken again. The README says what follows from that.
    expect(await there.post(name, header(signature))).toBe(200)
    expect(await there.post(name, { ...header(signature), 'Content-Type': 'application/json' })).toBe(200)

    expect(await there.post(name, {})).toBe(401)
    expect(await there.post(name, header(''))).toBe(401)
    expect(await there.post(name, header(signature.slice(0, -1)))).toBe(401)
    expect(await there.post(name, header(signature.slice('sha256='.length)))).toBe(401)
    expect(await there.post(name, header(`sha256=${sha256('another secret', BODY)}`))).toBe(401)
    expect(await there.post(name, header(`sha256=${sha256('', BODY)}`))).toBe(401)
    expect(await there.post(name, header(signature), BODY.replace('mine', 'your'))).toBe(401)
    expect(await there.post(name, header(signature), `${BODY} `)).toBe(401)
  })
})

describe('gitlab', () => {
  test('takes the token, or what is signed with the signing token a moment ago', { timeout: TEST_MS }, async () => {
    await using there = await receiver()
    const token = there.secret('gitlab-token')
    expect(await there.post('gitlab', { 'X-Gitlab-Token': token })).toBe(200)
    expect(await there.post('gitlab', { 'X-Gitlab-Token': `${token}0` })).toBe(401)
    expect(await there.post('gitlab', { 'X-Gitlab-Token': '' })).toBe(401)
    expect(await there.post('gitlab', {})).toBe(401)

    const key = Buffer.from(there.secret('gitlab-signing-token').replace('whsec_', ''), 'base64')
    const signed = (atMs: number, signedBody = BODY): Record<string, string> => {
      const time = String(Math.floor(atMs / 1000))
      const signature = `v1,${sha256(key, `msg_1.${time}.${signedBody}`, 'base64')}`
      return { 'webhook-id': 'msg_1', 'webhook-timestamp': time, 'webhook-signature': signature }
    }
    const now = signed(Date.now())
    expect(await there.post('gitlab', now)).toBe(200)
    // While a token is replaced there are two.
    expect(await there.post('gitlab', { ...now, 'webhook-signature': `v1,AAAA ${now['webhook-signature']}` })).toBe(200)
    expect(await there.post('gitlab', now, BODY.replace('mine', 'your'))).toBe(401)
    expect(await there.post('gitlab', { ...now, 'webhook-id': 'msg_2' })).toBe(401)
    expect(await there.post('gitlab', { ...now, 'webhook-timestamp': '' })).toBe(401)
    // What was recorded is worth nothing later, nor is what claims to be from the future.
    expect(await there.post('gitlab', signed(Date.now() - 600_000))).toBe(401)
    expect(await there.post('gitlab', signed(Date.now() + 600_000))).toBe(401)
    // A wrong signature is not made good by the right token: who sends one is asked for the other.
    expect(await there.post('gitlab', { 'webhook-signature': 'v1,AAAA', 'X-Gitlab-Token': token })).toBe(401)
  })
})

test(
  'without its secret a receiver takes nothing, and the start says which file is missing',
  { timeout: TEST_MS },
  async () => {
    using example = new Example('webhook-receiver')
    rmSync(join(example.folder, '.secrets'), { recursive: true, force: true })
    await using gateway = example.start('connector-hub gateway', ['--port', '0'])
    const url = await gatewayOf(gateway)
    await gateway.says(/secret github-webhook of github is missing: write it to .*\/\.secrets\/github-webhook/)
    const headers = { 'X-Hub-Signature-256': `sha256=${sha256('', BODY)}`, 'X-Gitlab-Token': '' }
    for (const name of ['github', 'gitlab'])
      expect((await fetch(`${url}/function/${name}`, { method: 'POST', body: BODY, headers })).status).toBe(401)
    expect(existsSync(join(example.folder, '.secrets'))).toBe(false)
  },
)
