// `tail` as a process beside a running hub, and what it reads.

import type { ServerResponse } from 'node:http'

import { request } from 'undici'
import { describe, expect, test, vi } from 'vitest'

import { LINES_A_SECOND } from '../../src/cli/delivery-sample.ts'
import { createParser } from '../../src/cli/sse.ts'
import { Ledger } from '../../src/delivery/ledger.ts'
import { EventStreams } from '../../src/hub/event-stream.ts'
import { HttpListener } from '../http-listener.ts'
import { Gateway, startHub, until } from '../hub/rig.ts'
import { freePort } from '../servers/process.ts'
import { CliProcess, cli } from './cli.ts'

const EXIT = { ok: 0, usage: 2, unreachable: 3, interrupted: 130 } as const

describe('tail', () => {
  test('shows each delivery as it ends, and ends when it is told to', async () => {
    await using gateway = await new Gateway().start()
    gateway.functions = { works: { topic: 'orders' }, fails: { topic: 'orders', 'com.openfaas.retry.attempts': '0' } }
    await using running = await startHub(gateway.url)
    const { hub, broker } = running
    await until(() => hub.wiring !== undefined && hub.status.every(({ state }) => state === 'active'), 'it is wired')
    await using shown = new CliProcess(['tail', '--hub', String(hub.adminAddress)])
    await using failed = new CliProcess(['tail', '--hub', String(hub.adminAddress), '--outcome', 'failed', '--json'])
    // Nothing is repeated for who comes late.
    await until(async () => {
      broker.publish('orders', [{ body: Buffer.from('s3cret body') }])
      await new Promise((resolve) => void setImmediate(resolve))
      return shown.stdout.includes('works') && failed.stdout.includes('fails')
    }, 'both have said something')
    expect(shown.stdout).toMatch(/^\d\d:\d\d:\d\d ✓ orders orders → works\.openfaas-fn {2}/m)
    expect(shown.stdout).toMatch(/^\d\d:\d\d:\d\d ✗ orders orders → fails\.openfaas-fn {2}.*500/m)
    const [line = ''] = failed.stdout.split('\n')
    const { source, topic, calls } = JSON.parse(line) as {
      source: string
      topic: string
      calls: { function: string; result: string }[]
    }
    expect([source, topic, calls.map(({ function: name, result }) => [name, result])]).toEqual([
      'orders',
      'orders',
      [['fails.openfaas-fn', 'deadLettered']],
    ])
    expect(shown.stdout + failed.stdout).not.toContain('s3cret')
    shown.signal('SIGINT')
    failed.signal('SIGTERM')
    expect([(await shown.ended()).code, (await failed.ended()).code]).toEqual([130, 0])
  })

  test('says that the hub has gone, and goes on when it is back', async () => {
    const port = await freePort()
    const first = await Flood.start(port)
    await using shown = new CliProcess(['tail', '--hub', `http://127.0.0.1:${port}`])
    await first.until(() => shown.stdout.includes('→ works'), 'it listens')
    await first[Symbol.asyncDispose]()
    await shown.says(/The hub at http:\/\/127\.0\.0\.1:\d+ has gone \(.+\); waiting for it to come back/)
    const before = shown.stdout
    await using second = await Flood.start(port)
    await shown.says(/It is back; what ended meanwhile is not shown/)
    await second.until(() => shown.stdout.length > before.length, 'it listens again')
    shown.signal('SIGINT')
    expect((await shown.ended()).code).toBe(EXIT.interrupted)
  })

  test('can be ended while it waits for a hub', async () => {
    const flood = await Flood.start()
    await using shown = new CliProcess(['tail', '--hub', flood.address])
    await flood.until(() => shown.stdout.includes('→ works'), 'it listens')
    await flood[Symbol.asyncDispose]()
    await shown.says(/waiting for it to come back/)
    shown.signal('SIGTERM')
    expect((await shown.ended()).code).toBe(EXIT.ok)
  })

  test('ends when nobody reads it any more', async () => {
    await using flood = await Flood.start()
    await using read = new CliProcess(['tail', '--json', '--hub', flood.address])
    await flood.until(() => read.stdout.includes('works'), 'it listens')
    read.stopReading()
    await flood.until(() => !read.isRunning, 'it has ended')
    expect((await read.ended()).code).toBe(EXIT.ok)
  })

  test('of a connector that the hub has not is refused with those that it has', async () => {
    await using flood = await Flood.start()
    const { code, stderr } = await cli(['tail', '--hub', flood.address, '--connector', 'ordrs'])
    expect([code, stderr]).toEqual([EXIT.usage, expect.stringContaining('this hub has no connector ordrs; it has orders, other')]) // prettier-ignore
  })

  test.for([
    [['--hub', 'nonsense'], 2, '--hub nonsense is not a URL'],
    [['--hub', 'http://127.0.0.1:1'], 3, 'ECONNREFUSED'],
    [['--outcome', 'lost'], 2, '--outcome lost is none. Write one of acked,'],
  ] as const)('%j', async ([args, expected, line]) => {
    const { code, stdout, stderr } = await cli(['tail', ...args])
    expect([code, stdout]).toEqual([expected, ''])
    expect(stderr).toContain(line)
  })
})

describe('more than a person can follow', () => {
  const EVENTS = 5000

  test('is sampled on a terminal and complete as JSON, from a hub that invokes functions for all of it', async () => {
    await using gateway = await new Gateway().start()
    gateway.functions = { works: { topic: 'orders,warm-up' } }
    // One in a thousand fails for good.
    gateway.answer = (_, body) => ({ status: Number(body) % 1000 === 7 ? 400 : 200, headers: {}, body: '' })
    await using running = await startHub(gateway.url)
    const { hub, broker } = running
    await until(() => hub.wiring !== undefined && hub.status.every(({ state }) => state === 'active'), 'it is wired')
    await using shown = new CliProcess(['tail', '--hub', String(hub.adminAddress)])
    await using failed = new CliProcess(['tail', '--hub', String(hub.adminAddress), '--outcome', 'failed'])
    await using json = new CliProcess(['tail', '--json', '--hub', String(hub.adminAddress)])
    const ledger = hub.ledgers.get('orders')
    let before = 0
    // Nothing is repeated for who comes late.
    await vi.waitFor(
      async () => {
        broker.publish('warm-up', [{ body: Buffer.from('7') }])
        before += 1
        await until(() => ledger?.counts.deadLettered === before, 'it is settled')
        expect([shown, failed, json].map(({ stdout }) => stdout.includes('works'))).toEqual([true, true, true])
      },
      // Slow enough that none of them is left out.
      { timeout: 60_000, interval: 200 },
    )
    broker.publish(
      'orders',
      Array.from({ length: EVENTS }, (_, index) => ({ body: Buffer.from(String(index)) })),
    )
    const burst = (): readonly string[] => json.stdout.split('\n').filter((line) => line.includes('"topic":"orders"'))
    await vi.waitFor(() => expect(burst().length).toBe(EVENTS), { timeout: 60_000 })
    await json.says(/\n$/)
    const ids = burst().map((line) => (JSON.parse(line) as { id: string }).id)
    expect([new Set(ids).size, json.stderr]).toEqual([EVENTS, ''])
    const dotsOf = (lines: readonly string[]): readonly string[] => lines.filter((line) => line.startsWith('…'))
    const warmOf = (lines: readonly string[]): number => lines.filter((line) => line.includes(' warm-up ')).length
    const told = (lines: readonly string[]): number => lines.length - dotsOf(lines).length - warmOf(lines) + leftOutOf(dotsOf(lines)) // prettier-ignore
    await vi.waitFor(() => expect(told(linesOf(shown))).toBe(EVENTS), { timeout: 60_000 })
    shown.signal('SIGINT')
    failed.signal('SIGINT')
    await Promise.all([shown.ended(), failed.ended()])
    const lines = linesOf(shown)
    const [dots, warm] = [dotsOf(lines), warmOf(lines)]
    expect(told(lines)).toBe(EVENTS)
    // Between two counts there is one second.
    expect(lines.length).toBeLessThanOrEqual((dots.length + 1) * (LINES_A_SECOND + 1) + warm)
    // Filtered in the hub, before anything is left out.
    expect(
      linesOf(failed)
        .slice(-EVENTS / 1000)
        .every((line) => line.includes('✗')),
    ).toBe(true)
    expect(linesOf(failed).filter((line) => line.startsWith('…'))).toEqual([])
    expect(lines.filter((line) => line.includes('✗')).length).toBeGreaterThanOrEqual(EVENTS / 1000)
  })

  test('is left out by the hub for a reader that is stopped, and counted: it costs no memory and holds up nothing', async () => {
    await using flood = await Flood.start()
    await using json = new CliProcess(['tail', '--json', '--hub', flood.address])
    await flood.until(() => json.stdout.includes('works'), 'it listens')
    const last = flood.end('acked', 1)
    await json.says(new RegExp(`"${last}".*\\n$`))
    const before = linesOf(json).length
    json.signal('SIGSTOP')
    // About 100 MB of them. Each call returns at once: the reader is not waited for.
    for (let turn = 0; turn < 300; turn++) {
      flood.end('acked', 1000)
      flood.end('deadLettered', 1)
      await new Promise((resolve) => void setImmediate(resolve))
    }
    expect(flood.waitingBytesMost).toBeGreaterThan(4 * 1024 * 1024)
    expect(flood.waitingBytesMost).toBeLessThan(6 * 1024 * 1024)
    json.signal('SIGCONT')
    const leftOut = (): Readonly<Record<string, number>> => sumOf(json.stderr.split('\n').filter((line) => line.endsWith('}'))) // prettier-ignore
    const known = (): number =>
      linesOf(json).length - before + Object.values(leftOut()).reduce((sum, one) => sum + one, 0)
    await vi.waitFor(() => expect(known()).toBe(300_300), { timeout: 60_000, interval: 100 })
    expect(leftOut()['acked']).toBeGreaterThan(150_000)
    // What failed is kept longer.
    expect([leftOut()['deadLettered'], json.stdout.match(/"end":"deadLettered"/g)?.length]).toEqual([undefined, 300])
  })

  test('is delivered all the same while a reader is stopped', async () => {
    await using gateway = await new Gateway().start()
    gateway.functions = { works: { topic: 'orders' } }
    await using running = await startHub(gateway.url)
    const { hub, broker } = running
    await until(() => hub.wiring !== undefined && hub.status.every(({ state }) => state === 'active'), 'it is wired')
    await using stopped = new CliProcess(['tail', '--json', '--hub', String(hub.adminAddress)])
    const ledger = hub.ledgers.get('orders')
    await vi.waitFor(
      () => {
        broker.publish('orders', [{ body: Buffer.from('x') }])
        expect(stopped.stdout).toContain('works')
      },
      { timeout: 60_000, interval: 50 },
    )
    stopped.signal('SIGSTOP')
    const before = ledger?.counts.acked ?? 0
    broker.publish(
      'orders',
      Array.from({ length: EVENTS }, () => ({ body: Buffer.from('x') })),
    )
    await vi.waitFor(() => expect(ledger?.counts.acked).toBeGreaterThanOrEqual(before + EVENTS), { timeout: 60_000 })
  })

  test('only so many readers are served', async () => {
    await using flood = await Flood.start()
    const readers = await Promise.all(Array.from({ length: 16 }, () => request(`${flood.address}/events`)))
    const refused = await cli(['tail', '--hub', flood.address])
    expect([refused.code, refused.stderr]).toEqual([EXIT.unreachable, expect.stringContaining('16 readers follow this hub already')]) // prettier-ignore
    for (const { body } of readers) body.on('error', () => {}).destroy()
    await until(async () => {
      const { statusCode, body } = await request(`${flood.address}/events`)
      body.on('error', () => {}).destroy()
      return statusCode === 200
    }, 'their places are free')
  })
})

function linesOf({ stdout }: CliProcess): readonly string[] {
  return stdout.split('\n').filter((line) => line !== '')
}

/** Of what the hub said that it left out. */
function sumOf(lines: readonly string[]): Readonly<Record<string, number>> {
  const sums: Record<string, number> = {}
  for (const line of lines) {
    const { leftOut } = JSON.parse(line) as { readonly leftOut: Readonly<Record<string, number>> }
    for (const [end, count] of Object.entries(leftOut)) sums[end] = (sums[end] ?? 0) + count
  }
  return sums
}

function leftOutOf(lines: readonly string[]): number {
  return lines.reduce((sum, line) => sum + Number(/^… (\d+) more: /.exec(line)?.[1]), 0)
}

/** What the hub writes to readers, over ledgers in which deliveries end as the test says. */
class Flood implements AsyncDisposable {
  readonly #ledgers = new Map([
    ['orders', new Ledger(10)],
    ['other', new Ledger(10)],
  ])
  readonly #responses = new Set<ServerResponse>()
  readonly #listener: HttpListener
  #ended = 0
  /** The most that ever waited for one reader. */
  waitingBytesMost = 0

  constructor(port: number) {
    const streams = new EventStreams()
    this.#listener = new HttpListener((incoming, response) => {
      this.#responses.add(response)
      const asked = new URL(incoming.url ?? '', 'http://hub').searchParams
      const filter = { connector: asked.get('connector') ?? undefined, function: undefined, outcome: undefined }
      streams.stream(incoming, response, filter, this.#ledgers)
    }, port)
  }

  static async start(port = 0): Promise<Flood> {
    const flood = new Flood(port)
    await flood.#listener.start()
    return flood
  }

  get address(): string {
    return this.#listener.url
  }

  /** @returns the id of the last one */
  end(end: 'acked' | 'deadLettered', count: number): string {
    for (let left = count; left > 0; left -= 1) {
      const call = {
        function: 'works',
        result: end,
        invocations: 1,
        status: 200,
        reason: 'x'.repeat(200),
        durationMs: 1,
      }
      const id = `orders@${(this.#ended += 1)}`
      this.#ledgers.get('orders')?.ended({ id, source: 'orders', topic: 'orders', receivedAtMs: 0, durationMs: 1, end, calls: [call] }) // prettier-ignore
    }
    for (const { writableLength } of this.#responses) this.waitingBytesMost = Math.max(this.waitingBytesMost, writableLength) // prettier-ignore
    return `orders@${this.#ended}`
  }

  /** Ends one delivery after the other until it is so. */
  async until(condition: () => boolean, what: string): Promise<void> {
    await vi.waitFor(
      () => {
        this.end('acked', 1)
        if (!condition()) throw new Error(`did not happen: ${what}`)
      },
      { timeout: 60_000, interval: 20 },
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener.stop()
  }
}

describe('the admin server', () => {
  test('tells what became of one event', async () => {
    await using gateway = await new Gateway().start()
    gateway.functions = { works: { topic: 'orders' } }
    await using running = await startHub(gateway.url)
    await until(() => running.hub.status.every(({ state }) => state === 'active'), 'it is connected')
    running.broker.publish('orders', [{ body: Buffer.from('x') }])
    const ledger = running.hub.ledgers.get('orders')
    await until(() => (ledger?.entries().length ?? 0) > 0, 'it is settled')
    const [entry] = ledger?.entries() ?? []
    const answer = await running.admin(`/events?id=${encodeURIComponent(String(entry?.id))}`)
    expect(await answer.json()).toEqual({ deliveries: [entry] })
    expect(await (await running.admin('/events?id=unknown')).json()).toEqual({ deliveries: [] })
    const explained = await cli(['explain', '--event', String(entry?.id), '--hub', String(running.hub.adminAddress)])
    expect(explained.code).toBe(0)
    expect(explained.stdout).toMatch(
      /^.*: orders on orders, received .*, acked after .*\n {2}works\.openfaas-fn {2}acked {2}1 invocation, last status 200\n$/,
    )
    const forgotten = await cli(['explain', '--event', 'unknown', '--hub', String(running.hub.adminAddress)])
    expect([forgotten.code, forgotten.stdout]).toEqual([
      1,
      'unknown is not in flight, and not among the latest deliveries of this hub (limits.ledgerEntries)\n',
    ])
  })
})

describe('server-sent events', () => {
  test('come out whole, however the text is cut, and comments do not', () => {
    const stream = ': hello\n\ndata: {"a":1}\n\nevent: left-out\r\ndata: 3\r\n\r\ndata: one\ndata:two\n\nid: 1\n\n'
    for (let size = 1; size <= stream.length; size++) {
      const events: unknown[] = []
      const feed = createParser((event, data) => void events.push([event, data]))
      for (let at = 0; at < stream.length; at += size) feed(stream.slice(at, at + size))
      expect(events).toEqual([
        ['message', '{"a":1}'],
        ['left-out', '3'],
        ['message', 'one\ntwo'],
      ])
    }
  })
})
