// What MinIO looks like from here: can we connect, may we read these buckets, do they send to our target? Changes nothing.
// Called by the sources.

import { GetBucketNotificationConfigurationCommand } from '@aws-sdk/client-s3'
import type { QueueConfiguration } from '@aws-sdk/client-s3'

import { HubError, asHubError, refusedTopic } from '../../src/sdk/index.ts'
import type { ProbeReport } from '../../src/sdk/index.ts'
import { MinioClient } from './client.ts'
import type { MinioConfig } from './client.ts'
import { partsOf } from './check.ts'
import { isMissingBucket } from './problems.ts'
import { Wishes } from './wishes.ts'

/** With a connection for each topic, which takes nothing from others. */
export async function probeListen(
  config: MinioConfig,
  topics: readonly string[],
  signal: AbortSignal,
): Promise<ProbeReport> {
  return await using(config, signal, async (client) => ({
    server: `MinIO at ${client.at}`,
    topics: await lines(topics, config, async (topic) => {
      const [wish] = new Wishes([topic], config).byBucket.values()
      if (wish === undefined) return 'nothing is wanted of it'
      const stop = new AbortController()
      const { server } = await client.listen(wish, AbortSignal.any([signal, stop.signal]))
      stop.abort()
      return `${server} lets us listen`
    }),
  }))
}

/** Without credentials MinIO's side cannot be looked at: it calls us. */
export async function probeWebhook(
  config: MinioConfig,
  address: string | undefined,
  topics: readonly string[],
  signal: AbortSignal,
): Promise<ProbeReport> {
  const { listen, path, targetArn } = config
  const own = `waits for MinIO at ${address ?? `${listen.host}:${listen.port}`}${path}`
  if (config.accessKey === undefined)
    return { server: own, topics: await lines(topics, config, () => Promise.resolve('not looked at: set accessKey and secretKey')) } // prettier-ignore
  return await using(config, signal, async (client) => ({
    server: `MinIO at ${client.at}; ${own}`,
    topics: await lines(topics, config, async (topic) => {
      const [bucket] = partsOf(topic)
      const { QueueConfigurations = [] } = await client.s3
        .send(new GetBucketNotificationConfigurationCommand({ Bucket: bucket }), { abortSignal: signal })
        .catch((error: unknown) => {
          throw client.problem(error, { bucket, action: 's3:GetBucketNotification' })
        })
      if (config.configureBucket) return `configureBucket sets ${targetArn}`
      const targets = targetsOf(QueueConfigurations, topic, config)
      if (targets.length > 0) return `the bucket sends events to ${targets.join(', ')}`
      const what = QueueConfigurations.length === 0 ? 'its events nowhere' : 'events, and none of this topic'
      throw new HubError('HUB_TOPIC_MISSING', `the bucket ${bucket} sends ${what}`, { hint: `Tell it to: mc event add <alias>/${bucket} ${targetArn} --event put,delete (with the ARN of your target); or set configureBucket: true.` }) // prettier-ignore
    }),
  }))
}

/** Those that some event of the topic is sent to. */
function targetsOf(entries: readonly QueueConfiguration[], topic: string, config: MinioConfig): readonly string[] {
  const [{ events: wanted } = { events: [] }] = new Wishes([topic], config).byBucket.values()
  const group = (event: string): string => event.replace(/[^:]*$/, '')
  const overlap = (left: string, right: string): boolean => left === right || (group(left) === group(right) && (left.endsWith(':*') || right.endsWith(':*'))) // prettier-ignore
  return entries.flatMap(({ QueueArn = '', Events: sent = [] }) => (sent.some((one) => wanted.some((other) => overlap(one, other))) ? [QueueArn] : [])) // prettier-ignore
}

async function using<T>(
  config: MinioConfig,
  signal: AbortSignal,
  work: (client: MinioClient) => Promise<T>,
): Promise<T> {
  const client = new MinioClient(config)
  try {
    await client.greet(signal)
    return await work(client)
  } finally {
    await client.close()
  }
}

async function lines(
  topics: readonly string[],
  config: MinioConfig,
  look: (topic: string) => Promise<string>,
): Promise<ProbeReport['topics']> {
  const found: ProbeReport['topics'][number][] = []
  for (const topic of topics) {
    try {
      const [refused] = new Wishes([topic], config).refused
      if (refused !== undefined) throw refused
      found.push({ topic, ok: true, detail: await look(topic) })
    } catch (error) {
      const problem = asHubError(error)
      const report = refusedTopic(topic, problem)
      found.push(isMissingBucket(problem) ? { ...report, code: 'HUB_TOPIC_MISSING' } : report)
    }
  }
  return found
}
