// A source of this connector under test at a stand, and what the files of tests share.

import { afterAll, beforeAll, beforeEach } from 'vitest'

import { noMinio } from '../../test/servers/minio.ts'
import { SourceRig } from '../../test/source-rig.ts'
import type { RigOptions } from '../../test/source-rig.ts'
import connector from './connector.ts'
import { Stand } from './stand.ts'
import type { StandOptions } from './stand.ts'

export { MemoryState, ack, until } from '../../test/source-rig.ts'

export function sourceAt(
  stand: Stand,
  config: Readonly<Record<string, unknown>> = {},
  options?: RigOptions,
): SourceRig {
  return new SourceRig(connector, { ...stand.config(), ...config }, options)
}

/** The keys of what has arrived, as functions get them in their headers. */
export function keysOf({ arrivals }: SourceRig): readonly (string | undefined)[] {
  return arrivals.map(({ message: { headers } }) => {
    const key = headers['X-Minio-Key']
    return headers['X-Minio-Key-Enc'] === 'b64' ? Buffer.from(key ?? '', 'base64').toString() : key
  })
}

let buckets = 0

export function bucketName(): string {
  return `bucket-${process.pid}-${(buckets += 1)}`
}

/** One server for a file of tests, which `open` is told of before the first one runs. */
export async function standForFile(options: StandOptions, open: (stand: Stand) => void): Promise<void> {
  const missing = await noMinio()
  let stand: Stand | undefined
  beforeAll(async () => {
    if (missing !== undefined) return
    stand = await Stand.open(options)
    open(stand)
  }, 120_000)
  afterAll(async () => await stand?.[Symbol.asyncDispose]())
  beforeEach((context) => context.skip(missing !== undefined, missing))
}
