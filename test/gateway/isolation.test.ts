// A function that blocks, crashes, exits or runs out of memory takes nothing else down.

import { describe, expect, test } from 'vitest'

import { isAlive, nodeFunction, open, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'

const UNREACHABLE = {
  status: 500,
  text: "Can't reach service for: bad.\n",
}

async function startBad(envVars: Record<string, string> = {}, upstreamTimeoutMs = 60_000): Promise<Rig> {
  return startRig([nodeFunction('bad', 'misbehave', { envVars }), nodeFunction('good', 'misbehave')], {
    upstreamTimeoutMs,
  })
}

describe('a function that', () => {
  test.each(['exit', 'crash'])('goes away in a call (%s): a 500, and the next call is served', async (way) => {
    await using rig = await startBad()
    const answer = await rig.call(`/function/bad/${way}`)
    expect(answer).toMatchObject(UNREACHABLE)
    expect(answer.headers).toMatchObject({
      'x-openfaas-internal': 'proxy',
      'content-type': 'text/plain; charset=utf-8',
    })
    expect((await rig.call('/function/bad/fine')).status).toBe(200)
  })

  test('runs out of memory: a 500, the gateway and the others go on', async () => {
    await using rig = await startBad({ NODE_OPTIONS: '--max-old-space-size=32' })
    const [failed, fine] = await Promise.all([rig.call('/function/bad/out-of-memory'), rig.call('/function/good/fine')])
    expect(failed).toMatchObject(UNREACHABLE)
    expect(fine.status).toBe(200)
  })

  test('blocks its loop for ever: 504 at its exec_timeout, its process is ended, the others go on', async () => {
    await using rig = await startBad({ exec_timeout: '300ms' })
    const pid = Number((await rig.call('/function/bad/fine')).text)
    const blocked = rig.call('/function/bad/block')
    for (let calls = 0; calls < 20; calls++) expect((await rig.call('/function/good/fine')).status).toBe(200)
    expect(await blocked).toMatchObject({ status: 504, text: '', headers: { 'x-openfaas-internal': 'of-watchdog' } })
    await until('the blocked process is gone', () => !isAlive(pid))
    await until('another one serves', async () => (await rig.call('/function/bad/fine')).status === 200)
    expect(Number((await rig.call('/function/bad/fine')).text)).not.toBe(pid)
  })

  test('never answers: 502 at the timeout of the gateway, and its other calls go on in the same process', async () => {
    await using rig = await startBad({}, 300)
    const pid = (await rig.call('/function/bad/fine')).text
    expect(await rig.call('/function/bad/never')).toMatchObject({ status: 502, text: '' })
    expect((await rig.call('/function/bad/fine')).text).toBe(pid)
  })

  test('dies in the middle of its answer: the caller sees it break off', async () => {
    await using rig = await startBad()
    const pid = Number((await rig.call('/function/bad/fine')).text)
    const response = await open(rig.gateway.address, '/function/bad/big', { method: 'GET' })
    expect(response.statusCode).toBe(200)
    process.kill(pid, 'SIGKILL')
    const read = async (): Promise<void> => {
      for await (const chunk of response) void chunk
    }
    await expect(read()).rejects.toThrow('aborted')
    expect((await rig.call('/function/good/fine')).status).toBe(200)
  })

  test('cannot be loaded: 500 each time, ever rarer starts, and the log says why', async () => {
    await using rig = await startRig([nodeFunction('bad', 'broken'), nodeFunction('good', 'misbehave')])
    const calls = 50
    for (let call = 0; call < calls; call++) expect(await rig.call('/function/bad')).toMatchObject(UNREACHABLE)
    const exits = rig.log.events.filter(({ name, line }) => name === 'bad' && line.startsWith('exited'))
    expect(exits.length).toBeGreaterThan(0)
    expect(exits.length).toBeLessThan(calls / 2)
    expect(rig.log.output.some(({ line }) => line.includes('no such luck'))).toBe(true)
    // Between its starts it says so.
    await until('it is not healthy', async () => {
      await rig.call('/function/bad')
      return (await rig.call('/function/bad/_/health')).status === 503
    })
    expect((await rig.call('/function/good/_/health')).status).toBe(200)
    expect((await rig.call('/function/good/fine')).status).toBe(200)
  })

  test('has no folder: 500, and a corrected deployment works', async () => {
    const missing = nodeFunction('bad', 'no-such-folder')
    await using rig = await startRig([missing])
    expect(await rig.call('/function/bad')).toMatchObject(UNREACHABLE)
    expect(await rig.call('/function/bad')).toMatchObject(UNREACHABLE)
    await rig.gateway.deploy(nodeFunction('bad', 'misbehave'))
    expect((await rig.call('/function/bad/fine')).status).toBe(200)
  })
})

describe('processes', () => {
  test('start with the first call, or when warmed, and once for many calls at once', async () => {
    await using rig = await startBad()
    expect(rig.log.events).toEqual([])
    await rig.gateway.warm('good')
    expect(rig.log.events.map(({ name }) => name)).toEqual(['good'])
    const answers = await Promise.all(Array.from({ length: 10 }, () => rig.call('/function/bad/fine')))
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
  })

  test('end with the removal, and with the gateway', async () => {
    const rig = await startBad()
    const pids = await Promise.all(
      ['bad', 'good'].map(async (name) => Number((await rig.call(`/function/${name}/fine`)).text)),
    )
    expect(await rig.gateway.remove('bad')).toBe(true)
    await until('the removed function is gone', () => !isAlive(pids[0] as number))
    expect((await rig.call('/function/bad/fine')).status).toBe(503)
    await rig[Symbol.asyncDispose]()
    await until('the other is gone', () => !isAlive(pids[1] as number))
  })

  test('an equal deployment changes nothing; a changed one lets running calls end', async () => {
    await using rig = await startBad()
    const pid = (await rig.call('/function/bad/fine')).text
    await rig.gateway.deploy(nodeFunction('bad', 'misbehave'))
    expect((await rig.call('/function/bad/fine')).text).toBe(pid)
    const response = await open(rig.gateway.address, '/function/bad/big', { method: 'GET' })
    await rig.gateway.deploy(nodeFunction('bad', 'misbehave', { envVars: { CHANGED: '1' } }))
    expect((await rig.call('/function/bad/fine')).text).not.toBe(pid)
    let bytes = 0
    for await (const chunk of response as AsyncIterable<Buffer>) bytes += chunk.byteLength
    expect(bytes).toBe(50 * 1024 * 1024)
    await until('the replaced process is gone', () => !isAlive(Number(pid)))
  })

  test('what they print is logged by the line, with a bounded length', async () => {
    await using rig = await startBad()
    await rig.call('/function/bad/shout')
    const lines = (): string[] => rig.log.output.filter(({ name }) => name === 'bad').map(({ line }) => line)
    await until('all lines are there', () => lines().length >= 3)
    expect(lines()).toEqual(expect.arrayContaining(['one', 'two']))
    const long = lines().find((line) => line.startsWith('yyy')) as string
    expect(long.length).toBe(64 * 1024)
  })
})
