// Sets up the real servers of the tests that are missing, and the programs that examples call, all or those that are named:
// `npm run servers:setup -- [--with kubernetes] [kafka] [mc] …`. Idempotent. Starts nothing that stays. Called by people, by CI
// and by the tests' own start.

import { parseArgs } from 'node:util'

import { setUpHelm, setUpKubectl } from '../programs/kubernetes-tools.ts'
import type { ProgramName } from '../programs/program.ts'
import { PROGRAMS } from '../programs/programs.ts'
import { setUpPromtool } from '../programs/promtool.ts'
import { aligned } from '../summary.ts'
import type { ServerRow } from '../summary.ts'
import { setUpChromium } from './chromium.ts'
import { provideElasticMq } from './elasticmq.ts'
import { provideKafka } from './kafka.ts'
import { setUpKubernetes } from './kubernetes-setup.ts'
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
  kubernetes: setUpKubernetes,
}

/** Tests only look for these. */
const LOOKED_FOR = { kubectl: setUpKubectl, helm: setUpHelm, promtool: setUpPromtool }

const SETUPS: Readonly<Record<Name, (progress: Progress) => Promise<Provided>>> = {
  ...SERVERS,
  ...PROGRAMS,
  ...LOOKED_FOR,
}

/** Where the connector that a server is for has another name. */
const CONNECTORS: Readonly<Partial<Record<Name, string>>> = { elasticmq: 'sqs', mosquitto: 'mqtt' }

const ALL = Object.keys(SETUPS) as readonly Name[]

/** Long to build, and needed by nothing but `npm run test:kubernetes`: set up only where it is asked for. */
const LONG: readonly Name[] = ['kubernetes', 'kubectl', 'helm']

/** Servers and programs of `npm run test:kubernetes`. */
export const KUBERNETES_NAMES: readonly Name[] = [...LONG, 'promtool']

/** Servers and programs of `npm test`. */
export const NAMES: readonly Name[] = ALL.filter((name) => !LONG.includes(name))

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
  const results = await setUpAll(namesOf(args), (line) => console.error(line))
  console.log(table(results))
  if (results.some((result) => 'reason' in result)) process.exitCode = 1
}

/** @throws Error for what is not known */
export function namesOf(args: readonly string[]): readonly Name[] {
  const { values, positionals } = parseArgs({ args: [...args], options: { with: { type: 'string', multiple: true } }, allowPositionals: true }) // prettier-ignore
  const group = values.with?.find((name) => name !== 'kubernetes')
  if (group !== undefined) throw new Error(`--with takes "kubernetes", not "${group}"`)
  const unknown = positionals.find((name) => !ALL.some((known) => known === name))
  if (unknown !== undefined) throw new Error(`nothing is called "${unknown}"; there are: ${ALL.join(', ')}`)
  const named = positionals.length === 0 ? NAMES : (positionals as Name[])
  return values.with === undefined ? named : [...new Set([...named, ...KUBERNETES_NAMES])]
}

if (import.meta.main) await main(process.argv.slice(2))
