// What exists at the broker: checks it, finds out what kind of queue it is, and declares what the configuration says.
// Every step on a channel of its own, because a refusal closes the channel. Called by rabbit-source.ts.

import type { Channel, ChannelModel } from 'amqplib'

import { errorText } from '../../src/sdk/index.ts'
import type { StateStore } from '../../src/sdk/index.ts'
import type { RabbitConfig } from './dial.ts'
import type { QueueKind } from './feed.ts'
import { NOT_FOUND, PRECONDITION_FAILED, declareProblem, exchangeProblem, queueProblem, replyCode } from './problems.ts'

/** Declares a queue of the configured list. @throws HubError HUB_SOURCE_* */
export async function declareListed(
  model: ChannelModel,
  at: string,
  listed: RabbitConfig['queues'][number],
): Promise<void> {
  const { name, durable, autodelete, exclusive, type } = listed
  const args = type === 'classic' ? {} : { arguments: { 'x-queue-type': type } }
  try {
    await onChannel(model, (channel) => channel.assertQueue(name, { durable, autoDelete: autodelete, exclusive, ...args })) // prettier-ignore
  } catch (error) {
    throw declareProblem(error, `${at}: queue ${name}`)
  }
}

/**
 * Passes when the queue is there, or was made because the configuration says so.
 * @returns true when it was made
 * @throws HubError HUB_SOURCE_*
 */
export async function ensureQueue(
  model: ChannelModel,
  at: string,
  queue: string,
  config: RabbitConfig,
): Promise<boolean> {
  try {
    await onChannel(model, (channel) => channel.checkQueue(queue))
    return false
  } catch (error) {
    const listed = config.queues.find(({ name }) => name === queue)
    if (replyCode(error) !== NOT_FOUND || (listed === undefined && !config.declare))
      throw queueProblem(error, at, queue)
    if (listed !== undefined) {
      // Gone since the start: deleted, or with its last consumer.
      await declareListed(model, at, listed)
      return true
    }
  }
  const { queueType, deliveryLimit } = config
  const limit = queueType === 'quorum' && deliveryLimit !== undefined ? { 'x-delivery-limit': deliveryLimit } : {}
  const args = { 'x-queue-type': queueType, ...limit }
  try {
    await onChannel(model, (channel) => channel.assertQueue(queue, { durable: true, arguments: args }))
    return true
  } catch (error) {
    throw declareProblem(error, `${at}: queue ${queue}`)
  }
}

/** @throws HubError HUB_SOURCE_* */
export async function ensureExchange(model: ChannelModel, at: string, config: RabbitConfig): Promise<void> {
  const { exchange = '', exchangeType, declare } = config
  try {
    if (declare) await onChannel(model, (channel) => channel.assertExchange(exchange, exchangeType, { durable: true }))
    else await onChannel(model, (channel) => channel.checkExchange(exchange))
  } catch (error) {
    throw exchangeProblem(error, at, exchange)
  }
}

/** Resolves when it is there. @throws what the broker answers */
export async function checkExchange(model: ChannelModel, exchange: string): Promise<void> {
  await onChannel(model, (channel) => channel.checkExchange(exchange))
}

/** What a queue has now. Changes nothing. @throws what the broker answers */
export async function countsOf(
  model: ChannelModel,
  queue: string,
): Promise<{ readonly messages: number; readonly consumers: number }> {
  const { messageCount: messages, consumerCount: consumers } = await onChannel(model, (channel) => channel.checkQueue(queue)) // prettier-ignore
  return { messages, consumers }
}

/** More than that the broker drops, the oldest first, should nobody take them. */
const PRIVATE_MESSAGES_MAX = 10_000
const PRIVATE_BYTES_MAX = 64 * 1024 * 1024

/**
 * Makes a queue that only this connection can read and that ends with it, bound to these keys.
 * @returns its name
 * @throws what the broker answers
 */
export async function bindPrivate(model: ChannelModel, exchange: string, keys: readonly string[]): Promise<string> {
  return await onChannel(model, async (channel) => {
    const args = { 'x-max-length': PRIVATE_MESSAGES_MAX, 'x-max-length-bytes': PRIVATE_BYTES_MAX }
    const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true, durable: false, arguments: args }) // prettier-ignore
    for (const key of keys) await channel.bindQueue(queue, exchange, key)
    return queue
  })
}

/**
 * RabbitMQ tells the type of a queue only when it refuses a consumer. This one asks for what streams alone understand, and
 * leaves out the prefetch that they insist on, so that none of them takes it.
 */
export async function kindOf(model: ChannelModel, queue: string): Promise<QueueKind> {
  const args = { arguments: { 'x-stream-offset': 'next' } }
  try {
    await onChannel(model, (channel) => channel.consume(queue, () => undefined, args))
    return 'unknown'
  } catch (error) {
    const text = errorText(error)
    if (replyCode(error) !== PRECONDITION_FAILED) throw error
    if (text.includes('prefetch count is not set')) return 'stream'
    const [, named] = /of queue type rabbit_(classic|quorum)_queue/.exec(text) ?? []
    return named === 'classic' || named === 'quorum' ? named : 'unknown'
  }
}

/**
 * The bindings of the hub's queue. AMQP cannot list them, so what was bound is remembered, for the day that a function is
 * gone. Bound are those of `keys` in the end, and none that this state knows of besides.
 * @throws HubError HUB_SOURCE_*
 */
export async function bindOnly(
  model: ChannelModel,
  at: string,
  bound: { readonly queue: string; readonly exchange: string; readonly keys: readonly string[] },
  state: StateStore,
): Promise<void> {
  const { queue, exchange, keys } = bound
  const stateKey = `bindings:${exchange}:${queue}`
  const known = JSON.parse((await state.get(stateKey)) ?? '[]') as readonly string[]
  const wanted = [...new Set(keys)].toSorted()
  if (known.length + wanted.length === 0) return
  if (known.join('\n') !== [...new Set([...known, ...wanted])].toSorted().join('\n'))
    await state.set(stateKey, JSON.stringify([...new Set([...known, ...wanted])].toSorted()))
  try {
    await onChannel(model, async (channel) => {
      for (const key of wanted) await channel.bindQueue(queue, exchange, key)
      for (const key of known) if (!wanted.includes(key)) await channel.unbindQueue(queue, exchange, key)
    })
  } catch (error) {
    // Without the queue or the exchange there is no binding either.
    const isGone = wanted.length === 0 && replyCode(error) === NOT_FOUND
    if (!isGone) throw declareProblem(error, `${at}: the bindings of queue ${queue} to exchange ${exchange}`)
  }
  await state.set(stateKey, JSON.stringify(wanted))
}

/** The channel is closed in any case; a refusal rejects with the broker's answer. */
async function onChannel<T>(model: ChannelModel, work: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await model.createChannel()
  let isOpen = true
  // The work itself rejects with it.
  channel.on('error', () => undefined)
  channel.on('close', () => (isOpen = false))
  try {
    return await work(channel)
  } finally {
    // Not awaited: a connection that ends meanwhile leaves the client's promise open for ever.
    if (isOpen) void channel.close().catch(() => undefined)
  }
}
