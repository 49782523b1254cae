// Files of a folder as a function: what is served, and what is not, whatever the path says.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { FunctionSpec } from '../../src/gateway/gateway.ts'
import { nodeFunction, startRig } from './rig.ts'
import type { Answer, Rig } from './rig.ts'

let rig: Rig
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'static-test-'))
  const site = join(folder, 'site')
  mkdirSync(join(site, 'sub', 'empty'), { recursive: true })
  mkdirSync(join(site, '.hidden'))
  mkdirSync(join(site, 'odd', 'index.html'), { recursive: true })
  writeFileSync(join(folder, 'secret.txt'), 'secret')
  writeFileSync(join(folder, 'site-beside.txt'), 'secret')
  writeFileSync(join(site, 'index.html'), '<p>home</p>\n')
  writeFileSync(join(site, 'sub', 'index.html'), '<p>below</p>\n')
  writeFileSync(join(site, 'digits.txt'), '0123456789')
  writeFileSync(join(site, 'a b.css'), 'p {}')
  writeFileSync(join(site, 'data'), Uint8Array.of(0, 1))
  writeFileSync(join(site, 'nothing.txt'), '')
  writeFileSync(join(site, '.hidden', 'key'), 'secret')
  writeFileSync(join(site, '.env'), 'secret')
  symlinkSync('digits.txt', join(site, 'inside.txt'))
  symlinkSync('../secret.txt', join(site, 'outside.txt'))
  symlinkSync('..', join(site, 'up'))
  execFileSync('mkfifo', [join(site, 'pipe')])
  rig = await startRig([files('site', site), files('gone', join(folder, 'no-such-folder'))])
})
afterAll(async () => {
  await rig[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

function files(name: string, directory: string): FunctionSpec {
  return { ...nodeFunction(name, 'none'), runtime: { kind: 'static', directory } }
}

function get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  return rig.call(`/function/site${path}`, { headers })
}

describe('what is served', () => {
  test.each([
    ['', '<p>home</p>\n', 'text/html; charset=utf-8'],
    ['/', '<p>home</p>\n', 'text/html; charset=utf-8'],
    ['/index.html', '<p>home</p>\n', 'text/html; charset=utf-8'],
    ['/sub/', '<p>below</p>\n', 'text/html; charset=utf-8'],
    ['/digits.txt?v=1', '0123456789', 'text/plain; charset=utf-8'],
    ['/a%20b.css', 'p {}', 'text/css; charset=utf-8'],
    ['/data', '\u0000\u0001', 'application/octet-stream'],
    ['/nothing.txt', '', 'text/plain; charset=utf-8'],
    ['/inside.txt', '0123456789', 'text/plain; charset=utf-8'],
  ])('"%s"', async (path, text, contentType) => {
    const answer = await get(path)
    expect({ status: answer.status, text: answer.text }).toEqual({ status: 200, text })
    expect(answer.headers).toMatchObject({ 'content-type': contentType, 'content-length': String(text.length) })
    expect(answer.headers['x-duration-seconds']).toMatch(/^\d+\.\d{6}$/)
  })

  test('a folder without its slash is a redirect to it', async () => {
    expect(await get('/sub?x=1')).toMatchObject({ status: 301, headers: { location: 'sub/?x=1' } })
  })

  test('HEAD has the headers and no body; other methods are refused', async () => {
    const head = await rig.call('/function/site/digits.txt', { method: 'HEAD' })
    expect(head).toMatchObject({ status: 200, text: '', headers: { 'content-length': '10' } })
    expect(await rig.call('/function/site/digits.txt', { body: 'x' })).toMatchObject({
      status: 405,
      headers: { allow: 'GET, HEAD' },
    })
  })

  test.each([
    ['bytes=2-4', 206, '234', 'bytes 2-4/10'],
    ['bytes=8-', 206, '89', 'bytes 8-9/10'],
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=0-99', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=10-', 416, 'invalid range: failed to overlap\n', 'bytes */10'],
    ['lines=1-2', 200, '0123456789', undefined],
    ['bytes=5-2', 200, '0123456789', undefined],
  ])('%s of a file: %i', async (range, status, text, contentRange) => {
    const answer = await get('/digits.txt', { Range: range })
    expect({ status: answer.status, text: answer.text }).toEqual({ status, text })
    expect(answer.headers['content-range']).toBe(contentRange)
  })

  test('what has not changed since is a 304; a range of what has changed is the whole file', async () => {
    const modified = (await get('/digits.txt')).headers['last-modified'] as string
    expect(await get('/digits.txt', { 'If-Modified-Since': modified })).toMatchObject({ status: 304, text: '' })
    const before = new Date(Date.parse(modified) - 1000).toUTCString()
    expect((await get('/digits.txt', { 'If-Modified-Since': before })).status).toBe(200)
    expect((await get('/digits.txt', { Range: 'bytes=0-1', 'If-Range': before })).status).toBe(200)
    expect((await get('/digits.txt', { Range: 'bytes=0-1', 'If-Range': modified })).status).toBe(206)
  })
})

describe('what is not', () => {
  test.each([
    '/no-such-file',
    '/digits.txt/',
    '/sub/empty/',
    '/odd/',
    '/outside.txt',
    '/up/secret.txt',
    '/up/site-beside.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/sub/%2e%2e/%2e%2e/secret.txt',
    '/..%5csecret.txt',
    '/.env',
    '/.hidden/key',
    '/%2ehidden/key',
    '/digits.txt%00.html',
    '/%zz',
    '/pipe',
  ])('%s', async (path) => {
    const answer = await get(path)
    expect(answer.text).not.toContain('secret')
    expect({ status: answer.status, text: answer.text }).toEqual({ status: 404, text: '404 page not found\n' })
  })

  test('anything of a folder that is not there', async () => {
    expect((await rig.call('/function/gone/')).status).toBe(404)
  })
})
