// Sets up the real servers of the tests that are missing, all or those that are named: `npm run servers:setup [kafka] [nats] …`.
// Idempotent. Starts no server. Called by people, by CI and by the tests' own start.

import { aligned } from '../summary.ts'
import type { ServerRow } from '../summary.ts'
import { setUpChromium } from './chromium.ts'
import { provideElasticMq } from './elasticmq.ts'
import { provideKafka } from './kafka.ts'
import { setUpMinio } from './minio-setup.ts'
import { setUpMosquitto } from './mosquitto.ts'
import { setUpNats } from './nats-setup.ts'
import { secondsSince, ServerUnavailable } from './provide.ts'
import type { Progress, Provided, ServerName } from './provide.ts'
import { setUpRabbit } from './rabbitmq-setup.ts'

export type SetUp = { readonly name: ServerName; readonly seconds: string } & (
  | { readonly provided: Provided }
  | { readonly reason: string }
)

const SETUPS: Readonly<Record<ServerName, (progress: Progress) => Promise<Provided>>> = {
  nats: setUpNats,
  minio: setUpMinio,
  kafka: provideKafka,
  elasticmq: provideElasticMq,
  rabbitmq: setUpRabbit,
  mosquitto: setUpMosquitto,
  chromium: setUpChromium,
}

/** Where the connector that a server is for has another name. */
const CONNECTORS: Readonly<Partial<Record<ServerName, string>>> = { elasticmq: 'sqs', mosquitto: 'mqtt' }

export const SERVERS = Object.keys(SETUPS) as readonly ServerName[]

/** All at once. What cannot be had is a result with the reason, not a throw. */
export async function setUpServers(names: readonly ServerName[], say: Progress): Promise<readonly SetUp[]> {
  return await Promise.all(
    names.map(async (name): Promise<SetUp> => {
      const began = Date.now()
      try {
        const provided = await SETUPS[name]((line) => say(`${name}: ${line}`))
        return { name, seconds: secondsSince(began), provided }
      } catch (error) {
        if (!(error instanceof ServerUnavailable)) throw error
        return { name, seconds: secondsSince(began), reason: error.message }
      }
    }),
  )
}

/** Of each server: version and where from, or why there is none. */
export function serverRows(results: readonly SetUp[]): readonly ServerRow[] {
  return results.map((result) => ({
    name: result.name,
    connector: CONNECTORS[result.name] ?? result.name,
    version: 'provided' in result ? result.provided.version : 'MISSING',
    origin: 'provided' in result ? result.provided.origin : result.reason,
  }))
}

/** One line a server: name, version, where from, seconds. */
export function table(results: readonly SetUp[]): string {
  return aligned(serverRows(results).map(({ name, version, origin }, index) => [name, version, origin, results[index]?.seconds ?? ''])) // prettier-ignore
}

async function main(args: readonly string[]): Promise<void> {
  const unknown = args.find((name) => !SERVERS.some((known) => known === name))
  if (unknown !== undefined) throw new Error(`no server is called "${unknown}"; there are: ${SERVERS.join(', ')}`)
  const results = await setUpServers(args.length === 0 ? SERVERS : (args as ServerName[]), (line) => console.error(line)) // prettier-ignore
  console.log(table(results))
  if (results.some((result) => 'reason' in result)) process.exitCode = 1
}

if (import.meta.main) await main(process.argv.slice(2))
