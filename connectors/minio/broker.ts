// MinIO's side of the conformance suite: a real server, its webhook targets or its listen API, driven by a plain S3 client.

import { crc32 } from 'node:zlib'

import { BrokerUnavailable } from '../../test/conformance/contract.ts'
import type { SourceScope, TestBroker, TestEvent } from '../../test/conformance/contract.ts'
import { ServerUnavailable } from '../../test/servers/provide.ts'
import { Stand, tagOfBody } from './rig.ts'

/** One event of each is on its way at a time: more than any scenario leaves unsettled. */
const TARGETS = 16
let topics = 0

export type Terms = 'settled' | 'stored' | 'listen'

export async function startMinioBroker(terms: Terms): Promise<TestBroker> {
  const isListen = terms === 'listen'
  const stand = await Stand.open(isListen ? {} : { targets: TARGETS, replicas: 2 }).catch((error: unknown) => {
    throw error instanceof ServerUnavailable ? new BrokerUnavailable(error.message) : error
  })
  const config = ({ replica }: SourceScope): Record<string, unknown> => ({
    ...stand.config(replica),
    ...(isListen ? { receive: 'listen' } : { acknowledge: terms, configureBucket: false }),
  })
  let published = 0
  /** Events of one key are about one object, so that one target has them all. */
  const objectOf = ({ key, tag }: TestEvent): string => {
    published += key === undefined ? 1 : 0
    const target = key === undefined ? published : crc32(key)
    return `t${target % TARGETS}.${key ?? tag}`
  }
  return {
    name: `MinIO ${stand.minio.version}`,
    features: {
      bodies: 'generated',
      emptyBody: false,
      bodyBytesMax: 0,
      headers: [],
      keys: true,
      ordered: true,
      countsAttempts: false,
      stableIds: !isListen,
      // MinIO calls the hub: there is no connection to lose.
      survivesRestart: false,
      retryDelayMs: 100,
    },
    config,
    ...(terms === 'stored' ? {} : {
      badCredentials: (scope) => ({ ...config(scope), ...(isListen ? {} : { configureBucket: true }), secretKey: 'wrong' }),
      badTls: (scope) => ({ 'plain-text port': { ...config(scope), ...(isListen ? {} : { configureBucket: true }), url: stand.minio.url.replace('http:', 'https:') } }),
    }),
    topic: async (name) => {
      const bucket = await stand.bucket(`conformance-${(topics += 1)}-${name}`.replace(/[^a-z0-9-]/g, '-').slice(0, 63))
      if (!isListen) await stand.notify(bucket)
      return `${bucket}:s3:ObjectCreated:Put`
    },
    publish: async (topic, events) => {
      const [bucket = ''] = topic.split(':')
      for (const event of events) await stand.put(bucket, objectOf(event), '-', event.tag)
    },
    tagOf: ({ body }) => tagOfBody(body),
    stop: () => stand.minio.kill(),
    start: () => stand.minio.start(),
    [Symbol.asyncDispose]: () => stand[Symbol.asyncDispose](),
  } // prettier-ignore
}
