// A function whose code is edited while it is called: no call is lost, none is cut, and broken code changes nothing.

import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

import { describe, expect, test } from 'vitest'

import type { FunctionSpec } from '../../src/gateway/gateway.ts'
import { Images } from '../../src/gateway/images.ts'
import { isAlive, nodeFunction, open, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'
import { findExecutable } from '../servers/process.ts'

/** A function in a folder of its own, to be edited. */
class Edited implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'edited-'))

  constructor(files: Readonly<Record<string, string>>) {
    for (const [name, text] of Object.entries(files)) this.write(name, text)
  }

  get spec(): FunctionSpec {
    return this.specOf({ kind: 'node', handler: this.folder })
  }

  specOf(runtime: FunctionSpec['runtime']): FunctionSpec {
    return { ...nodeFunction('edited', ''), runtime }
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(join(this.folder, name)), { recursive: true })
    writeFileSync(join(this.folder, name), text)
  }

  /** As most editors do. */
  writeByRenaming(name: string, text: string): void {
    this.write(`${name}.new~`, text)
    renameSync(join(this.folder, `${name}.new~`), join(this.folder, name))
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true })
  }
}

const answers = (text: string): string => `module.exports = async () => '${text}'`

async function call(rig: Rig): Promise<readonly [status: number, text: string]> {
  const { status, text } = await rig.call('/function/edited', { body: '' })
  return [status, text]
}

/** Calls on and on until the answer is this one. @returns every answer before, each once */
async function callsUntil(rig: Rig, text: string): Promise<readonly string[]> {
  const before = new Set<string>()
  await until(`an answer is ${text}`, async () => {
    const [status, answer] = await call(rig)
    before.add(`${status} ${answer}`)
    return answer === text
  })
  before.delete(`200 ${text}`)
  return [...before]
}

const said = (rig: Rig, pattern: RegExp): boolean => rig.log.events.some(({ line }) => pattern.test(line))

describe('hot reload', () => {
  test('serves an edited handler, and what it requires, without failing one call', async () => {
    using edited = new Edited({
      'package.json': '{"type":"commonjs"}',
      'handler.js': `const { word } = require('./lib/word'); module.exports = async () => word`,
      'lib/word.js': `exports.word = 'one'`,
    })
    await using rig = await startRig([edited.spec], { hotReload: true })
    expect(await call(rig)).toEqual([200, 'one'])

    edited.write('lib/word.js', `exports.word = 'two'`)
    expect(await callsUntil(rig, 'two')).toEqual(['200 one'])
    await until('it was said', () => said(rig, /^lib\/word\.js changed: the new code runs$/))

    edited.writeByRenaming('handler.js', answers('three'))
    expect(await callsUntil(rig, 'three')).toEqual(['200 two'])
    // The processes of the code from before are gone.
    const pids = rig.log.events.flatMap(({ line }) => /^started, process (\d+)$/.exec(line)?.[1] ?? []).map(Number)
    await until('one process is left', () => pids.filter(isAlive).length === 1)
  })

  test('lets a running call end in the code it began in', async () => {
    using edited = new Edited({
      'package.json': '{"type":"commonjs"}',
      'handler.js': `const { existsSync, writeFileSync } = require('node:fs')
const wait = (name) => new Promise((resolve) => setTimeout(() => resolve(existsSync(name) ? undefined : wait(name)), 10))
module.exports = async (event) => {
  if (event.path === '/slow') {
    writeFileSync('began', '')
    await wait('gate')
  }
  return 'old'
}`,
    })
    await using rig = await startRig([edited.spec], { hotReload: true })
    expect(await call(rig)).toEqual([200, 'old'])
    const slow = rig.call('/function/edited/slow', { body: '' })
    await until('it runs', () => existsSync(join(edited.folder, 'began')))

    edited.write('handler.js', answers('new'))
    expect(await callsUntil(rig, 'new')).toEqual(['200 old'])
    edited.write('gate', '')
    expect((await slow).text).toBe('old')
    expect(await call(rig)).toEqual([200, 'new'])
  })

  test('keeps what runs when the new code does not load, says so, and takes the mended code', async () => {
    using edited = new Edited({ 'package.json': '{"type":"commonjs"}', 'handler.js': answers('good') })
    await using rig = await startRig([edited.spec], { hotReload: true })
    expect(await call(rig)).toEqual([200, 'good'])

    edited.write('handler.js', `module.exports = async () => 'cut of`)
    await until('it was said', () => said(rig, /^handler\.js changed and does not load: the code from before runs on$/))
    expect(await call(rig)).toEqual([200, 'good'])
    // Where it broke is what Node says of it.
    expect(rig.log.output.map(({ line }) => line).join('\n')).toContain('SyntaxError')

    edited.write('handler.js', answers('mended'))
    expect(await callsUntil(rig, 'mended')).toEqual(['200 good'])
  })

  test('takes code that is mended after its first start failed', async () => {
    using edited = new Edited({ 'package.json': '{"type":"commonjs"}', 'handler.js': 'throw new Error(1)' })
    await using rig = await startRig([edited.spec], { hotReload: true })
    for (let crash = 0; crash < 3; crash += 1)
      expect((await rig.call('/function/edited', { body: '' })).status).toBe(500)
    edited.write('handler.js', answers('mended'))
    await callsUntil(rig, 'mended')
  })

  test('of the second of two edits in a row leaves nothing of the first', async () => {
    using edited = new Edited({ 'package.json': '{"type":"commonjs"}', 'handler.js': answers('0') })
    await using rig = await startRig([edited.spec], { hotReload: true })
    expect(await call(rig)).toEqual([200, '0'])
    // While one is loaded the next is written.
    edited.write('handler.js', answers('1'))
    await until('the first is loaded', () => said(rig, /the new code runs/))
    for (let edit = 2; edit <= 5; edit += 1) edited.write('handler.js', answers(String(edit)))
    await callsUntil(rig, '5')
    expect(await call(rig)).toEqual([200, '5'])
  })

  test('follows the folder of an image that a client has deployed', async () => {
    using edited = new Edited({ 'edited/package.json': '{"type":"commonjs"}', 'edited/handler.js': answers('old') })
    await using rig = await startRig([], { hotReload: true, images: new Images({ directory: edited.folder }) })
    const body = JSON.stringify({ service: 'edited', image: 'registry.example/edited:1' })
    expect((await rig.call('/system/functions', { body })).status).toBe(202)
    expect(await call(rig)).toEqual([200, 'old'])
    edited.write('edited/handler.js', answers('new'))
    expect(await callsUntil(rig, 'new')).toEqual(['200 old'])
  })

  test('reaches every replica', async () => {
    const pid = (text: string): string => `module.exports = async () => '${text} ' + process.pid`
    using edited = new Edited({ 'package.json': '{"type":"commonjs"}', 'handler.js': pid('old') })
    const spec = { ...edited.spec, labels: { 'com.openfaas.scale.min': '2' } }
    await using rig = await startRig([spec], { hotReload: true })
    const seen = async (): Promise<ReadonlySet<string>> => new Set((await Promise.all(Array.from({ length: 8 }, () => call(rig)))).map(([, text]) => text)) // prettier-ignore
    await until('both replicas answer', async () => (await seen()).size === 2)
    edited.write('handler.js', pid('new'))
    await until('both have the new code', async () => {
      const texts = [...(await seen())]
      return texts.length === 2 && texts.every((text) => text.startsWith('new '))
    })
    expect(rig.log.events.filter(({ line }) => line === 'handler.js changed: the new code runs')).toHaveLength(2)
  })

  test('serves an edited Python handler, and keeps it when the next one does not load', async (context) => {
    context.skip(findExecutable('python3') === undefined, 'no python3')
    const python = (text: string): string => `def handle(event, context):\n    return {"body": "${text}"}\n`
    using edited = new Edited({ 'handler.py': python('one') })
    await using rig = await startRig([edited.specOf({ kind: 'python', handler: edited.folder })], { hotReload: true })
    expect(await call(rig)).toEqual([200, 'one'])
    edited.writeByRenaming('handler.py', python('two'))
    expect(await callsUntil(rig, 'two')).toEqual(['200 one'])
    edited.write('handler.py', 'def handle(event, context)\n    return None\n')
    await until('it was said', () => said(rig, /^handler\.py changed and does not load: the code from before runs on$/))
    expect(await call(rig)).toEqual([200, 'two'])
  })

  test('starts a server beside the one before, which ends once its calls have ended', async () => {
    const server = (text: string): string => `require('node:http').createServer((request, response) => response.end('${text}')).listen(process.env.PORT, '127.0.0.1')` // prettier-ignore
    using edited = new Edited({ 'server.cjs': server('one') })
    const runtime = { kind: 'server', command: `${process.execPath} server.cjs`, directory: edited.folder, url: 'http://127.0.0.1:0' } as const // prettier-ignore
    await using rig = await startRig([edited.specOf(runtime)], { hotReload: true })
    expect(await call(rig)).toEqual([200, 'one'])
    edited.write('server.cjs', server('two'))
    expect(await callsUntil(rig, 'two')).toEqual(['200 one'])
    edited.write('server.cjs', 'process.exit(3)')
    await until('it was said', () => said(rig, /^server\.cjs changed and does not load: the code from before runs on$/))
    expect(await call(rig)).toEqual([200, 'two'])
  })

  test('is not done unless it is asked for', async () => {
    using edited = new Edited({ 'package.json': '{"type":"commonjs"}', 'handler.js': answers('old') })
    using watched = new Edited({ 'package.json': '{"type":"commonjs"}', 'handler.js': answers('old') })
    await using rig = await startRig([edited.spec])
    await using other = await startRig([watched.spec], { hotReload: true })
    expect([await call(rig), await call(other)]).toEqual([[200, 'old'], [200, 'old']]) // prettier-ignore
    edited.write('handler.js', answers('new'))
    watched.write('handler.js', answers('new'))
    await callsUntil(other, 'new')
    expect(await call(rig)).toEqual([200, 'old'])
  })
})

test('a caller that reads slowly gets its whole answer from the code that began it', async () => {
  const size = 4 * 1024 * 1024
  using edited = new Edited({
    'package.json': '{"type":"commonjs"}',
    'handler.js': `module.exports = async () => Buffer.alloc(${size}, 'x')`,
  })
  await using rig = await startRig([edited.spec], { hotReload: true })
  const response = await open(rig.gateway.address, '/function/edited', { method: 'POST' })
  edited.write('handler.js', answers('new'))
  await callsUntil(rig, 'new')
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) length += chunk.byteLength
  expect(length).toBe(size)
})
