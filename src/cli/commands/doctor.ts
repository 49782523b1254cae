// `doctor`: what of a configuration works from here, and how what does not is mended.

import { buildWiring } from '../../discovery/index.ts'
import type { Wiring } from '../../discovery/index.ts'
import { checkClock, checkGatewayReached, checkState, failedCheck } from '../../hub/checkup.ts'
import type { Check } from '../../hub/checkup.ts'
import type { HubConfig } from '../../hub/config.ts'
import { checkConnector } from '../../hub/connector-check.ts'
import { wiringOptions } from '../../hub/options.ts'
import { redactUrl } from '../../sdk/index.ts'
import { durationOf } from '../numbers.ts'
import { EXIT, counted, paint, printable, sentence } from '../output.ts'
import type { Output, Style } from '../output.ts'
import { Waiting } from '../waiting.ts'
import { configOf, functionsOf } from './sources.ts'
import type { SourceOptions } from './sources.ts'

export interface DoctorOptions extends SourceOptions {
  readonly timeout?: string
  readonly json?: boolean
}

type Say = (...checks: readonly Check[]) => void

const STYLES: Readonly<Record<Check['outcome'], Style>> = { ok: 'green', warning: 'yellow', failed: 'red' }
const OUTCOME_WIDTH = 7
/** Lines are written as they come, so what is longer sticks out. */
const SUBJECT_WIDTH = 14
const TIMEOUT = '20s'
const UNREACHABLE: readonly (string | undefined)[] = [
  'HUB_DISCOVERY_FAILED',
  'HUB_KUBERNETES_UNREACHABLE',
  'HUB_GATEWAY_UNREACHABLE',
  'HUB_SOURCE_UNREACHABLE',
]

/** @returns EXIT.unreachable when all that fails is out of reach, EXIT.problems for any other failure. @throws HubError of the configuration */
export async function doctor(
  types: readonly string[],
  options: DoctorOptions,
  output: Output,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const timeoutMs = durationOf('--timeout', options.timeout ?? TIMEOUT, { minMs: 1, example: TIMEOUT })
  // prettier-ignore
  const config = await configOf(options, env, () => types)
  const isText = options.json !== true
  using waiting = new Waiting(output, isText)
  const report = new Report((check) => {
    if (isText) waiting.write(checkLine(check, output.color))
  })
  await checkAll(options, config, env, { timeoutMs, waiting, report })
  const { checks } = report
  const failed = checks.filter(({ outcome }) => outcome === 'failed')
  const warnings = checks.filter(({ outcome }) => outcome === 'warning').length
  if (isText)
    waiting.write(`\n${counted(checks.length, 'check')}: ${failed.length} failed, ${counted(warnings, 'warning')}\n`) // prettier-ignore
  else output.write(`${JSON.stringify({ checks }, null, 2)}\n`)
  if (failed.length === 0) return EXIT.ok
  return failed.every(({ code }) => UNREACHABLE.includes(code)) ? EXIT.unreachable : EXIT.problems
}

/** Each thing that is checked has a place; results come in any order, and are listed in that of the places. */
class Report {
  readonly #onCheck: (check: Check) => void
  readonly #places: Check[][] = []

  constructor(onCheck: (check: Check) => void) {
    this.#onCheck = onCheck
  }

  place(): Say {
    const place: Check[] = []
    this.#places.push(place)
    return (...checks) => {
      place.push(...checks)
      for (const check of checks) this.#onCheck(check)
    }
  }

  get checks(): readonly Check[] {
    return this.#places.flat()
  }
}

/** All at once: whatever is slow holds up nothing else. */
async function checkAll(
  options: DoctorOptions,
  config: HubConfig,
  env: NodeJS.ProcessEnv,
  { timeoutMs, waiting, report }: { readonly timeoutMs: number; readonly waiting: Waiting; readonly report: Report },
): Promise<void> {
  const { gateway, stateDir } = config.settings
  const ofGateway = options.stack === undefined
  const cluster = checksOfCluster(options, config, env, timeoutMs, report)
  const wiring = waiting.for(subjectOf(options, config), checkFunctions(options, inTime(config, timeoutMs), env, report.place())) // prettier-ignore
  const sayClock = report.place()
  const clock = ofGateway ? checkClock(gateway.url, timeoutMs) : Promise.resolve(undefined)
  report.place()(checkState(stateDir))
  const sayTurns = report.place()
  await Promise.all([
    wiring,
    cluster,
    checksOfTurns(config, env, timeoutMs, sayTurns),
    clock.then((check) => check !== undefined && sayClock(check)),
    ...config.instances.map((instance) =>
      waiting.for(instance.name, checkConnector(instance, wiring, { timeoutMs, say: report.place() })),
    ),
  ])
}

/** Of what discovery by a cluster needs; a gateway that lists nothing has to run the functions all the same. */
async function checksOfCluster(
  { stack }: DoctorOptions,
  { settings }: HubConfig,
  env: NodeJS.ProcessEnv,
  timeoutMs: number,
  report: Report,
): Promise<void> {
  const { discovery, gateway } = settings
  if (stack !== undefined || discovery === 'gateway') return
  const sayCluster = report.place()
  const sayGateway = report.place()
  const { checkCluster } = await import('../../hub/cluster-check.ts')
  await Promise.all([
    checkCluster(settings, env, { timeoutMs, say: sayCluster }),
    discovery === 'kubernetes' && checkGatewayReached(gateway.url, timeoutMs).then((check) => sayGateway(check)),
  ])
}

/** Of what replicas that take turns need. */
async function checksOfTurns(config: HubConfig, env: NodeJS.ProcessEnv, timeoutMs: number, say: Say): Promise<void> {
  if (!config.settings.leader.enabled) return
  const { checkTurns } = await import('../../hub/turn-check.ts')
  await checkTurns(config, env, { timeoutMs, say })
}

/** What functions are asked of. */
function subjectOf({ stack }: DoctorOptions, { settings: { discovery } }: HubConfig): string {
  if (stack !== undefined) return 'functions'
  return discovery === 'gateway' ? 'gateway' : 'kubernetes'
}

function inTime(config: HubConfig, timeoutMs: number): HubConfig {
  const { settings } = config
  const rebuildTimeout = Math.min(settings.gateway.rebuildTimeout, timeoutMs)
  return { ...config, settings: { ...settings, gateway: { ...settings.gateway, rebuildTimeout } } }
}

async function checkFunctions(
  options: DoctorOptions,
  config: HubConfig,
  env: NodeJS.ProcessEnv,
  say: Say,
): Promise<Wiring | undefined> {
  const subject = subjectOf(options, config)
  const { discovery, gateway } = config.settings
  const url = redactUrl(gateway.url)
  const online = discovery === 'gateway' ? url : discovery === 'kubernetes' ? 'the cluster' : `the cluster and ${url}`
  const from = options.stack === undefined ? online : options.stack.join(', ')
  try {
    const { snapshot, findings } = await functionsOf(options, config, env)
    const wiring = buildWiring(snapshot, wiringOptions(config))
    say({ subject, outcome: 'ok', detail: `${from}: ${counted(wiring.functions, 'function')}, ${counted(wiring.triggers, 'trigger')}` }) // prettier-ignore
    for (const { level, code, function: name, annotation, message, hint } of [...findings, ...wiring.findings])
      say({ subject: [name, annotation].filter((part) => part !== '').join(' '), outcome: level === 'error' ? 'failed' : 'warning', detail: message, code, fix: hint }) // prettier-ignore
    return wiring
  } catch (error) {
    say(failedCheck(subject, error))
    return undefined
  }
}

/** What is found, and below it how it is mended. */
function checkLine({ subject, outcome, detail, code, fix }: Check, color: boolean): string {
  const head = `${paint(color, STYLES[outcome], outcome.padEnd(OUTCOME_WIDTH))}  ${paint(color, 'bold', printable(subject.padEnd(SUBJECT_WIDTH)))}` // prettier-ignore
  const said = `${code === undefined ? '' : `${code}: `}${sentence(detail)}`
  const mended = fix === undefined ? '' : `${' '.repeat(OUTCOME_WIDTH + 2)}${paint(color, 'cyan', '→')} ${printable(fix)}\n` // prettier-ignore
  return `${head}  ${printable(said)}\n${mended}`
}
