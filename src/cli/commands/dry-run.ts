// `dry-run`: what the events at the brokers would do. Looks at them without consuming any, and invokes nothing.

import { buildWiring } from '../../discovery/index.ts'
import type { Wiring } from '../../discovery/index.ts'
import type { HubConfig, InstanceConfig } from '../../hub/config.ts'
import { chosenInstances, wiringOptions } from '../../hub/options.ts'
import { openTools } from '../../hub/tools.ts'
import { systemClock } from '../../sdk/index.ts'
import type { EventMessage } from '../../sdk/index.ts'
import { durationOf, wholeNumber } from '../numbers.ts'
import { EXIT, errorLine, exitCode } from '../output.ts'
import type { Output } from '../output.ts'
import { personLog } from '../person-log.ts'
import { Preview, jsonReport, textReport } from '../preview.ts'
import type { Report } from '../preview.ts'
import { interruption } from '../signals.ts'
import { configOf, functionsOf } from './sources.ts'
import type { SourceOptions } from './sources.ts'

export interface DryRunOptions extends SourceOptions {
  readonly count?: string
  readonly for: string
  readonly json?: boolean
}

/** @returns EXIT.interrupted after Ctrl-C, else that of the first broker that could not be looked at. @throws HubError */
export async function dryRun(
  names: readonly string[],
  options: DryRunOptions,
  output: Output,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const eventsMax = options.count === undefined ? Infinity : wholeNumber('--count', options.count)
  const forMs = durationOf('--for', options.for, { example: '30s' })
  const config = chosenInstances(await configOf(options, env, () => names), names)
  const { snapshot } = await functionsOf(options, config, env)
  const wiring = buildWiring(snapshot, wiringOptions(config))
  const report = options.json === true ? jsonReport(output) : textReport(output)
  const interrupted = interruption()
  const limit = new AbortController()
  const timer = systemClock.after(forMs, () => limit.abort())
  const preview = new Preview(config, wiring, report)
  const look: Look = {
    config,
    wiring,
    output,
    report,
    signal: AbortSignal.any([interrupted.signal, limit.signal]),
    onEvent(instance, message) {
      if (preview.totals.events >= eventsMax) return
      preview.show(instance, message)
      if (preview.totals.events >= eventsMax) limit.abort()
    },
  }
  const codes = await Promise.all(config.instances.map((instance) => lookAt(instance, look)))
  timer.cancel()
  report.end(preview.totals)
  return interrupted.code ?? codes.find((code) => code !== EXIT.ok) ?? EXIT.ok
}

interface Look {
  readonly config: HubConfig
  readonly wiring: Wiring
  readonly output: Output
  readonly report: Report
  readonly signal: AbortSignal
  readonly onEvent: (instance: InstanceConfig, message: EventMessage) => void
}

/** Until there is enough. A broker that fails does not end the others. @returns an exit code */
async function lookAt(
  instance: InstanceConfig,
  { config, wiring, output, report, signal, onEvent }: Look,
): Promise<number> {
  const wanted = wiring.instance(instance.name)?.subscriptions ?? []
  if (wanted.length === 0) {
    report.begin(instance.name, 'no function asks for anything of it', undefined)
    return EXIT.ok
  }
  try {
    const tools = await openTools(config, instance, personLog(output))
    await using peek = await tools.peek(wanted, signal)
    report.begin(instance.name, peek.means, peek.caution)
    for await (const message of peek.events()) {
      if (signal.aborted) break
      onEvent(instance, message)
    }
    return EXIT.ok
  } catch (error) {
    if (signal.aborted) return EXIT.ok
    output.warn(errorLine(error, output.warnColor))
    return exitCode(error)
  }
}
