// What the tests of this connector share: a virtual host of its own for each test, a plain client in it, and a source.

import amqp from 'amqplib'
import type { ChannelModel, ConfirmChannel, Message, Options } from 'amqplib'
import { afterAll, beforeAll, beforeEach } from 'vitest'

import type { Emitter, Tools } from '../../src/sdk/index.ts'
import { noRabbit, startRabbit } from '../../test/servers/rabbitmq.ts'
import type { RabbitServer, RabbitVhost } from '../../test/servers/rabbitmq.ts'
import { SourceRig } from '../../test/source-rig.ts'
import type { RigOptions } from '../../test/source-rig.ts'
import { toolsOf } from '../../test/tools-rig.ts'
import type { ToolsOptions } from '../../test/tools-rig.ts'
import connector from './connector.ts'

export { MemoryState, ack, until } from '../../test/source-rig.ts'

let users = 0

export class Place implements AsyncDisposable {
  readonly vhost: RabbitVhost
  readonly server: RabbitServer
  readonly model: ChannelModel
  readonly channel: ConfirmChannel

  private constructor(server: RabbitServer, vhost: RabbitVhost, model: ChannelModel, channel: ConfirmChannel) {
    this.server = server
    this.vhost = vhost
    this.model = model
    this.channel = channel
  }

  static async open(server: RabbitServer): Promise<Place> {
    const vhost = await server.vhost()
    const model = await amqp.connect(vhost.url)
    return new Place(server, vhost, model, await model.createConfirmChannel())
  }

  /** A durable queue. */
  async queue(name: string, args: Readonly<Record<string, unknown>> = {}): Promise<string> {
    await this.channel.assertQueue(name, { durable: true, arguments: args })
    return name
  }

  /** Resolves once the broker has taken it. */
  async send(queue: string, body: string | Buffer, options: Options.Publish = {}, exchange = ''): Promise<void> {
    this.channel.publish(exchange, queue, Buffer.from(body), { persistent: true, ...options })
    await this.channel.waitForConfirms()
  }

  /** Messages ready in the queue, as the broker counts them now. */
  async ready(queue: string): Promise<number> {
    return (await this.channel.checkQueue(queue)).messageCount
  }

  /** Takes one message; undefined when there is none. */
  async take(queue: string): Promise<Message | undefined> {
    const message = await this.channel.get(queue, { noAck: true })
    return message === false ? undefined : message
  }

  source(config: Readonly<Record<string, unknown>> = {}, options?: RigOptions): SourceRig {
    return new SourceRig(connector, { url: this.vhost.url, ...config }, options)
  }

  tools(config: Readonly<Record<string, unknown>> = {}, options?: ToolsOptions): Promise<Tools> {
    return toolsOf(connector, { url: this.vhost.url, ...config }, options)
  }

  async emitter(config: Readonly<Record<string, unknown>> = {}): Promise<Emitter> {
    const emitter = await (await this.tools(config)).emitter?.(new AbortController().signal)
    if (emitter === undefined) throw new Error('RabbitMQ takes events')
    return emitter
  }

  /** Names of what is at the broker in this place, such as `queues`. */
  async names(what: 'queues' | 'exchanges' | 'bindings'): Promise<readonly string[]> {
    const all = (await this.server.manage('GET', `${what}/${this.vhost.name}`)) as readonly { name?: string; source?: string; routing_key?: string }[] // prettier-ignore
    return all.map(({ name, source, routing_key: key }) => name ?? `${source} ${key}`)
  }

  /** A user with these rights. */
  async user(rights: { readonly configure?: string; readonly write?: string; readonly read?: string }): Promise<{ readonly username: string; readonly password: string }> {
    const username = `user-${(users += 1)}-${this.vhost.name}`
    const password = 'user-secret'
    await this.server.manage('PUT', `users/${username}`, { password, tags: '' })
    await this.server.manage('PUT', `permissions/${this.vhost.name}/${username}`, { configure: '', write: '', read: '', ...rights }) // prettier-ignore
    return { username, password }
  } // prettier-ignore

  async [Symbol.asyncDispose](): Promise<void> {
    await this.model.close()
    await this.vhost[Symbol.asyncDispose]()
  }
}

/** For a file of tests: one server for all of them, and a place for each, which `open` is told of before it runs. */
export async function placeForEachTest(open: (place: Place) => void): Promise<void> {
  const missing = await noRabbit()
  let server: RabbitServer | undefined
  beforeAll(async () => {
    if (missing === undefined) server = await startRabbit()
  }, 240_000)
  afterAll(async () => await server?.[Symbol.asyncDispose]())
  beforeEach(async (context) => {
    if (server === undefined) return context.skip(missing)
    const place = await Place.open(server)
    open(place)
    return () => place[Symbol.asyncDispose]()
  })
}
