// A function that is edited again and again while 200 calls are in flight: no call is lost or cut, each is served by one state
// of the code from its beginning to its end, and when the edits are over nothing of the older ones is left.

import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import type { FunctionSpec } from '../../src/gateway/gateway.ts'
import { findExecutable } from '../servers/process.ts'
import { isAlive, nodeFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'

const CALLERS = 200
const EDITS = 20
const LONG = { timeout: 360_000 }

/** A runtime's code in a folder of its own, in numbered states. */
interface Language {
  readonly files: Readonly<Record<string, string>>
  /** The file that is edited. */
  readonly file: string
  /** Answers its number twice: as its answer begins, and as it ends a moment later. */
  readonly code: (state: number) => string
  readonly broken: string
  readonly runtime: (folder: string) => FunctionSpec['runtime']
}

const NODE: Language = {
  files: { 'package.json': '{"type":"commonjs"}', 'handler.js': `module.exports = require('./lib.js')` },
  file: 'lib.js',
  code: (state) => `module.exports = async () => {
  const began = ${state}
  await new Promise((resolve) => setTimeout(resolve, 20))
  return began + ' ' + ${state} + ' ' + process.pid
}`,
  broken: 'module.exports = async () => {',
  runtime: (folder) => ({ kind: 'node', handler: folder }),
}
const PYTHON: Language = {
  files: { 'handler.py': 'from .lib import handle\n' },
  file: 'lib.py',
  code: (state) => `import os, time
def handle(event, context):
    began = ${state}
    time.sleep(0.02)
    return {"body": "%d %d %d" % (began, ${state}, os.getpid())}
`,
  broken: 'def handle(event, context)\n',
  runtime: (folder) => ({ kind: 'python', handler: folder }),
}
const SERVER: Language = {
  files: {},
  file: 'server.cjs',
  code: (state) => `require('node:http').createServer((request, response) => {
  response.write('${state} ')
  setTimeout(() => response.end('${state} ' + process.pid), 20)
}).listen(process.env.PORT, '127.0.0.1')`,
  broken: 'require(',
  runtime: (folder) => ({ kind: 'server', command: `${process.execPath} server.cjs`, directory: folder, url: 'http://127.0.0.1:0' }), // prettier-ignore
}

/** So many callers, each with its own connection and a call on it at any time. `stop`: every answer, and how often it came. */
function calling(rig: Rig): { readonly answers: ReadonlyMap<string, number>; stop(): Promise<void> } {
  const answers = new Map<string, number>()
  const agent = new Agent({ keepAlive: true, maxSockets: CALLERS })
  const stopping = new AbortController()
  const one = (): Promise<string> =>
    new Promise((resolve) => {
      const failed = (error: Error): void => resolve(`failed: ${error.message}`)
      const sent = httpRequest(`${rig.gateway.address}/function/edited`, { agent, method: 'POST' }, (response) => {
        let text = `${response.statusCode} `
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        response.once('end', () => resolve(text)).once('error', failed)
      })
      sent.once('error', failed).end('x')
    })
  const caller = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const answer = await one()
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
    }
  }
  const all = Promise.all(Array.from({ length: CALLERS }, caller))
  return {
    answers,
    stop: async () => {
      stopping.abort()
      await all
      agent.destroy()
    },
  }
}

/** `200 3 3 4711`: the state in which it began, that in which it ended, the process. */
const ANSWER = /^200 (\d+) (\d+) (\d+)$/

test.each([
  ['Node', NODE],
  ['Python', PYTHON],
  ['a server', SERVER],
])(`%s: ${CALLERS} calls in flight, ${EDITS} edits`, LONG, async (name, language) => {
  if (name === 'Python' && findExecutable('python3') === undefined) return
  const folder = mkdtempSync(join(tmpdir(), 'reload-'))
  const write = (file: string, text: string): void => {
    // Half of them as most editors do.
    writeFileSync(join(folder, `${file}.new~`), text)
    renameSync(join(folder, `${file}.new~`), join(folder, file))
  }
  try {
    for (const [file, text] of Object.entries(language.files)) write(file, text)
    write(language.file, language.code(0))
    const spec = { ...nodeFunction('edited', ''), runtime: language.runtime(folder) }
    await using rig = await startRig([spec], { hotReload: true })
    const said = (text: string): number => rig.log.events.filter(({ line }) => line.endsWith(text)).length
    await until('it answers', async () => (await rig.call('/function/edited', { body: 'x' })).status === 200)

    const calls = calling(rig)
    const isAnswered = (state: number): boolean => [...calls.answers.keys()].some((text) => text.startsWith(`200 ${state} `)) // prettier-ignore
    for (let state = 1; state <= EDITS; state++) {
      if (state % 2 === 0) write(language.file, language.code(state))
      else writeFileSync(join(folder, language.file), language.code(state))
      // Some wait until they are served, the others are overtaken by the next edit.
      if (state % 5 === 0) await until(`state ${state} is served`, () => isAnswered(state))
    }
    write(language.file, language.broken)
    await until(
      'it is said that it does not load',
      () => said('changed and does not load: the code from before runs on') > 0,
    )
    await calls.stop()

    const wrong = [...calls.answers.keys()].filter((text) => {
      const [, began, ended] = ANSWER.exec(text) ?? []
      return began === undefined || began !== ended
    })
    expect(wrong).toEqual([])
    expect([...calls.answers.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(CALLERS)
    const { text } = await rig.call('/function/edited', { body: 'x' })
    expect(`200 ${text}`).toMatch(new RegExp(`^200 ${EDITS} ${EDITS} \\d+$`))
    const pids = new Set([...calls.answers.keys()].map((answer) => Number(ANSWER.exec(answer)?.[3])))
    await until('one process is left', () => [...pids].filter(isAlive).length === 1)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
