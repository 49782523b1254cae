// `tail` as a process beside a running hub, and what it reads.

import { describe, expect, test } from 'vitest'

import { createParser } from '../../src/cli/sse.ts'
import { Gateway, startHub, until } from '../hub/rig.ts'
import { CliProcess, cli } from './cli.ts'

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

  test('says when the hub has ended', async () => {
    await using gateway = await new Gateway().start()
    gateway.functions = { works: { topic: 'orders' } }
    const running = await startHub(gateway.url)
    await using shown = new CliProcess(['tail', '--hub', String(running.hub.adminAddress)])
    await until(() => {
      running.broker.publish('orders', [{ body: Buffer.from('x') }])
      return shown.stdout.includes('works')
    }, 'it listens')
    await running[Symbol.asyncDispose]()
    const { code, stderr } = await shown.ended()
    expect([code, stderr.includes('The hub has ended')]).toEqual([2, true])
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
