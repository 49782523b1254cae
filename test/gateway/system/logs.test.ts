// `/system/logs` as NDJSON: what is there, what comes, and who reads too slowly (OpenFaaS contract, logs).

import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'

import { describe, expect, test } from 'vitest'

import { ManualClock } from '../../../src/sdk/index.ts'
import { nodeFunction, open, processFunction, startRig, until } from '../rig.ts'
import type { Rig } from '../rig.ts'
import { apiOf } from './api.ts'

interface Line {
  readonly name: string
  readonly namespace: string
  readonly instance: string
  readonly timestamp: string
  readonly text: string
}

function linesOf(text: string): readonly Line[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line)
}

async function read(rig: Rig, query: string): Promise<readonly Line[]> {
  const answer = await rig.call(`/system/logs?${query}`)
  expect(answer).toMatchObject({
    status: 200,
    headers: { 'content-type': 'application/x-ndjson', 'transfer-encoding': 'chunked' },
  })
  return linesOf(answer.text)
}

/** Runs the function once for each text; it prints it. */
async function print(rig: Rig, name: string, texts: readonly string[]): Promise<void> {
  for (const text of texts) {
    await rig.call(`/function/${name}`, { body: text })
    await until(`${text} is in the log`, async () =>
      (await read(rig, `name=${name}&tail=-1`)).some((line) => line.text === text),
    )
  }
}

/** Prints its input on stderr, with no line of a watchdog for a call between them. */
const PRINTER = processFunction('printer', './print.sh', { envVars: { combine_output: 'false' } })

function printed(lines: readonly Line[]): readonly string[] {
  return lines.map(({ text }) => text).filter((text) => !/^(Forking|Wrote)/.test(text))
}

test('every line has name, namespace, instance, a time in nanoseconds and its text', async () => {
  await using rig = await startRig([nodeFunction('answers', 'misbehave')])
  await rig.call('/function/answers/shout')
  await until('it is in the log', async () => (await read(rig, 'name=answers')).length >= 4)
  const lines = await read(rig, 'name=answers')
  for (const line of lines)
    expect(line).toEqual({
      name: 'answers',
      namespace: 'openfaas-fn',
      instance: 'answers-1',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/) as string,
      text: expect.any(String) as string,
    })
  const texts = lines.map(({ text }) => text)
  expect(texts).toEqual(expect.arrayContaining(['one', 'two']))
  // A line that never ends is cut.
  expect(texts.find((text) => text.startsWith('yyy'))?.length).toBeLessThan(20_000)
  const times = lines.map(({ timestamp }) => timestamp)
  expect([...times].sort((a, b) => (a < b ? -1 : 1))).toEqual(times)
})

test('a classic function has the lines of its watchdog', async () => {
  await using rig = await startRig([processFunction('cat', 'cat')])
  await rig.call('/function/cat', { body: 'hello' })
  const texts = (await read(rig, 'name=cat')).map(({ text }) => text)
  expect(texts[0]).toBe('Forking fprocess.')
  expect(texts[1]).toMatch(/^Wrote 5 Bytes - Duration: \d+\.\d+s$/)
})

describe('which lines', () => {
  test('by number, by time, by instance; of a repeated parameter the last one counts', async () => {
    const clock = new ManualClock(Date.UTC(2026, 0, 5, 10, 0, 0))
    await using rig = await startRig([PRINTER], { clock })
    await print(rig, 'printer', ['one'])
    await clock.advance(60_000)
    await print(rig, 'printer', ['two', 'three'])
    const texts = async (query: string): Promise<readonly string[]> => printed(await read(rig, `name=printer&${query}`))
    expect(await texts('')).toEqual(['one', 'two', 'three'])
    expect(await texts('tail=-1')).toEqual(['one', 'two', 'three'])
    expect(await texts('since=2026-01-05T10:01:00Z')).toEqual(['two', 'three'])
    expect(await texts('since=2026-01-05T11:01:00%2B01:00')).toEqual(['two', 'three'])
    expect(await texts('since=2026-01-05T10:00:59.999999999Z')).toEqual(['two', 'three'])
    expect(await texts('since=2026-01-05T10:02:00Z')).toEqual([])
    expect(await texts('since=2026-01-05T10:00:00Z&since=2026-01-05T10:02:00Z')).toEqual([])
    expect(await read(rig, 'name=printer&tail=2')).toHaveLength(2)
    expect(await read(rig, 'name=printer&tail=1&tail=3')).toHaveLength(3)
    expect(await texts('name=nobody&name=printer')).toEqual(['one', 'two', 'three'])
    expect(await texts('instance=printer-1')).toEqual(['one', 'two', 'three'])
    expect(await texts('instance=printer-9')).toEqual([])
    expect(await texts('follow=perhaps')).toEqual(['one', 'two', 'three'])
  })

  test('without tail and since, those of the last five minutes', async () => {
    const clock = new ManualClock()
    await using rig = await startRig([PRINTER], { clock })
    await print(rig, 'printer', ['old'])
    await clock.advance(5 * 60_000 + 1)
    await print(rig, 'printer', ['new'])
    expect(printed(await read(rig, 'name=printer'))).toEqual(['new'])
    expect(printed(await read(rig, 'name=printer&tail=-1'))).toEqual(['old', 'new'])
    expect(printed(await read(rig, 'name=printer&tail=100'))).toEqual(['old', 'new'])
  })

  test('of another namespace, by query and by name', async () => {
    await using rig = await startRig([PRINTER, { ...PRINTER, namespace: 'shop' }])
    await rig.call('/function/printer.shop', { body: 'of the shop' })
    const there = async (query: string): Promise<boolean> =>
      (await read(rig, query)).some(({ text }) => text === 'of the shop')
    await until('it is in the log', () => there('name=printer&namespace=shop'))
    expect(await there('name=printer.shop')).toBe(true)
    expect(await there('name=printer')).toBe(false)
  })

  test('of a removed function, for a while', async () => {
    const clock = new ManualClock()
    await using rig = await startRig([PRINTER], { clock })
    await print(rig, 'printer', ['last words'])
    await rig.gateway.remove('printer')
    expect(printed(await read(rig, 'name=printer&tail=-1'))).toContain('last words')
    await clock.advance(10 * 60_000)
    expect((await rig.call('/system/logs?name=printer')).status).toBe(500)
  })
})

describe('refused', () => {
  test.each([
    ['tail=many', 422, 'could not parse the log request\n'],
    ['tail=1.5', 422, 'could not parse the log request\n'],
    ['since=yesterday', 422, 'could not parse the log request\n'],
    ['since=2026-01-05', 422, 'could not parse the log request\n'],
    ['since=2026-13-45T99:00:00Z', 422, 'could not parse the log request\n'],
    ['tail=1&tail=x', 422, 'could not parse the log request\n'],
    ['name=', 422, 'could not parse the log request\n'],
    ['name=nobody', 500, 'function log request failed\n'],
    ['namespace=nowhere', 500, 'function log request failed\n'],
  ])('%s', async (query, status, text) => {
    await using rig = await startRig([PRINTER])
    expect(await rig.call(`/system/logs?name=printer&${query}`)).toMatchObject({ status, text })
  })
})

describe('who follows', () => {
  async function follow(
    rig: Rig,
    query: string,
  ): Promise<{ readonly response: IncomingMessage; readonly lines: () => readonly Line[] }> {
    const response = await open(rig.gateway.address, `/system/logs?${query}`, {})
    let text = ''
    response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    response.on('error', () => {})
    return { response, lines: () => linesOf(text.slice(0, text.lastIndexOf('\n') + 1)) }
  }

  test('gets what is there and then each new line, from replicas that come later too', async () => {
    await using rig = await startRig([PRINTER])
    await print(rig, 'printer', ['before'])
    const { response, lines } = await follow(rig, 'name=printer&follow=true&tail=-1')
    await until('the old line is sent', () => printed(lines()).includes('before'))
    await print(rig, 'printer', ['after'])
    await until('the new line is sent', () => printed(lines()).includes('after'))
    await rig.gateway.deploy({ ...PRINTER, image: 'local/printer:2' })
    await print(rig, 'printer', ['of the next version'])
    await until('its line is sent', () => printed(lines()).includes('of the next version'))
    expect(printed(lines())).toEqual(['before', 'after', 'of the next version'])
    response.destroy()
  })

  test('is sent the head at once, before there is any line', async () => {
    await using rig = await startRig([PRINTER])
    const { response, lines } = await follow(rig, 'name=printer&follow=1')
    expect(response.statusCode).toBe(200)
    expect(lines()).toEqual([])
    response.destroy()
  })

  test('is sent a proper end before the time of an answer is over', async () => {
    const clock = new ManualClock()
    await using rig = await startRig([PRINTER], { clock, upstreamTimeoutMs: 60_000 })
    const { response } = await follow(rig, 'name=printer&follow=true')
    const ended = new Promise((resolve) => response.once('end', () => resolve('ended')).once('error', resolve))
    await until('it waits', () => clock.pending > 0)
    await clock.advance(64_000)
    expect(await ended).toBe('ended')
    expect(response.complete).toBe(true)
  })

  test('ends when the gateway closes', async () => {
    const rig = await startRig([PRINTER])
    const { response } = await follow(rig, 'name=printer&follow=true')
    const ended = new Promise((resolve) => response.once('end', () => resolve('ended')).once('error', resolve))
    await rig[Symbol.asyncDispose]()
    expect(await ended).toBe('ended')
  })

  test('is told how much was left out when it reads too slowly, and costs no more than its place', async () => {
    await using rig = await startRig([nodeFunction('loud', 'loud')])
    const { hostname, port } = new URL(rig.gateway.address)
    const socket = connect(Number(port), hostname)
    socket.pause()
    socket.write('GET /system/logs?name=loud&follow=true&tail=-1 HTTP/1.1\r\nHost: gateway\r\n\r\n')
    // 60 MB of lines, of which 4 MiB are kept and some are on their way.
    for (let round = 0; round < 3; round++) await rig.call('/function/loud?lines=20000')
    await until('it has printed', async () =>
      (await read(rig, 'name=loud&tail=10')).some(({ text }) => text.startsWith('end 3')),
    )
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    socket.resume()
    await until('it has caught up', () => text.includes('"text":"end 3"'))
    const left = /"text":"(\d+) lines are left out: they were read too slowly"/.exec(text)
    expect(Number(left?.[1])).toBeGreaterThan(10_000)
    expect(text.length).toBeLessThan(40_000_000)
    socket.destroy()
  })
})

test('a function deployed over REST is in the log too', async () => {
  await using rig = await startRig([])
  await apiOf(rig).post('/system/functions', { service: 'cat', image: 'x', envProcess: 'cat' })
  await rig.call('/function/cat', { body: 'hello' })
  expect((await read(rig, 'name=cat')).map(({ text }) => text)[0]).toBe('Forking fprocess.')
})
