// The hub as a whole: what it says about itself, and what becomes of events, brokers and gateways that come and go.

import { describe, expect, test } from 'vitest'

import { Gateway, isReady, startHub, until } from './rig.ts'

const numbers = (count: number, offset = 0): { body: Buffer }[] =>
  Array.from({ length: count }, (_, index) => ({ body: Buffer.from(String(index + offset)) }))

/** Samples of one metric, by their labels. */
function samples(text: string, name: string): Record<string, number> {
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`))
  return Object.fromEntries(lines.map((line) => [/\{(.*)\}/.exec(line)?.[1], Number(line.split(' ').at(-1))]))
}

describe('events', () => {
  test('are acked, filtered and dead-lettered, and the metrics add up', async () => {
    await using gateway = await new Gateway().start()
    gateway.functions = {
      takes: { topic: 'good' },
      picky: { topic: 'dull', 'connector.filter': 'size > 1000' },
      fails: { topic: 'bad', 'com.openfaas.retry.attempts': '0' },
    }
    await using rig = await startHub(gateway.url)
    await until(() => isReady(rig), 'the hub is ready')
    rig.broker.publish('good', numbers(100))
    rig.broker.publish('dull', numbers(60, 1000))
    rig.broker.publish('bad', numbers(40, 2000))
    await until(() => rig.hub.ledgers.get('orders')?.counts.inFlight === 0 && rig.hub.ledgers.get('orders')?.counts.received === 200, 'everything is settled') // prettier-ignore

    expect(rig.hub.ledgers.get('orders')?.counts).toEqual({
      received: 200, acked: 100, unmatched: 0, filtered: 60, deadLettered: 40, returned: 0, inFlight: 0,
    }) // prettier-ignore
    expect(gateway.invoked.filter(({ function: name }) => name === 'takes')).toHaveLength(100)
    expect(rig.broker.letters).toHaveLength(40)
    expect(new Set(rig.broker.letters.map(({ function: name, status }) => `${name} ${status}`))).toEqual(new Set(['fails.openfaas-fn 500'])) // prettier-ignore

    const response = await rig.admin('/metrics')
    expect(response.headers.get('content-type')).toContain('text/plain')
    const metrics = await response.text()
    expect(samples(metrics, 'connector_hub_deliveries_received_total')).toEqual({ 'connector="orders"': 200 })
    expect(samples(metrics, 'connector_hub_deliveries_total')).toEqual({
      'connector="orders",end="acked"': 100,
      'connector="orders",end="unmatched"': 0,
      'connector="orders",end="filtered"': 60,
      'connector="orders",end="dead_lettered"': 40,
      'connector="orders",end="returned"': 0,
    })
    expect(samples(metrics, 'connector_hub_ledger_imbalance')).toEqual({ 'connector="orders"': 0 })
    expect(rig.log.join('')).not.toContain('loopback-s3cret')
  })

  test('follow the annotations at run time: a topic added, another removed', async () => {
    await using gateway = await new Gateway().start()
    gateway.functions = { one: { topic: 'a' } }
    await using rig = await startHub(gateway.url)
    await until(() => isReady(rig), 'the hub is ready')
    gateway.functions = { two: { topic: 'b' } }
    await until(() => rig.hub.wiring?.instance('orders')?.triggers[0]?.pattern === 'b', 'the wiring follows')
    await until(() => {
      rig.broker.publish('b', numbers(1))
      return gateway.invoked.some(({ function: name }) => name === 'two')
    }, 'the broker is asked for the new topic')
    rig.broker.publish('a', numbers(1))
    rig.broker.publish('b', [{ body: Buffer.from('last') }])
    await until(() => gateway.invoked.some(({ body }) => body === 'last'), 'the last event arrives')
    expect(gateway.invoked.map(({ function: name }) => name)).not.toContain('one')
  })

  test('what is wrong with an annotation is logged when it is new, not at every wiring', async () => {
    await using gateway = await new Gateway().start()
    const wrong = { topic: 'a', 'connector.filter': 'size >' }
    gateway.functions = { one: wrong }
    await using rig = await startHub(gateway.url)
    await until(() => isReady(rig), 'the hub is ready')
    const told = (name: string): number => rig.log.filter((line) => line.includes('annotation.invalid') && line.includes(name)).length // prettier-ignore
    expect([told('one.openfaas-fn'), told('two.openfaas-fn')]).toEqual([1, 0])
    gateway.functions = { one: wrong, two: wrong }
    await until(() => rig.hub.wiring?.functions === 2, 'the wiring follows')
    expect([told('one.openfaas-fn'), told('two.openfaas-fn')]).toEqual([1, 1])
    gateway.functions = { one: { topic: 'a' }, two: wrong }
    await until(() => rig.hub.wiring?.instance('orders')?.triggers.length === 1, 'one is mended')
    gateway.functions = { one: wrong, two: wrong }
    await until(() => rig.hub.wiring?.instance('orders')?.triggers.length === 0, 'one is wrong again')
    expect([told('one.openfaas-fn'), told('two.openfaas-fn')]).toEqual([2, 1])
  })

  test('wait while the gateway is gone, use up no attempt, and are delivered when it is back', async () => {
    await using gateway = await new Gateway().start()
    gateway.functions = { takes: { topic: 'a', 'com.openfaas.retry.attempts': '0' } }
    await using rig = await startHub(gateway.url)
    await until(() => isReady(rig), 'the hub is ready')
    await gateway.stop()
    rig.broker.publish('a', numbers(300))
    await until(() => rig.log.some((line) => line.includes('HUB_GATEWAY_UNREACHABLE')), 'the outage is told')
    await gateway.start()
    await until(() => rig.hub.ledgers.get('orders')?.counts.acked === 300, 'every event is acked')
    expect(rig.hub.ledgers.get('orders')?.counts.deadLettered).toBe(0)
  })

  test('survive the loss of their broker', async () => {
    await using gateway = await new Gateway().start()
    gateway.functions = { takes: { topic: 'a' } }
    await using rig = await startHub(gateway.url)
    await until(() => isReady(rig), 'the hub is ready')
    await rig.broker.stop()
    await until(async () => !(await isReady(rig)), 'readiness is lost')
    const { connectors } = (await (await rig.admin('/readyz')).json()) as { connectors: { problem: string }[] }
    expect(connectors[0]?.problem).toMatch(/^HUB_SOURCE_/)
    expect((await rig.admin('/healthz')).status).toBe(200)
    rig.broker.publish('a', numbers(50))
    await rig.broker.start()
    await until(() => rig.hub.ledgers.get('orders')?.counts.acked === 50, 'every event is acked')
    expect(await isReady(rig)).toBe(true)
  })
})

describe('start and stop', () => {
  test('without a gateway it starts, says what is missing, and is ready once the gateway comes up', async () => {
    await using gateway = await new Gateway().reserve()
    gateway.functions = { takes: { topic: 'a' } }
    await using rig = await startHub(gateway.url)
    await until(() => rig.log.some((line) => line.includes('discovery.failed')), 'the failure is told')
    const notReady = await rig.admin('/readyz')
    expect(notReady.status).toBe(503)
    expect(await notReady.json()).toMatchObject({
      ready: false,
      discovery: { problem: expect.stringContaining('HUB_DISCOVERY_FAILED') as string },
      connectors: [{ connector: 'orders', state: 'pending', subscriptions: 0, unsettled: 0 }],
    })
    await gateway.start()
    await until(() => isReady(rig), 'the hub is ready')
    expect(await (await rig.admin('/readyz')).json()).toMatchObject({
      ready: true,
      connectors: [{ connector: 'orders', state: 'active', subscriptions: 1 }],
    })
  })

  test('stop lets what runs end, and leaves the rest to the broker', async () => {
    await using gateway = await new Gateway().start()
    gateway.functions = { waits: { topic: 'a', 'connector.concurrency': '1' } }
    await using rig = await startHub(gateway.url)
    await until(() => isReady(rig), 'the hub is ready')
    rig.broker.publish('a', numbers(3))
    await until(() => gateway.waiting.length === 1, 'one is invoked')
    const stopped = rig.hub.stop()
    await until(() => rig.hub.status[0]?.state === 'draining', 'the drain begins')
    gateway.waiting[0]?.end()
    await stopped
    expect(rig.hub.ledgers.get('orders')?.counts).toMatchObject({ received: 3, acked: 1, returned: 2, inFlight: 0 })
    expect(gateway.invoked).toHaveLength(1)
  })

  test('a drain that takes too long ends at its timeout', async () => {
    await using gateway = await new Gateway().start()
    gateway.functions = { waits: { topic: 'a' } }
    await using rig = await startHub(gateway.url, { env: { HUB_DRAIN_TIMEOUT: '50ms' } })
    await until(() => isReady(rig), 'the hub is ready')
    rig.broker.publish('a', numbers(1))
    await until(() => gateway.waiting.length === 1, 'one is invoked')
    await rig.hub.stop()
    expect(rig.hub.ledgers.get('orders')?.counts).toMatchObject({ received: 1, acked: 0, returned: 1 })
  })

  test('two hubs on one port: the second says which key to change', async () => {
    await using gateway = await new Gateway().start()
    await using rig = await startHub(gateway.url)
    const { port } = new URL(rig.hub.adminAddress ?? '')
    await expect(startHub(gateway.url, { env: { HUB_ADMIN_PORT: port } })).rejects.toMatchObject({
      code: 'HUB_GATEWAY_LISTEN',
      hint: expect.stringContaining('admin.port') as string,
    })
  })
})

describe('the admin server', () => {
  test('answers GET and HEAD on its routes and nothing else', async () => {
    await using gateway = await new Gateway().start()
    await using rig = await startHub(gateway.url)
    expect((await rig.admin('/healthz')).status).toBe(200)
    const head = await rig.admin('/metrics', { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([200, ''])
    expect((await rig.admin('/healthz?probe=1')).status).toBe(200)
    const post = await rig.admin('/healthz', { method: 'POST' })
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
    const unknown = await rig.admin('/config')
    expect([unknown.status, await unknown.text()]).toEqual([404, 'try /healthz, /readyz, /metrics, /events or /open\n'])
  })
})
