// What KEDA is told of real brokers: by the command that runs beside a hub of no replicas, and by a hub that has the port set.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import amqp from 'amqplib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { CliProcess } from '../cli/cli.ts'
import { Gateway, runHub, until } from '../hub/rig.ts'
import { noNats, startNats } from '../servers/nats.ts'
import type { NatsServer } from '../servers/nats.ts'
import { noRabbit, startRabbit } from '../servers/rabbitmq.ts'
import type { RabbitServer } from '../servers/rabbitmq.ts'
import { pickPorts } from '../servers/server.ts'
import { Keda, refusalOf } from './keda.ts'

const missing = (await noRabbit()) ?? (await noNats())

describe.skipIf(missing !== undefined)('with RabbitMQ and NATS', () => {
  let rabbit: RabbitServer
  let nats: NatsServer
  let gateway: Gateway
  beforeAll(async () => {
    ;[rabbit, nats, gateway] = await Promise.all([startRabbit(), startNats(), new Gateway().start()])
  })
  afterAll(async () => {
    await gateway?.[Symbol.asyncDispose]()
    await Promise.all([rabbit?.[Symbol.asyncDispose](), nats?.[Symbol.asyncDispose]()])
  })

  /** Resolves once the broker has them. */
  const publish = async (url: string, queue: string, count: number): Promise<void> => {
    const model = await amqp.connect(url)
    const channel = await model.createConfirmChannel()
    await channel.assertQueue(queue, { durable: true })
    for (let sent = 0; sent < count; sent++) channel.sendToQueue(queue, Buffer.from(`${sent}`), { persistent: true })
    await channel.waitForConfirms()
    await model.close()
  }
  const overlay = (url: string, durable: string): Readonly<Record<string, Readonly<Record<string, unknown>>>> => ({
    rabbitmq: { type: 'rabbitmq', url },
    nats: { type: 'nats', servers: [nats.url], durable },
    cron: { type: 'cron' },
  })

  test('the command tells what waits while no hub runs, and a hub makes it nothing', async () => {
    await using vhost = await rabbit.vhost()
    const folder = mkdtempSync(join(tmpdir(), 'hub-scaler-'))
    const file = join(folder, 'hub.yaml')
    const connectors = overlay(vhost.url, 'command')
    // JSON is YAML.
    writeFileSync(file, JSON.stringify({ gateway: { url: gateway.url, rebuildInterval: '100ms' }, admin: { host: '127.0.0.1', port: 0 }, scaler: { host: '127.0.0.1', port: 0, interval: '100ms' }, connectors })) // prettier-ignore
    gateway.functions = { works: { 'topic.rabbitmq': 'orders', 'topic.nats': 'shop.orders' } }
    const client = await connect({ servers: nats.url, reconnect: false })
    await (await jetstreamManager(client)).streams.add({ name: 'SHOP', subjects: ['shop.>'] })
    await publish(vhost.url, 'orders', 3)
    await using command = new CliProcess(['scaler', '-c', file])
    const [, address = ''] = await command.says(/KEDA is answered at (\S+)/)
    const [, admin = ''] = await command.says(/metrics at (http:\S+)/)
    using keda = new Keda(address)
    const [toRabbit, toNats] = [{ connector: 'rabbitmq', targetLag: '2' }, { connector: 'nats' }]
    await until(async () => (await fetch(`${admin}/readyz`)).status === 200, 'the functions are known')
    await until(async () => (await refusalOf(keda.lag(toRabbit))) === undefined, 'the brokers were asked')

    expect(await keda.lag(toRabbit)).toBe(3)
    expect(await keda.isActive(toRabbit)).toBe(true)
    // Its consumer is not there: only a hub makes it, and what is published before may pass it by.
    await until(async () => await keda.isActive(toNats).catch(() => false), 'a hub is called for')
    expect(await refusalOf(keda.isActive({ connector: 'cron' }))).toMatchObject({ status: 'FAILED_PRECONDITION' })
    const stream = keda.stream(toRabbit)
    await until(() => stream.said.length === 1, 'there is work')

    {
      await using hub = await runHub(gateway.url, {}, { overlay: connectors })
      await until(() => gateway.invoked.length === 3, 'all of it is done')
      await until(() => hub.hub.status.every(({ state }) => state === 'active'), 'everything is subscribed')
    }
    await until(() => stream.said.length === 2, 'there is no work')
    expect(stream.said).toEqual([true, false])
    await until(async () => !(await keda.isActive(toNats)), 'the consumer has read everything')

    await jetstream(client).publish('shop.orders', 'while nobody runs')
    await until(async () => (await keda.lag(toNats)) === 1, 'it is counted')
    await publish(vhost.url, 'orders', 1)
    await until(() => stream.said.length === 3, 'there is work again')
    expect(await keda.isActive(toNats)).toBe(true)
    const metrics = await (await fetch(`${admin}/metrics`)).text()
    expect(metrics).toContain('connector_hub_scaler_lag_events{connector="nats"} 1')
    expect(metrics).toMatch(/^connector_hub_discovery_age_seconds /m)

    command.signal('SIGTERM')
    expect((await stream.ended).status).toBe('OK')
    expect((await command.ended()).code).toBe(0)
    await client.close()
    rmSync(folder, { recursive: true })
  })

  test('a hub with the port set answers beside its work; a broker that dies is not said to be empty', async () => {
    await using vhost = await rabbit.vhost()
    await publish(vhost.url, 'held', 5)
    gateway.functions = { waits: { 'topic.rabbitmq': 'held', 'connector.concurrency': '1' } }
    const env = { HUB_SCALER_PORT: '0', HUB_SCALER_HOST: '127.0.0.1', HUB_SCALER_INTERVAL: '100ms' }
    const { rabbitmq, cron } = overlay(vhost.url, 'unused')
    await using running = await runHub(gateway.url, env, { overlay: { rabbitmq: { ...rabbitmq, inFlightMax: 1, heldMax: 1 }, cron: cron ?? {} } }) // prettier-ignore
    using keda = new Keda(running.hub.scalerAddress ?? '')
    const metadata = { connector: 'rabbitmq' }
    // Two are with the hub, which RabbitMQ does not count.
    await until(async () => (await keda.lag(metadata).catch(() => undefined)) === 3, 'what nobody was given')
    await rabbit.saved()
    await rabbit.kill()
    await until(async () => (await refusalOf(keda.isActive(metadata)))?.status === 'UNAVAILABLE', 'it is not known')
    expect(await refusalOf(keda.lag(metadata))).toMatchObject({ status: 'UNAVAILABLE' })
    await rabbit.start()
    await until(async () => (await refusalOf(keda.isActive(metadata))) === undefined, 'it is known again')
    for (const response of gateway.waiting.splice(0)) response.end()
  })

  test('what replicas have of RabbitMQ counts where they can be asked, also when nothing is left at the broker', async () => {
    await using vhost = await rabbit.vhost()
    await publish(vhost.url, 'held', 2)
    gateway.functions = { waits: { 'topic.rabbitmq': 'held', 'connector.concurrency': '1' } }
    const [port = 0] = await pickPorts(1)
    const env = { HUB_ADMIN_PORT: `${port}`, HUB_SCALER_HUB: `http://127.0.0.1:${port}`, HUB_SCALER_PORT: '0', HUB_SCALER_HOST: '127.0.0.1', HUB_SCALER_INTERVAL: '100ms' } // prettier-ignore
    await using running = await runHub(gateway.url, env, { overlay: { rabbitmq: { type: 'rabbitmq', url: vhost.url } } }) // prettier-ignore
    using keda = new Keda(running.hub.scalerAddress ?? '')
    const metadata = { connector: 'rabbitmq' }
    await until(() => running.hub.status.some(({ unsettled }) => unsettled === 2), 'the hub has both')
    await until(async () => (await keda.lag(metadata).catch(() => undefined)) === 2, 'both are told')
    expect(await keda.isActive(metadata)).toBe(true)
    await until(() => gateway.waiting.length === 1, 'the function has the first')
    gateway.waiting.pop()?.end()
    await until(() => gateway.waiting.length === 1, 'the function has the second')
    gateway.waiting.pop()?.end()
    await until(async () => !(await keda.isActive(metadata)), 'nothing is left')
  })

  test('without the port a hub answers nobody, and has none of its metrics', async () => {
    gateway.functions = {}
    await using running = await runHub(gateway.url, {}, { overlay: { cron: { type: 'cron' } } })
    expect(running.hub.scalerAddress).toBeUndefined()
    expect(await (await running.admin('/metrics')).text()).not.toContain('connector_hub_scaler')
  })
})
