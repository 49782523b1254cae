// What a topic stands for: finds the queue, and where its dead letters go. Called by sqs-source.ts, probe.ts and the tools.

import { GetQueueAttributesCommand, GetQueueUrlCommand } from '@aws-sdk/client-sqs'
import type { QueueAttributeName, SQSClient } from '@aws-sdk/client-sqs'

import { HubError, errorText } from '../../src/sdk/index.ts'
import type { SourceLog } from '../../src/sdk/index.ts'
import type { SqsConfig } from './clients.ts'
import { isForbidden, isMissing, queueProblem } from './problems.ts'

/** A dead-letter queue, by a queue's redrive policy. */
export interface Redrive {
  readonly url: string
  readonly name: string
  /** SQS moves a message there by itself when it is received more often. */
  readonly receivesMax: number
}

export interface Queue {
  readonly topic: string
  readonly url: string
  readonly name: string
  readonly isFifo: boolean
  /** Where its dead letters are to go; undefined: to the hub. */
  readonly letters: Redrive | undefined
  /** Of the redrive policy, whoever keeps the dead letters. */
  readonly receivesMax: number | undefined
}

export interface QueuesOptions {
  readonly client: SQSClient
  readonly config: SqsConfig
  /** For messages. */
  readonly at: string
  readonly log: Pick<SourceLog, 'warn'>
}

/** Where it is, without what it is like. */
export type Address = Pick<Queue, 'topic' | 'url' | 'name' | 'isFifo'>

/** @throws HubError HUB_SOURCE_* */
export async function locateQueue(topic: string, options: QueuesOptions, signal: AbortSignal): Promise<Address> {
  try {
    const url = await urlOf(topic, options, signal)
    await checkRegion(url, options)
    const name = lastPart(url)
    return { topic, url, name, isFifo: name.endsWith('.fifo') }
  } catch (error) {
    signal.throwIfAborted()
    throw queueProblem(error, options.at, topic)
  }
}

/** @throws HubError HUB_SOURCE_*, of attributes that we may not see too */
export async function queueAttributes(
  { url, topic }: Address,
  names: readonly QueueAttributeName[],
  { client, at }: QueuesOptions,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  const command = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: [...names] })
  try {
    return (await client.send(command, { abortSignal: signal })).Attributes ?? {}
  } catch (error) {
    signal.throwIfAborted()
    throw queueProblem(error, at, topic)
  }
}

/** @throws HubError HUB_SOURCE_* */
export async function findQueue(topic: string, options: QueuesOptions, signal: AbortSignal): Promise<Queue> {
  const { at, config } = options
  try {
    const { url, name, isFifo } = await locateQueue(topic, options, signal)
    const policy = await policyOf(url, options, signal)
    const letters = config.deadLetters === 'hub' ? undefined : await lettersOf(topic, policy, options, signal)
    return { topic, url, name, isFifo, letters, receivesMax: policy?.receivesMax }
  } catch (error) {
    signal.throwIfAborted()
    throw queueProblem(error, at, topic)
  }
}

async function urlOf(topic: string, { client, config }: QueuesOptions, signal: AbortSignal): Promise<string> {
  if (/^https?:\/\//.test(topic)) return topic
  const listed = config.queues.find((url) => lastPart(url) === topic)
  if (listed !== undefined) return listed
  const { QueueUrl: url } = await client.send(new GetQueueUrlCommand({ QueueName: topic }), { abortSignal: signal })
  return url ?? topic
}

/** The client would go to the server of the URL and sign for its own region. */
async function checkRegion(url: string, { client, config, at }: QueuesOptions): Promise<void> {
  if (config.endpoint !== undefined) return
  const region = /^https:\/\/(?:sqs(?:-fips)?\.)?([a-z]+(?:-[a-z]+)+-\d)\./.exec(url)?.[1]
  const ours = await client.config.region()
  if (region === undefined || region === ours) return
  throw new HubError('HUB_SOURCE_FORBIDDEN', `${at}: queue ${url} is in region ${region}, and this connector is for ${ours}`, {
    hint: `Add another connector with type: sqs and region: ${region} for it.`,
  }) // prettier-ignore
}

export interface Policy {
  readonly arn: string
  readonly receivesMax: number
}

/** Undefined where there is none, or none that we may see. */
async function policyOf(
  url: string,
  { client, config, at, log }: QueuesOptions,
  signal: AbortSignal,
): Promise<Policy | undefined> {
  const command = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['RedrivePolicy'] })
  try {
    const { Attributes: attributes } = await client.send(command, { abortSignal: signal })
    return parsePolicy(attributes?.['RedrivePolicy'])
  } catch (error) {
    if (!isForbidden(error) || config.deadLetters === 'queue') throw error
    log.warn('sqs.no-attributes', `${at}: queue ${lastPart(url)}: its redrive policy cannot be read, so the hub keeps its dead letters. Allow sqs:GetQueueAttributes.`) // prettier-ignore
    return undefined
  }
}

/** Of the attribute `RedrivePolicy`. */
export function parsePolicy(text: string | undefined): Policy | undefined {
  if (text === undefined || text === '') return undefined
  const policy = JSON.parse(text) as { readonly deadLetterTargetArn?: unknown; readonly maxReceiveCount?: unknown }
  const { deadLetterTargetArn: arn, maxReceiveCount: count } = policy
  return typeof arn === 'string' ? { arn, receivesMax: Number(count) } : undefined
}

async function lettersOf(
  topic: string,
  policy: Policy | undefined,
  { client, config, at, log }: QueuesOptions,
  signal: AbortSignal,
): Promise<Redrive | undefined> {
  const isRequired = config.deadLetters === 'queue'
  if (policy === undefined) {
    if (!isRequired) return undefined
    throw new HubError(
      'HUB_SOURCE_FORBIDDEN',
      `${at}: queue ${topic} has no redrive policy, and deadLetters is queue`,
      {
        canRetry: true,
        hint: `Give it one: aws sqs set-queue-attributes --queue-url <url> --attributes '{"RedrivePolicy":"{\\"deadLetterTargetArn\\":\\"<arn>\\",\\"maxReceiveCount\\":10}"}'. Or set deadLetters: auto.`,
      },
    )
  }
  // arn:aws:sqs:<region>:<account>:<name>
  const [account, name = ''] = policy.arn.split(':').slice(-2)
  const command = new GetQueueUrlCommand({ QueueName: name, QueueOwnerAWSAccountId: account })
  try {
    const { QueueUrl: url = '' } = await client.send(command, { abortSignal: signal })
    return { url, name, receivesMax: policy.receivesMax }
  } catch (error) {
    if (!isMissing(error) && !isForbidden(error)) throw error
    if (isRequired) throw queueProblem(error, at, name)
    log.warn('sqs.no-dead-letter-queue', `${at}: queue ${topic}: its dead-letter queue ${name} cannot be found, so the hub keeps its dead letters: ${errorText(error)}`) // prettier-ignore
    return undefined
  }
}

export function lastPart(url: string): string {
  return url.split('/').at(-1) ?? url
}
