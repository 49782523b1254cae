// What the broker refused on a channel, as errors that say what to do. Pure; called by rabbit-source.ts and what it owns.

import { HubError, errorText } from '../../src/sdk/index.ts'

/** Reply codes of AMQP 0-9-1 §1.2 (constants), as RabbitMQ uses them. */
export const ACCESS_REFUSED = 403
export const NOT_FOUND = 404
const RESOURCE_LOCKED = 405
export const PRECONDITION_FAILED = 406

export function replyCode(error: unknown): number | undefined {
  const code = (error as { readonly code?: unknown } | undefined)?.code
  return typeof code === 'number' ? code : undefined
}

/** Of a quorum queue that lets nobody get a message. */
export function isSingleActive(error: unknown): boolean {
  return replyCode(error) === RESOURCE_LOCKED && errorText(error).includes('single active consumer')
}

/** Of a queue that a function wants. */
export function queueProblem(error: unknown, at: string, queue: string): HubError {
  if (error instanceof HubError) return error
  const about = `${at}: queue ${queue}`
  const code = replyCode(error)
  if (code === NOT_FOUND)
    return new HubError('HUB_TOPIC_MISSING', `${about} does not exist`, {
      cause: error,
      canRetry: true,
      hint: `Create it: rabbitmqadmin declare queue name="${queue}" durable=true. Or set declare: true, or list it under queues.`,
    })
  if (code === ACCESS_REFUSED)
    return new HubError('HUB_SOURCE_FORBIDDEN', `${about} may not be read by this user: ${errorText(error)}`, {
      cause: error,
      hint: `Grant read access: rabbitmqctl set_permissions -p <vhost> <user> '' '' '^${queue}$'.`,
    })
  if (isSingleActive(error))
    return new HubError('HUB_SOURCE_FORBIDDEN', `${about} has a single active consumer, and shows its messages to nobody else`, {
      cause: error,
      hint: 'Look at it in the management interface, or at the other queues.',
    }) // prettier-ignore
  if (code === RESOURCE_LOCKED)
    return new HubError('HUB_SOURCE_FORBIDDEN', `${about} is exclusive to another connection`, {
      cause: error,
      canRetry: true,
      hint: 'Declare it without exclusive; an exclusive queue has one connection, so one replica of the hub.',
    })
  return channelProblem(error, about)
}

/** Of something declared by us that is there already, but different. */
export function declareProblem(error: unknown, about: string): HubError {
  if (replyCode(error) === PRECONDITION_FAILED)
    return new HubError('HUB_SOURCE_FORBIDDEN', `${about} exists with other properties: ${errorText(error)}`, {
      cause: error,
      hint: 'Give it the same properties in the configuration, or delete it at the broker.',
    })
  if (replyCode(error) === ACCESS_REFUSED)
    return new HubError('HUB_SOURCE_FORBIDDEN', `${about} may not be declared by this user: ${errorText(error)}`, {
      cause: error,
      hint: "Grant it: rabbitmqctl set_permissions -p <vhost> <user> '<configure>' '<write>' '<read>'. Or declare it yourself.",
    })
  return channelProblem(error, about)
}

/** Of an exchange that the configuration names. */
export function exchangeProblem(error: unknown, at: string, exchange: string): HubError {
  const about = `${at}: exchange ${exchange}`
  if (replyCode(error) === NOT_FOUND)
    return new HubError('HUB_SOURCE_FORBIDDEN', `${about} does not exist`, {
      cause: error,
      canRetry: true,
      hint: `Create it: rabbitmqadmin declare exchange name="${exchange}" type=topic durable=true.`,
    })
  return declareProblem(error, about)
}

/** Anything else on a channel: the broker's own words, worth another try. */
export function channelProblem(error: unknown, about: string): HubError {
  if (error instanceof HubError) return error
  return new HubError('HUB_SOURCE_LOST', `${about}: ${errorText(error)}`, { cause: error, canRetry: true })
}
