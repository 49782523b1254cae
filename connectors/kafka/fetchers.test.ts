// What is looked for again, at a real broker.

import { expect, test } from 'vitest'

import { instanceConfig, systemClock } from '../../src/sdk/index.ts'
import { LogRecord } from '../../test/conformance/recording.ts'
import { noKafka } from '../../test/servers/kafka.ts'
import { Cluster } from './cluster.ts'
import { Fetchers } from './fetchers.ts'
import { manifest } from './manifest.ts'
import { Partition } from './partition.ts'
import { KafkaRig } from './rig.ts'

const missing = await noKafka()

test.skipIf(missing !== undefined)(
  'what cannot be begun again yet is asked for again, and the rest goes on',
  async () => {
    await using kafka = await KafkaRig.start()
    const topic = await kafka.topic()
    const config = instanceConfig(manifest, { brokers: [kafka.server.bootstrap] })
    const stop = new AbortController()
    const cluster = new Cluster(config, 'test', systemClock, stop.signal)
    const partition = new Partition(topic, 0, 0n, null, 1)
    partition.takeAway()
    let calls = 0
    const fetchers = new Fetchers({
      config,
      cluster,
      clock: systemClock,
      log: new LogRecord(),
      stop: stop.signal,
      partitions: () => [partition],
      wantsMore: () => false,
      arrived: () => undefined,
      outOfRange: () => Promise.resolve(),
      returned: () => ((calls += 1) === 1 ? Promise.reject(new Error('the coordinator moves')) : Promise.resolve()),
      lost: (error) => expect.unreachable(error.message),
    })
    await fetchers.findLeaders()
    await expect.poll(() => calls, { timeout: 30_000 }).toBe(2)
    stop.abort()
    cluster.close()
  },
)
