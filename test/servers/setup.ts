// Sets up the real servers of the tests that are missing, and the programs that examples call, all or those that are named:
// `npm run servers:setup [kafka] [mc] …`. Idempotent. Starts nothing that stays. Called by people, by CI and by the tests' own start.

import type { ProgramName } from '../programs/program.ts'
import { PROGRAMS } from '../programs/programs.ts'
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

type Name = ServerName | ProgramName

export type SetUp = { readonly name: Name; readonly seconds: string } & (
  | { readonly provided: Provided }
  | { readonly reason: string }
)

const SERVERS: Readonly<Record<ServerName, (progress: Progress) => Promise<Provided>>> = {
  nats: setUpNats,
  minio: setUpMinio,
  kafka: provideKafka,
  elasticmq: provideElasticMq,
  rabbitmq: setUpRabbit,
  mosquitto: setUpMosquitto,
  chromium: setUpChromium,
}

const SETUPS: Readonly<Record<Name, (progress: Progress) => Promise<Provided>>> = { ...SERVERS, ...PROGRAMS }

/** Where the connector that a server is for has another name. */
const CONNECTORS: Readonly<Partial<Record<Name, string>>> = { elasticmq: 'sqs', mosquitto: 'mqtt' }

/** Servers and programs. */
export const NAMES = Object.keys(SETUPS) as readonly Name[]

/** All at once. What cannot be had is a result with the reason, not a throw. */
export async function setUpAll(names: readonly Name[], say: Progress): Promise<readonly SetUp[]> {
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

/** Of each server and of no program: version and where from, or why there is none. */
export function serverRows(results: readonly SetUp[]): readonly ServerRow[] {
  return rows(results.filter(({ name }) => name in SERVERS))
}

function rows(results: readonly SetUp[]): readonly ServerRow[] {
  return results.map((result) => ({
    name: result.name,
    connector: CONNECTORS[result.name] ?? result.name,
    version: 'provided' in result ? result.provided.version : 'MISSING',
    origin: 'provided' in result ? result.provided.origin : result.reason,
  }))
}

/** One line each: name, version, where from, seconds. */
export function table(results: readonly SetUp[]): string {
  return aligned(rows(results).map(({ name, version, origin }, index) => [name, version, origin, results[index]?.seconds ?? ''])) // prettier-ignore
}

async function main(args: readonly string[]): Promise<void> {
  const unknown = args.find((name) => !NAMES.some((known) => known === name))
  if (unknown !== undefined) throw new Error(`nothing is called "${unknown}"; there are: ${NAMES.join(', ')}`)
  const results = await setUpAll(args.length === 0 ? NAMES : (args as Name[]), (line) => console.error(line)) // prettier-ignore
  console.log(table(results))
  if (results.some((result) => 'reason' in result)) process.exitCode = 1
}

if (import.meta.main) await main(process.argv.slice(2))
