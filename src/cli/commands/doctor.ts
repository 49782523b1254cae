// `doctor`: what of a configuration works from here, and how what does not is mended.

import { buildWiring } from '../../discovery/index.ts'
import type { Wiring } from '../../discovery/index.ts'
import { checkClock, checkConnectors, checkState } from '../../hub/checkup.ts'
import type { Check } from '../../hub/checkup.ts'
import { readHubConfig } from '../../hub/config.ts'
import type { HubConfig } from '../../hub/config.ts'
import { wiringOptions } from '../../hub/hub.ts'
import { asHubError, redactUrl } from '../../sdk/index.ts'
import { EXIT, counted, paint, printable, sentence } from '../output.ts'
import type { Output, Style } from '../output.ts'
import { functionsOf } from './sources.ts'
import type { SourceOptions } from './sources.ts'

export interface DoctorOptions extends SourceOptions {
  readonly json?: boolean
}

const STYLES: Readonly<Record<Check['outcome'], Style>> = { ok: 'green', warning: 'yellow', failed: 'red' }
/** Lines are written as they come, so what is longer sticks out. */
const SUBJECT_WIDTH = 14
const UNREACHABLE: readonly (string | undefined)[] = ['HUB_DISCOVERY_FAILED', 'HUB_SOURCE_UNREACHABLE']

/** @returns EXIT.unreachable when all that fails is out of reach, EXIT.problems for any other failure. @throws HubError of the configuration */
export async function doctor(
  types: readonly string[],
  options: DoctorOptions,
  output: Output,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  // prettier-ignore
  const config = await readHubConfig({
    env,
    ...(options.gateway === undefined ? {} : { gatewayUrl: options.gateway }),
    ...(options.config === undefined ? { types } : { file: options.config }),
  })
  const checks: Check[] = []
  const say = (...more: readonly Check[]): void => {
    checks.push(...more)
    if (options.json !== true) for (const check of more) output.write(checkLine(check, output.color))
  }
  const wiring = await checkFunctions(options, config, env, say)
  if (options.stack === undefined) {
    const clock = await checkClock(config.settings.gateway.url)
    if (clock !== undefined) say(clock)
  }
  say(checkState(config.settings.stateDir))
  say(...(await checkConnectors(config, wiring)))
  const failed = checks.filter(({ outcome }) => outcome === 'failed')
  const warnings = checks.filter(({ outcome }) => outcome === 'warning').length
  if (options.json === true) output.write(`${JSON.stringify({ checks }, null, 2)}\n`)
  else output.write(`\n${counted(checks.length, 'check')}: ${failed.length} failed, ${counted(warnings, 'warning')}\n`)
  if (failed.length === 0) return EXIT.ok
  return failed.every(({ code }) => UNREACHABLE.includes(code)) ? EXIT.unreachable : EXIT.problems
}

async function checkFunctions(
  options: DoctorOptions,
  config: HubConfig,
  env: NodeJS.ProcessEnv,
  say: (...checks: readonly Check[]) => void,
): Promise<Wiring | undefined> {
  const subject = options.stack === undefined ? 'gateway' : 'functions'
  const from = options.stack === undefined ? redactUrl(config.settings.gateway.url) : options.stack.join(', ')
  try {
    const { snapshot, findings } = await functionsOf(options, config, env)
    const wiring = buildWiring(snapshot, wiringOptions(config))
    say({ subject, outcome: 'ok', detail: `${from}: ${counted(wiring.functions, 'function')}, ${counted(wiring.triggers, 'trigger')}` }) // prettier-ignore
    for (const { level, code, function: name, annotation, message, hint } of [...findings, ...wiring.findings])
      say({ subject: [name, annotation].filter((part) => part !== '').join(' '), outcome: level === 'error' ? 'failed' : 'warning', detail: message, code, fix: hint }) // prettier-ignore
    return wiring
  } catch (error) {
    const { code, message, hint } = asHubError(error)
    say({ subject, outcome: 'failed', detail: message, code, fix: hint })
    return undefined
  }
}

function checkLine({ subject, outcome, detail, code, fix }: Check, color: boolean): string {
  const said = [code === undefined ? '' : `${code}: `, sentence(detail), fix === undefined ? '' : ` ${fix}`].join('')
  return `${paint(color, STYLES[outcome], outcome.padEnd(7))}  ${paint(color, 'bold', printable(subject.padEnd(SUBJECT_WIDTH)))}  ${printable(said)}\n`
}
