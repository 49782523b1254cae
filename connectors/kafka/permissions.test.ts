// What a user who may not do everything gets to hear, from a real broker with an authorizer; and what an old broker does.

import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { HubError, ProbeReport, TopicReport } from '../../src/sdk/index.ts'
import { noKafka } from '../../test/servers/kafka.ts'
import { SourceRig, until } from '../../test/source-rig.ts'
import { Look, toolsOf, withLetters } from '../../test/tools-rig.ts'
import { withAdmin } from './broker.ts'
import connector from './connector.ts'
import { KafkaRig } from './rig.ts'

const missing = await noKafka()
const PASSWORD = 'right'
const never = new AbortController().signal
let users = 0

type Grant = readonly [operation: 'READ' | 'WRITE' | 'DELETE' | 'DESCRIBE', kind: 'TOPIC' | 'GROUP', name: string]

async function refusal(work: Promise<unknown> | undefined): Promise<HubError> {
  return await (work?.then(() => expect.fail('it was not refused'), (error: unknown) => error as HubError) as Promise<HubError>) // prettier-ignore
}

describe.skipIf(missing !== undefined)('a user', () => {
  const names = Array.from({ length: 12 }, (_, index) => `user${index}`)
  let kafka: KafkaRig
  beforeAll(async () => {
    kafka = await KafkaRig.start({
      sasl: names.map((username) => ({ mechanism: 'SCRAM-SHA-256', username, password: PASSWORD })),
      config: [
        'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        'super.users=User:ANONYMOUS',
        'auto.create.topics.enable=false',
      ],
    })
  })
  afterAll(() => kafka[Symbol.asyncDispose]())

  const grant = async (username: string, ...grants: readonly Grant[]): Promise<void> => {
    const acl = grants.map(([operation, kind, resourceName]) => ({ resourceType: AclResourceTypes[kind], resourceName, resourcePatternType: ResourcePatternTypes.LITERAL, principal: `User:${username}`, host: '*', operation: AclOperationTypes[operation], permissionType: AclPermissionTypes.ALLOW })) // prettier-ignore
    await withAdmin(kafka.client, (admin) => admin.createAcls({ acl }))
  }
  /** Configuration of a user of its own with these rights. */
  const userWith = async (...grants: readonly Grant[]): Promise<{ readonly username: string; readonly config: Readonly<Record<string, string>> }> => {
    const username = names[users] ?? 'none left'
    users += 1
    if (grants.length > 0) await grant(username, ...grants)
    return { username, config: { username, password: PASSWORD, saslMechanism: 'scram-sha-256' } }
  } // prettier-ignore
  const probe = (config: Readonly<Record<string, unknown>>, group: string, topics: readonly string[]): Promise<ProbeReport> => kafka.source(group, config).source.probe(topics, never) // prettier-ignore
  const line = async (config: Readonly<Record<string, unknown>>, group: string, topic: string): Promise<TopicReport | undefined> => (await probe(config, group, [topic])).topics[0] // prettier-ignore

  test('is told by a probe of each right that is missing, one after the other, and takes nothing', async () => {
    const topic = await kafka.topic(2)
    const { username, config } = await userWith()
    const said = async (): Promise<unknown> => {
      const { ok, code, detail, fix } = (await line(config, 'probed', topic)) ?? { ok: undefined, detail: '' }
      return [ok, code, `${detail} ${fix ?? ''}`]
    }
    const forbidden = (...texts: readonly string[]): unknown => [false, 'HUB_SOURCE_FORBIDDEN', expect.stringMatching(new RegExp(texts.join('.*')))] // prettier-ignore
    expect(await said()).toEqual(forbidden(`${topic} may not be described`, `--operation Read --topic ${topic}`))
    await grant(username, ['DESCRIBE', 'TOPIC', topic])
    await expect.poll(said).toEqual(forbidden(`${topic} may not be read`, `--operation Read --topic ${topic}`))
    await grant(username, ['READ', 'TOPIC', topic])
    await expect.poll(said).toEqual(forbidden('group probed may not be read', '--operation Read --group probed'))
    await grant(username, ['DESCRIBE', 'GROUP', 'probed'])
    await expect.poll(said).toEqual(forbidden('group probed may not be read', '--operation Read --group probed'))
    await grant(username, ['READ', 'GROUP', 'probed'])
    await expect.poll(said).toEqual(forbidden(`dead letters may not be written to ${topic}.dlq`, `--operation Write --topic ${topic}.dlq`)) // prettier-ignore
    expect(await line({ ...config, deadLetters: 'hub' }, 'probed', topic)).toEqual({ topic, ok: true, detail: '2 partitions' }) // prettier-ignore
    await grant(username, ['WRITE', 'TOPIC', `${topic}.dlq`])
    await expect.poll(said).toEqual([true, undefined, expect.stringContaining(`2 partitions; dead letters go to ${topic}.dlq, which the first of them makes`)]) // prettier-ignore
    await kafka.create(`${topic}.dlq`, 1)
    await expect.poll(said).toEqual([true, undefined, `2 partitions; dead letters go to ${topic}.dlq `])
    expect((await withAdmin(kafka.client, (admin) => admin.listGroups())).groups.map(({ groupId }) => groupId)).not.toContain('probed') // prettier-ignore
  })

  test('is told by a probe which topic does not exist, with the command', async () => {
    const { config } = await userWith(['DESCRIBE', 'TOPIC', '*'], ['READ', 'TOPIC', '*'], ['READ', 'GROUP', '*'], ['WRITE', 'TOPIC', '*']) // prettier-ignore
    const { server, topics } = await probe(config, 'missing', ['not-there'])
    expect(server).toContain(kafka.server.bootstrap)
    expect(topics).toEqual([{ topic: 'not-there', ok: false, code: 'HUB_TOPIC_MISSING', detail: 'not-there does not exist', fix: expect.stringContaining('kafka-topics --create --topic not-there') }]) // prettier-ignore
  })

  test('may look with Read on the topic and Describe on the group, and is told what is missing', async () => {
    const topic = await kafka.topic()
    await kafka.send(topic, { value: 'seen' })
    const { username, config } = await userWith(['DESCRIBE', 'TOPIC', topic])
    const tools = await kafka.tools('looking', config)
    const look = (): Promise<unknown> => tools.peek([{ kind: 'topic', topic }], never)
    expect(await refusal(look())).toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN', hint: expect.stringContaining(`--topic ${topic}`) }) // prettier-ignore
    await grant(username, ['READ', 'TOPIC', topic])
    await expect.poll(() => refusal(look())).toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN', message: expect.stringContaining('group looking') }) // prettier-ignore
    await grant(username, ['DESCRIBE', 'GROUP', 'looking'])
    await expect.poll(async () => {
      await using opened = await Look.open(tools, [topic])
      await opened.saw(1)
      return opened.bodies
    }).toEqual(['seen']) // prettier-ignore
  })

  test('who may not write is told so before anything is published', async () => {
    const topic = await kafka.topic()
    const { username, config } = await userWith(['READ', 'TOPIC', topic])
    const emit = async (): Promise<unknown> => {
      await using emitter = await kafka.emitter('writing', config)
      return await emitter.emit({ topic, body: Buffer.from('x'), headers: {} }).catch((error: unknown) => error)
    }
    expect(await emit()).toMatchObject({ code: 'HUB_EMIT_FAILED', hint: expect.stringContaining(`--operation Write --topic ${topic}`) }) // prettier-ignore
    await grant(username, ['WRITE', 'TOPIC', topic])
    await expect.poll(emit).toBe(`${topic}/0@0`)
  })

  test('who may read dead letters needs Read on their group to remove them, and Delete for the records to go', async () => {
    const topic = await kafka.topic()
    await kafka.send(topic, { value: 'letter' }, { value: 'another' })
    const { username, config } = await userWith(['READ', 'TOPIC', topic], ['DESCRIBE', 'GROUP', 'tidy-dead-letters'])
    const tools = await kafka.tools('tidy', config)
    const remove = (): Promise<unknown> =>
      withLetters(tools, { places: [topic] }, async ([letter], { removal }) => {
        const error: unknown = await letter?.remove().catch((thrown: unknown) => thrown)
        return error ?? removal
      })
    const low = async (): Promise<unknown> => (await withAdmin(kafka.client, (admin) => admin.fetchTopicOffsets(topic)))[0]?.low // prettier-ignore
    expect(await remove()).toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN', hint: expect.stringContaining('--operation Read --group tidy-dead-letters') }) // prettier-ignore
    await grant(username, ['READ', 'GROUP', 'tidy-dead-letters'])
    await expect.poll(remove).toContain('a user with the operation Delete')
    expect([await withLetters(tools, { places: [topic] }, (letters) => letters.length), await low()]).toEqual([1, '0'])
    await grant(username, ['DELETE', 'TOPIC', topic])
    await expect.poll(async () => (await tools.letters?.({ places: [topic], topics: [] }, never))?.removal).toContain('the records are deleted') // prettier-ignore
    expect(await remove()).toContain('the records are deleted')
    expect(await low()).toBe('2')
  })

  test('who may not read one of the topics reads the others, and that one as soon as it may; the right can go again', async () => {
    const [open, closed] = [await kafka.topic(), await kafka.topic()]
    const { username, config } = await userWith(
      ['READ', 'TOPIC', open],
      ['DESCRIBE', 'TOPIC', closed],
      ['READ', 'GROUP', 'partly'],
    )
    const source = await kafka.source('partly', config).opened([open, closed])
    source.ackAll = true
    const isSaid = (event: string, text: string): boolean => source.log.lines.some((said) => said.includes(event) && said.includes(text)) // prettier-ignore
    expect(isSaid('kafka.topic-missing', `${closed} may not be read`)).toBe(true)
    await kafka.send(open, { value: 'open 1' })
    await kafka.send(closed, { value: 'closed 1' })
    await source.arrived(1)
    await grant(username, ['READ', 'TOPIC', closed])
    await source.arrived(2)
    await withAdmin(kafka.client, (admin) => admin.deleteAcls({ filters: [{ resourceType: AclResourceTypes.TOPIC, resourceName: open, resourcePatternType: ResourcePatternTypes.LITERAL, principal: `User:${username}`, operation: AclOperationTypes.READ, permissionType: AclPermissionTypes.ALLOW }] })) // prettier-ignore
    await until(() => isSaid('kafka.topic-missing', `${open} may not be`), 'it is said')
    await kafka.send(open, { value: 'open 2' })
    await kafka.send(closed, { value: 'closed 2' })
    await source.arrived(3)
    await grant(username, ['READ', 'TOPIC', open])
    await source.arrived(4)
    expect(source.bodies).toEqual(['open 1', 'closed 1', 'closed 2', 'open 2'])
    expect(source.ending).toBeUndefined()
  })

  test('with a wrong password is refused by every tool, with what to check', async () => {
    const { config } = await userWith()
    const tools = await kafka.tools('wrong', { ...config, password: 'wrong-secret' })
    for (const begin of [
      () => tools.peek([{ kind: 'topic', topic: 'x' }], never),
      () => tools.emitter?.(never),
      () => tools.letters?.({ places: [], topics: [] }, never),
      () => probe({ ...config, password: 'wrong-secret' }, 'wrong', ['x']),
    ]) {
      const error = await refusal(begin())
      expect([error.code, error.hint]).toEqual(['HUB_SOURCE_AUTH', expect.stringContaining('password')])
      expect(error.message).not.toContain('wrong-secret')
    }
  })
})

/** Answers to ApiVersions as a broker with only these requests, and closes the connection at any other, as old brokers do. */
async function startScripted(offered: readonly (readonly [key: number, min: number, max: number])[]): Promise<{ readonly port: number; close(): void }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', (request) => {
      if (request.readInt16BE(4) !== 18) return void socket.destroy()
      const answer = Buffer.alloc(4 + 4 + 2 + 4 + offered.length * 6)
      answer.writeInt32BE(answer.length - 4, 0)
      answer.writeInt32BE(request.readInt32BE(8), 4)
      answer.writeInt32BE(offered.length, 10)
      for (const [index, range] of offered.entries()) for (const [at, value] of range.entries()) answer.writeInt16BE(value, 14 + index * 6 + at * 2) // prettier-ignore
      socket.write(answer)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = (): void => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return { port: (server.address() as AddressInfo).port, close }
} // prettier-ignore

describe('a scripted server that answers as', () => {
  // Fetch, ListOffsets, Metadata, …: the ranges of Kafka 1.1, and what a broker would say that has left the old ones behind.
  test.each([
    ['Kafka 1.1 would', [[1, 0, 7], [2, 0, 2], [3, 0, 5], [8, 0, 3], [9, 0, 3], [10, 0, 1], [11, 0, 2], [12, 0, 1], [13, 0, 1], [14, 0, 1], [18, 0, 1]], 'speaks Metadata in versions 0 to 5', 'Use Apache Kafka 2.4 or newer.'],
    ['a broker of the future may', [[1, 13, 20], [3, 12, 15]], 'speaks Metadata in versions 12 to 15', 'Update the hub.'],
    ['something that knows no groups would', [[1, 0, 12], [2, 0, 7], [3, 0, 12], [18, 0, 3]], 'does not know FindCoordinator', 'Use Apache Kafka 2.4 or newer.'],
  ] as const)('%s is refused by name: by the hub, its probe and its tools', async (_, offered, said, hint) => {
    const server = await startScripted(offered)
    try {
      const config = { brokers: [`127.0.0.1:${server.port}`] }
      await using source = new SourceRig(connector, config)
      const tools = await toolsOf(connector, config)
      for (const error of [await source.refused(), await refusal(source.source.probe(['x'], never)), await refusal(tools.peek([{ kind: 'topic', topic: 'x' }], never)), await refusal(tools.emitter?.(never))]) // prettier-ignore
        expect([error.code, error.canRetry, error.message, error.hint]).toEqual(['HUB_SOURCE_PROTOCOL', false, expect.stringContaining(said), hint]) // prettier-ignore
    } finally {
      server.close()
    }
  }) // prettier-ignore
})
