// A real hub that has something of everything to show at /metrics: events that are done, retried, given up, filtered and
// skipped, over real brokers, with KEDA listening. What dashboards and alerts are checked against.

import { setTimeout as delay } from 'node:timers/promises'

import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import type { NatsConnection } from '@nats-io/transport-node'

import startEmbedded from '../../connectors/mqtt/embedded.ts'
import { publisher } from '../../connectors/mqtt/rig.ts'
import { SECRET, hmac } from '../../connectors/webhook/rig.ts'
import { systemClock } from '../../src/sdk/index.ts'
import { LoopbackBroker } from '../conformance/loopback/server.ts'
import { Gateway, LOOPBACK, runHub } from '../hub/rig.ts'
import type { RunningHub } from '../hub/rig.ts'
import { Keda } from '../scaler/keda.ts'
import type { KubernetesServer } from '../servers/kubernetes.ts'
import { startNats } from '../servers/nats.ts'
import { pickPorts } from '../servers/server.ts'

const PASSWORD = 'loopback-s3cret'
const FAST_RETRY = { 'com.openfaas.retry.attempts': '1', 'com.openfaas.retry.min_wait': '10ms' } as const
const FUNCTIONS: Gateway['functions'] = {
  works: { 'topic.mqtt': 'words/#', 'topic.nats': 'shop.orders', 'topic.orders': 'orders', 'topic.hooks': 'github:push' }, // prettier-ignore
  fails: { 'topic.mqtt': 'broken/#', ...FAST_RETRY },
  choosy: { 'topic.mqtt': 'words/#', 'connector.filter': 'size > 1000' },
  puzzled: { 'topic.mqtt': 'words/#', 'connector.filter': 'headers["none"] == "x"' },
  waits: { topic: 'cron-function', schedule: '@every 1s', 'connector.overlap': 'forbid', 'connector.timeout': '10m' },
}
const EVENTS = 5
const SCALER = { HUB_SCALER_PORT: '0', HUB_SCALER_HOST: '127.0.0.1', HUB_SCALER_INTERVAL: '200ms' } as const
/** So long that a turn outlives an API server that does not answer for a moment. */
const TURNS = {
  HUB_LEADER_ENABLED: 'true',
  HUB_LEADER_DURATION: '60s',
  HUB_LEADER_RENEW_DEADLINE: '50s',
  HUB_LEADER_RETRY_PERIOD: '1s',
  HUB_KUBERNETES_TIMEOUT: '1s',
} as const

export class BusyHub implements AsyncDisposable {
  readonly #cleanUp: AsyncDisposableStack
  readonly #running: RunningHub
  readonly #gateway: Gateway
  readonly #publish: (body: string) => Promise<void>
  #rounds = 0

  private constructor(cleanUp: AsyncDisposableStack, running: RunningHub, gateway: Gateway, publish: (body: string) => Promise<void>) {
    this.#cleanUp = cleanUp
    this.#running = running
    this.#gateway = gateway
    this.#publish = publish
  } // prettier-ignore

  /**
   * Everything of it is ready, and connectors that do not share have their turn by a Lease there.
   * @throws ServerUnavailable without a nats-server
   */
  static async start({ api, pause, resume }: Pick<KubernetesServer, 'api' | 'pause' | 'resume'>): Promise<BusyHub> {
    await using cleanUp = new AsyncDisposableStack()
    const nats = cleanUp.use(await startNats())
    const client = await connect({ servers: nats.url, reconnect: false })
    cleanUp.defer(() => client.close())
    await (await jetstreamManager(client)).streams.add({ name: 'SHOP', subjects: ['shop.>'] })
    const mqtt = cleanUp.use(await startEmbedded({ port: 0 }))
    const loopback = cleanUp.use(new LoopbackBroker(systemClock, PASSWORD))
    await loopback.start()
    const gateway = cleanUp.use(await new Gateway().start())
    gateway.functions = FUNCTIONS
    const [hooksPort = 0] = await pickPorts(1)
    const turns = {
      ...TURNS,
      HUB_KUBERNETES_KUBECONFIG: api.kubeconfig(),
      HUB_LEADER_NAMESPACE: await api.createNamespace(),
    }
    const hub = await runHub(gateway.url, { ...SCALER, ...turns }, {
      overlay: {
        cron: { type: 'cron' },
        mqtt: { type: 'mqtt', ...mqtt.config },
        nats: { type: 'nats', servers: [nats.url], durable: 'busy' },
        orders: { type: LOOPBACK, port: loopback.port, password: PASSWORD },
        hooks: { type: 'webhook', listen: { host: '127.0.0.1', port: hooksPort }, hooks: [{ name: 'github', scheme: 'github', secret: SECRET }] },
      },
    }) // prettier-ignore
    cleanUp.use(hub)
    cleanUp.defer(() => Promise.resolve(gateway.waiting.splice(0).forEach((response) => response.end())))
    await until(() => hub.hub.status.length === 5 && hub.hub.status.every(({ state }) => state === 'active'), 'every connector is active') // prettier-ignore
    pause()
    await until(async () => /^connector_hub_turn_failures_total\{/m.test(await scrape(hub)), 'a turn could not be renewed').finally(resume) // prettier-ignore
    const words = cleanUp.use(await publisher(mqtt.address, { protocolVersion: 4 }))
    const keda = cleanUp.use(new Keda(hub.hub.scalerAddress ?? ''))
    keda.stream({ connector: 'nats' })
    const publish = async (body: string): Promise<void> => {
      await words.send('words/a', body)
      await words.send('broken/a', body)
      await toNats(client, body)
      loopback.publish('orders', [{ body: Buffer.from(body) }])
      await push(hooksPort, body)
      await keda.isActive({ connector: 'nats' })
    }
    return new BusyHub(cleanUp.move(), hub, gateway, publish)
  }

  /** Of its admin server. */
  get address(): string {
    return this.#running.hub.adminAddress ?? ''
  }

  /** Publishes to every broker, and waits until everything of it is settled and a fire was skipped. */
  async round(): Promise<void> {
    const { hub } = this.#running
    this.#rounds += 1
    const done = (): number => this.#gateway.invoked.filter(({ function: name }) => name === 'works').length
    const before = done()
    for (let event = 0; event < EVENTS; event++) await this.#publish(`round ${this.#rounds}, event ${event}`)
    await until(() => done() >= before + 4 * EVENTS, 'the function that works has all of them')
    await until(() => hub.deadLetters.count() === this.#rounds * EVENTS, 'what fails is given up')
    await until(async () => (await this.scrape()).includes('connector_hub_cron_skipped_total{'), 'a fire was skipped')
    // The server tells now and then how much waits.
    await until(async () => /^connector_hub_lag_events\{.*\} 0$/m.test(await this.scrape()), 'nothing waits')
  }

  scrape(): Promise<string> {
    return scrape(this.#running)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#cleanUp.disposeAsync()
  }
}

async function scrape({ admin }: RunningHub): Promise<string> {
  return await (await admin('/metrics')).text()
}

async function toNats(client: NatsConnection, body: string): Promise<void> {
  await jetstream(client).publish('shop.orders', body)
}

async function push(port: number, body: string): Promise<void> {
  const { ok, status } = await fetch(`http://127.0.0.1:${port}/hooks/github`, {
    method: 'POST',
    body,
    headers: {
      'Content-Type': 'application/json',
      'X-GitHub-Event': 'push',
      'X-GitHub-Delivery': crypto.randomUUID(),
      'X-Hub-Signature-256': `sha256=${hmac(body)}`,
    },
  })
  if (!ok) throw new Error(`the hook answered ${status}`)
}

/** Reached only by what is broken. */
const DEADLINE_MS = 60_000

/** That of the test runner works in its processes only. */
async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`did not happen: ${what}`)
    await delay(50)
  }
}
