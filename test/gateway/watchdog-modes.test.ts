// One process per call in the modes of of-watchdog: serializing collects what is printed, streaming passes it on live.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { FunctionSpec } from '../../src/gateway/gateway.ts'
import { isAlive, mirrored, open, processFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'

type Mode = 'streaming' | 'serializing'

let rig: Rig

beforeAll(async () => {
  rig = await startRig([])
})
afterAll(() => rig[Symbol.asyncDispose]())

let deployed = 0

/** A function of its own, under the name that is returned. */
async function deploy(mode: Mode, command: string, envVars: Readonly<Record<string, string>> = {}): Promise<string> {
  const name = `${mode}-${++deployed}`
  await rig.gateway.deploy(inMode(processFunction(name, command, { envVars }), mode))
  return name
}

function inMode(spec: FunctionSpec, mode: Mode): FunctionSpec {
  return spec.runtime.kind === 'process' ? { ...spec, runtime: { ...spec.runtime, mode } } : spec
}

/** What a stream has said until it ended or broke off. */
async function readOf(path: string): Promise<{ readonly text: string; readonly isWhole: boolean }> {
  const response = await open(rig.gateway.address, path, { method: 'GET' })
  let text = ''
  try {
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) text += chunk
    return { text, isWhole: true }
  } catch {
    return { text, isWhole: false }
  }
}

describe.each<Mode>(['serializing', 'streaming'])('%s', (mode) => {
  test('any method, the body on stdin and stdout as the answer, octets unless content_type says otherwise', async () => {
    const name = await deploy(mode, 'cat')
    const bytes = Uint8Array.from({ length: 256 * 1024 }, (_, index) => index)
    const answer = await rig.call(`/function/${name}`, {
      method: 'PUT',
      body: bytes,
      headers: { 'Content-Type': 'image/png' },
    })
    expect(answer.status).toBe(200)
    expect(answer.body.equals(bytes)).toBe(true)
    expect(answer.headers['content-type']).toBe('application/octet-stream')
    const typed = await deploy(mode, 'cat', { content_type: 'text/csv' })
    const options = await rig.call(`/function/${typed}`, { method: 'OPTIONS' })
    expect(options).toMatchObject({ status: 200, text: '', headers: { 'content-type': 'text/csv' } })
  })

  test('Http_* without those that only the classic watchdog sets', async () => {
    const name = await deploy(mode, './env.sh')
    const { text } = await rig.call(`/function/${name}/v1?x=1`, { headers: { 'X-Mine': 'yes' } })
    expect(text.split('\n')).toEqual(
      expect.arrayContaining(['Http_Method=GET', 'Http_Path=/v1', 'Http_Query=x=1', 'Http_X_Mine=yes']),
    )
    expect(text).not.toMatch(/Http_ContentLength/)
  })

  test('stderr is logged, with the name of the stream unless prefix_logs is off', async () => {
    const name = await deploy(mode, './both.sh')
    const bare = await deploy(mode, './both.sh', { prefix_logs: 'false' })
    expect((await rig.call(`/function/${name}`)).text).toBe('out\n')
    expect((await rig.call(`/function/${bare}`)).text).toBe('out\n')
    await until('both are logged', () =>
      [name, bare].every((each) => rig.log.output.some((line) => line.name === each)),
    )
    expect(rig.log.output).toContainEqual({ name, line: 'stderr: err' })
    expect(rig.log.output).toContainEqual({ name: bare, line: 'err' })
  })

  test('a command that does not exist cannot be reached', async () => {
    const name = await deploy(mode, './no-such-command')
    expect(await rig.call(`/function/${name}`)).toMatchObject({
      status: 500,
      text: `Can't reach service for: ${name}.\n`,
    })
  })
})

describe('serializing', () => {
  test('an exit that is not 0 is a 500 with its text, without the output', async () => {
    const name = await deploy('serializing', './fail.sh')
    expect(await rig.call(`/function/${name}`)).toMatchObject({ status: 500, text: 'exit status 4' })
  })

  test('exec_timeout is a 500 that says what ended it', async () => {
    const name = await deploy('serializing', 'sleep 600', { exec_timeout: '200ms' })
    expect(await rig.call(`/function/${name}`)).toMatchObject({ status: 500, text: 'signal: killed' })
  })
})

describe('streaming', () => {
  test('the answer begins with the first byte, and is a 200 whatever the process exits with', async () => {
    const go = join(rig.directory, 'go')
    const name = await deploy('streaming', './drip.sh', { GO_FILE: go, EXIT_STATUS: '4' })
    const response = await open(rig.gateway.address, `/function/${name}`, { method: 'GET' })
    expect(response.statusCode).toBe(200)
    let text = ''
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) {
      text += chunk
      if (text === 'one\n') writeFileSync(go, '')
    }
    expect(text).toBe('one\ntwo\n')
    const silent = await deploy('streaming', 'false')
    expect(await rig.call(`/function/${silent}`)).toMatchObject({ status: 200, text: '' })
  })

  test('both ways at once', async () => {
    const name = await deploy('streaming', 'cat')
    expect(await mirrored(rig.gateway.address, `/function/${name}`)).toEqual(['one', 'two'])
  })

  test('a process that is killed breaks its answer: by exec_timeout, or by its own fault', async () => {
    const late = await deploy('streaming', './drip.sh', {
      GO_FILE: join(rig.directory, 'never'),
      exec_timeout: '300ms',
    })
    expect(await readOf(`/function/${late}`)).toEqual({ text: 'one\n', isWhole: false })
    const dies = await deploy('streaming', './die.sh', { SOME: 'some of it' })
    expect(await readOf(`/function/${dies}`)).toEqual({ text: 'some of it\n', isWhole: false })
  })

  test('a caller that leaves ends the process', async () => {
    const pidFile = join(rig.directory, 'pid')
    const name = await deploy('streaming', './endless.sh', { PID_FILE: pidFile })
    const response = await open(rig.gateway.address, `/function/${name}`, { method: 'GET' })
    await until('it runs', () => existsSync(pidFile) && readFileSync(pidFile, 'utf8').endsWith('\n'))
    const pid = Number(readFileSync(pidFile, 'utf8'))
    expect(isAlive(pid)).toBe(true)
    response.on('error', () => {})
    response.destroy()
    await until('it has ended', () => !isAlive(pid))
  })

  test('the log has a line of each call', async () => {
    const name = await deploy('streaming', './both.sh')
    await rig.call(`/function/${name}/logged?x=1`)
    const line = /^GET \/logged\?x=1 - 200 - ContentLength: 4B \(\d+\.\d{4}s\)$/
    await until('it is there', () => rig.log.requests.some((each) => line.test(each)))
    expect(rig.log.requests).toContain('Running ./both.sh')
  })
})
