// From an image and its settings to a way of running it, without a container engine.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Images } from '../../src/gateway/images.ts'

let directory: string
let images: Images

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'images-test-'))
  for (const [folder, file] of [
    ['orders', 'handler.js'],
    ['report', 'handler.py'],
    ['empty', 'notes.txt'],
  ] as const) {
    mkdirSync(join(directory, 'apps', folder), { recursive: true })
    writeFileSync(join(directory, 'apps', folder, file), '')
  }
  // Above the folder that images are looked for in.
  writeFileSync(join(directory, 'handler.js'), '')
  images = new Images({ directory: join(directory, 'apps') })
  images.register('shop/built:1', { lang: 'node22', handler: join(directory, 'apps', 'orders') })
  images.register('shop/go:1', { lang: 'golang-http', handler: join(directory, 'apps', 'empty') })
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

function runtimeOf(image: string, envProcess = '', envVars: Readonly<Record<string, string>> = {}): unknown {
  return images.runtimeOf({ image, envProcess, envVars })
}

const folder = (name: string): string => join(directory, 'apps', name)
const NO_ENGINE = (image: string): string =>
  `there is no container engine to run image ${image}: set fprocess, upstream_url, or a handler folder`

describe('a folder of the same name', () => {
  test.each([
    'orders',
    'orders:latest',
    'local/orders:1',
    'ghcr.io/shop/orders:1.2',
    'localhost:5000/orders',
    'orders@sha256:abc',
    'ghcr.io/shop/orders:1@sha256:abc',
  ])('runs %s', (image) => {
    expect(runtimeOf(image)).toEqual({ kind: 'node', handler: folder('orders') })
  })

  test('may hold Python', () => {
    expect(runtimeOf('report:2')).toEqual({ kind: 'python', handler: folder('report') })
  })

  test.each(['empty:1', 'nothing:1', '..', 'x/..', '.', '/', '', 'orders/..:1', '../../orders/..', 'or ders'])(
    'is not found for %j',
    (image) => {
      expect(runtimeOf(image)).toBe(NO_ENGINE(image))
    },
  )
})

describe('a registered image', () => {
  test('runs from its source, also where a deployment repeats the command of its template', () => {
    const expected = { kind: 'node', handler: folder('orders') }
    expect(runtimeOf('shop/built:1')).toEqual(expected)
    expect(runtimeOf('shop/built:1', 'node index.js')).toEqual(expected)
    expect(runtimeOf('shop/built:1', '', { fprocess: 'node index.js' })).toEqual(expected)
  })

  test('runs another command there', () => {
    expect(runtimeOf('shop/built:1', 'node other.js')).toEqual({
      kind: 'process',
      command: 'node other.js',
      directory: folder('orders'),
      mode: 'classic',
    })
  })

  test('of a language that does not run here says so', () => {
    expect(runtimeOf('shop/go:1')).toBe(
      'the bundled gateway runs lang node* and python*, and any fprocess, not lang golang-http',
    )
  })
})

describe('a command', () => {
  const process = (command: string, mode: string): unknown => ({
    kind: 'process',
    command,
    directory: join(directory, 'apps'),
    mode,
  })

  test.each([
    ['fprocess', 'wc -c', {}, 'wc -c', 'classic'],
    ['of the variables', '', { fprocess: 'cat' }, 'cat', 'classic'],
    ['the field wins', 'wc -c', { fprocess: 'cat' }, 'wc -c', 'classic'],
    ['streaming', 'cat', { mode: 'streaming' }, 'cat', 'streaming'],
    ['serializing', 'cat', { mode: 'serializing' }, 'cat', 'serializing'],
  ] as const)('%s', (_, envProcess, envVars, command, mode) => {
    expect(runtimeOf('any:1', envProcess, envVars)).toEqual(process(command, mode))
  })

  test('in mode http is a server, at the address that is stated or a free one', () => {
    const server = { kind: 'server', command: 'node server.js', directory: join(directory, 'apps') }
    expect(runtimeOf('any:1', 'node server.js', { mode: 'http' })).toEqual({ ...server, url: 'http://127.0.0.1:0' })
    expect(runtimeOf('any:1', 'node server.js', { mode: 'http', http_upstream_url: 'http://127.0.0.1:3000' })).toEqual({
      ...server,
      url: 'http://127.0.0.1:3000',
    })
  })
})

test('static files, in the folder that is stated', () => {
  expect(runtimeOf('site:1', '', { mode: 'static', static_path: 'public' })).toEqual({
    kind: 'static',
    directory: folder('public'),
  })
})

test('a function that runs elsewhere', () => {
  expect(runtimeOf('any:1', '', { upstream_url: 'https://example.invalid/x' })).toEqual({
    kind: 'upstream',
    url: 'https://example.invalid/x',
  })
})

test('an upstream_url that is refused is named without its password', () => {
  for (const url of ['htps://user:secret@example.invalid/x', 'user:secret@example.invalid/x'])
    expect(runtimeOf('any:1', '', { upstream_url: url })).toMatch(/^upstream_url (?!.*secret).*example\.invalid/)
})

test.each(['nonsense', 'ftp://example.invalid', 'file:///etc/passwd', ''])('upstream_url %j is refused', (url) => {
  const said = `upstream_url ${url} is not an http or https URL`
  expect(runtimeOf('any:1', '', { upstream_url: url })).toBe(said)
  expect(runtimeOf('any:1', 'node server.js', { mode: 'http', upstream_url: url })).toBe(said)
})
