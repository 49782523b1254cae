// How the examples are run that call programs of other people: each against a real server that stands as a user's would, in a
// shell with the program, and then by what a running hub does with its effect. Called by programs.test.ts, by first lines.

import { existsSync } from 'node:fs'

import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { GetQueueAttributesCommand, SendMessageCommand } from '@aws-sdk/client-sqs'
import { jetstream } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { expect } from 'vitest'

import { withAdmin } from '../../connectors/kafka/broker.ts'
import { KafkaRig, QUICK } from '../../connectors/kafka/rig.ts'
import { Place } from '../../connectors/rabbitmq/rig.ts'
import { CREDENTIALS, clientOf, countOf } from '../../connectors/sqs/broker.ts'
import { Gateway, runHub, until } from '../hub/rig.ts'
import type { RunningHub } from '../hub/rig.ts'
import { noProgram } from '../programs/programs.ts'
import { Shell } from '../programs/shell.ts'
import { noElasticMq, startElasticMq } from '../servers/elasticmq.ts'
import { noKafka } from '../servers/kafka.ts'
import { noMinio, startMinio } from '../servers/minio.ts'
import type { MinioServer } from '../servers/minio.ts'
import { noNats, startNats } from '../servers/nats.ts'
import { noRabbit, startRabbit } from '../servers/rabbitmq.ts'
import { pickPorts } from '../servers/server.ts'
import { EXAMPLES } from './readme-examples.ts'

export interface ProgramExample {
  /** Each says why it is not there. */
  readonly needs: readonly (() => Promise<string | undefined>)[]
  /** @param text as it is printed */
  run(text: string): Promise<void>
}

type Functions = Gateway['functions']
type Fields = Readonly<Record<string, unknown>>

/** A hub with one connector, and its gateway, while `work` runs. */
async function withHub(
  type: string,
  fields: Fields,
  functions: Functions,
  work: (world: { readonly gateway: Gateway; readonly running: RunningHub }) => Promise<void>,
): Promise<void> {
  await using gateway = await new Gateway().start()
  gateway.functions = functions
  gateway.answer = (name) =>
    name === 'thumbnail' ? { status: 200, headers: { 'content-type': 'text/plain' }, body: 'a small picture' } : undefined // prettier-ignore
  await using running = await runHub(gateway.url, {}, { overlay: { [type]: { type, ...fields } } })
  await work({ gateway, running })
}

/** Resolves once the function has been invoked with the event. */
async function invoked(gateway: Gateway, name: string, body: string | RegExp): Promise<void> {
  const is = (found: string): boolean => (typeof body === 'string' ? found === body : body.test(found))
  await until(() => gateway.invoked.some((one) => one.function === name && is(one.body)), `${name} has ${body}`)
}

/** A broker that forbids what is not allowed, to everybody but those who have no name. */
const kafkaAcls: ProgramExample = {
  needs: [noKafka, () => noProgram('kafka-acls')],
  run: async (text) => {
    const user = { username: 'hub', password: 'right' }
    const config = ['authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer', 'super.users=User:ANONYMOUS'] // prettier-ignore
    await using kafka = await KafkaRig.start({ sasl: [{ mechanism: 'SCRAM-SHA-256', ...user }], config })
    using shell = await Shell.with(['kafka-acls'])
    await kafka.create('orders', 1)
    await kafka.send('orders', { value: 'an order' })
    const fields = { brokers: [kafka.server.bootstrap], saslMechanism: 'scram-sha-256', ...user, ...QUICK }
    const functions = { billing: { topic: 'orders' }, fails: { topic: 'orders', 'com.openfaas.retry.attempts': '0' } }
    const forbidden = (line: string): boolean => line.includes('orders may not be described')
    await withHub('kafka', fields, functions, ({ running }) => until(() => running.log.some(forbidden), 'the hub may not read')) // prettier-ignore
    await shell.run(text.replaceAll('localhost:9092', `127.0.0.1:${kafka.server.plainPort}`))
    await withHub('kafka', fields, functions, async ({ gateway }) => {
      await invoked(gateway, 'billing', 'an order')
      // Its topic is made, and written to.
      const letters = (): Promise<number> => withAdmin(kafka.client, async (admin) => Number((await admin.fetchTopicOffsets('orders.dlq'))[0]?.high ?? 0)) // prettier-ignore
      await until(async () => (await letters().catch(() => 0)) === 1, 'the dead letter is there')
    })
  },
}

const natsRequest: ProgramExample = {
  needs: [noNats, () => noProgram('natscli')],
  run: async (text) => {
    await using nats = await startNats()
    using shell = await Shell.with(['natscli'], { NATS_URL: nats.url, NATS_TIMEOUT: '60s' })
    shell.file('photo.json', '{"photo":1}')
    const fields = { servers: [nats.url], layer: 'core' }
    await withHub('nats', fields, { thumbnail: { topic: 'images.thumbnail' } }, async ({ gateway }) => {
      const subscriptions = async (): Promise<string> => await (await fetch(`${nats.monitorUrl}/subsz?subs=1`)).text()
      await expect.poll(subscriptions).toContain('images.thumbnail')
      expect(await shell.run(text)).toContain('a small picture')
      await invoked(gateway, 'thumbnail', '{"photo":1}')
    })
  },
}

const natsStream: ProgramExample = {
  needs: [noNats, () => noProgram('natscli')],
  run: async (text) => {
    await using nats = await startNats()
    using shell = await Shell.with(['natscli'], { NATS_URL: nats.url, NATS_TIMEOUT: '60s' })
    const functions = { billing: { topic: 'orders.*.created' } }
    await shell.run(text)
    await withHub('nats', { servers: [nats.url] }, functions, async ({ gateway }) => {
      const connection = await connect({ servers: nats.url })
      const { stream } = await jetstream(connection).publish('orders.eu.created', 'an order')
      await connection.close()
      expect(stream).toBe('ORDERS')
      await invoked(gateway, 'billing', 'an order')
    })
  },
}

const rabbitQueue: ProgramExample = {
  needs: [noRabbit, () => noProgram('rabbitmqadmin')],
  run: async (text) => {
    await using rabbit = await startRabbit()
    await using place = await Place.open(rabbit)
    using shell = await Shell.with(['rabbitmqadmin'])
    const { hostname, port, username, password } = new URL(rabbit.managementUrl)
    shell.file('.rabbitmqadmin.conf', `[default]\nhostname = ${hostname}\nport = ${port}\nusername = ${username}\npassword = ${password}\nvhost = ${place.vhost.name}\ndeclare_vhost = ${place.vhost.name}\n`) // prettier-ignore
    await shell.run(text)
    expect(await rabbit.manage('GET', `queues/${place.vhost.name}/orders`)).toMatchObject({ type: 'quorum', durable: true }) // prettier-ignore
    await withHub('rabbitmq', { url: place.vhost.url }, { billing: { topic: 'orders' } }, async ({ gateway }) => {
      await place.send('orders', 'an order')
      await invoked(gateway, 'billing', 'an order')
    })
  },
}

const sqsQueues: ProgramExample = {
  needs: [noElasticMq, () => noProgram('awscli')],
  run: async (text) => {
    const [, region = '', account = ''] = /arn:aws:sqs:([\w-]+):(\d+):/.exec(text) ?? []
    await using server = await startElasticMq({ region, account })
    const env = { AWS_DEFAULT_REGION: region, AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId, AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey } // prettier-ignore
    using shell = await Shell.with(['awscli'], env)
    // Not by AWS_ENDPOINT_URL, which this program passes over for SQS.
    await shell.run(text.replaceAll('aws sqs', `aws --endpoint-url ${server.url} sqs`))
    const client = clientOf(server.url)
    const [orders, dead] = ['orders', 'orders-dead'].map((name) => `${server.url}/${account}/${name}`) as [string, string] // prettier-ignore
    const { Attributes: attributes } = await client.send(new GetQueueAttributesCommand({ QueueUrl: orders, AttributeNames: ['RedrivePolicy'] })) // prettier-ignore
    expect(JSON.parse(attributes?.['RedrivePolicy'] ?? '{}')).toEqual({ deadLetterTargetArn: `arn:aws:sqs:${region}:${account}:orders-dead`, maxReceiveCount: 20 }) // prettier-ignore
    const functions = { fails: { topic: 'orders', 'com.openfaas.retry.attempts': '0' } }
    await withHub(
      'sqs',
      { endpoint: server.url, region, ...CREDENTIALS, waitTime: '1s' },
      functions,
      async ({ gateway }) => {
        await client.send(new SendMessageCommand({ QueueUrl: orders, MessageBody: 'an order' }))
        await invoked(gateway, 'fails', 'an order')
        // The hub has taken the queue's policy for its dead letters.
        await expect.poll(async () => [await countOf(client, orders), await countOf(client, dead)]).toEqual([0, 1])
      },
    )
    client.destroy()
  },
}

const MINIO_ENVIRONMENT = 'MINIO_NOTIFY_WEBHOOK_ENABLE_hub=on'

/** What a shell makes of the block, where MinIO has a folder of its own and the hub is on this machine. */
async function minioEnvironment(shell: Shell, port: number): Promise<Readonly<Record<string, string>>> {
  const block = EXAMPLES.find(({ text }) => text.startsWith(MINIO_ENVIRONMENT))?.text ?? ''
  const local = block.replaceAll('http://hub:8091', `http://127.0.0.1:${port}`).replaceAll('/var/lib/minio', shell.folder) // prettier-ignore
  const lines = (await shell.run(`set -a\n${local}\nenv`)).split('\n').filter((line) => line.startsWith('MINIO_'))
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
}

/**
 * A MinIO of exactly the environment that is printed, with a bucket, and a hub: what is put there must come to the function.
 * @param fields of the connector
 * @param tell has the bucket send its events
 */
async function bucketInvokes(
  shell: Shell,
  fields: Fields,
  tell: (minio: MinioServer, running: RunningHub) => Promise<unknown>,
): Promise<void> {
  const [port = 0] = await pickPorts(1)
  const environment = await minioEnvironment(shell, port)
  await using minio = await startMinio({ environment })
  const { url, accessKey, secretKey } = minio
  const s3 = new S3Client({ endpoint: url, region: 'us-east-1', forcePathStyle: true, credentials: { accessKeyId: accessKey, secretAccessKey: secretKey } }) // prettier-ignore
  await s3.send(new CreateBucketCommand({ Bucket: 'photos' }))
  const token = environment['MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_hub']
  const connector = { url, accessKey, secretKey, token, listen: { host: '127.0.0.1', port }, ...fields }
  await withHub(
    'minio',
    connector,
    { resize: { topic: 'photos:s3:ObjectCreated:*' } },
    async ({ gateway, running }) => {
      await until(() => running.hub.status.every(({ state }) => state === 'active'), 'the hub listens')
      await tell(minio, running)
      await s3.send(new PutObjectCommand({ Bucket: 'photos', Key: 'holiday.png', Body: '-' }))
      await invoked(gateway, 'resize', /"s3:ObjectCreated:Put"[^]*holiday\.png/)
    },
  )
  s3.destroy()
  // It has waited in the queue directory that is printed.
  expect(existsSync(environment['MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_hub'] ?? '')).toBe(true)
}

const minioTarget: ProgramExample = {
  needs: [noMinio],
  run: async () => {
    using shell = await Shell.with([])
    const isConfigured = ({ log }: RunningHub): boolean => log.some((line) => line.includes('minio.configured'))
    await bucketInvokes(shell, { configureBucket: true }, (_, running) => until(() => isConfigured(running), 'the bucket sends its events')) // prettier-ignore
  },
}

const minioEvents: ProgramExample = {
  needs: [noMinio, () => noProgram('mc')],
  run: async (text) => {
    using shell = await Shell.with(['mc'])
    await bucketInvokes(shell, {}, async ({ url, accessKey, secretKey }) => {
      await shell.run(`mc alias set minio ${url} ${accessKey} '${secretKey}'`)
      await shell.run(text)
    })
  },
}

/** By their first lines. */
export const PROGRAM_EXAMPLES: Readonly<Record<string, ProgramExample>> = {
  'kafka-acls --bootstrap-server localhost:9092 --add --allow-principal User:hub --operation Read --operation Describe --topic orders':
    kafkaAcls,
  'nats request images.thumbnail "$(cat photo.json)"   # answered by the function annotated with topic: images.thumbnail':
    natsRequest,
  'nats stream add ORDERS --subjects "orders.>" --defaults': natsStream,
  'rabbitmqadmin declare queue name=orders durable=true arguments=\'{"x-queue-type": "quorum"}\'': rabbitQueue,
  'aws sqs create-queue --queue-name orders-dead': sqsQueues,
  [MINIO_ENVIRONMENT]: minioTarget,
  'mc event add minio/photos arn:minio:sqs::hub:webhook --event put,delete': minioEvents,
}
