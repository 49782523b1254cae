// `plan` and `lint`: what would be wired, and what is wrong with it. Touches no broker; lint touches no network at all.

import { existsSync } from 'node:fs'

import { buildWiring, diffWirings, reachFindings, viewWiring } from '../../discovery/index.ts'
import type { Finding, FixedReads, Wiring } from '../../discovery/index.ts'
import { checkHubConfig } from '../../hub/config.ts'
import type { ConfigFinding, HubConfig } from '../../hub/config.ts'
import { wiringOptions } from '../../hub/options.ts'
import { selfContainedTypes } from '../../hub/registry.ts'
import { HubError, parseSchedule, problemText } from '../../sdk/index.ts'
import { EXIT, counted, paint, printable, table } from '../output.ts'
import type { Output } from '../output.ts'
import { findingLine } from '../finding-line.ts'
import { changesText } from './plan-changes.ts'
import { planText, readPlan } from './plan-file.ts'
import { configOf, functionsOf, functionsOfStacks } from './sources.ts'
import type { SourceOptions } from './sources.ts'

export interface PlanOptions extends SourceOptions {
  /** A document that `plan --json` wrote earlier. */
  readonly against?: string
  readonly strict?: boolean
  readonly json?: boolean
}

/** @throws HubError when the configuration or the functions cannot be read */
export async function plan(options: PlanOptions, output: Output, env: NodeJS.ProcessEnv): Promise<number> {
  const config = await configOf(options, env, selfContainedTypes)
  const { snapshot, findings } = await functionsOf(options, config, env)
  const wiring = buildWiring(snapshot, wiringOptions(config))
  const all = [...findings, ...wiring.findings, ...reachFindings(wiring, fixedReads(config))]
  if (options.against !== undefined) {
    const changes = diffWirings(readPlan(options.against), viewWiring(wiring))
    if (options.json === true) output.write(`${JSON.stringify({ changes, findings: all }, null, 2)}\n`)
    else {
      output.write(changesText(changes, output.color))
      for (const finding of all) output.write(findingLine(finding, output.color))
    }
  } else if (options.json === true) output.write(planText(config, wiring, all, nextFires(wiring)))
  else printPlan(config, wiring, all, output)
  return verdict(all, options.strict)
}

function fixedReads({ instances }: HubConfig): readonly FixedReads[] {
  return instances.flatMap(({ name, manifest, terms, source }) => {
    const topics = manifest.reads?.(source)
    return topics === undefined ? [] : [{ instance: name, syntax: terms.capabilities.topicSyntax, topics }]
  })
}

/** Warnings count only where somebody asks for it. */
function verdict(findings: readonly Finding[], strict: boolean | undefined): number {
  return findings.some(({ level }) => strict === true || level === 'error') ? EXIT.problems : EXIT.ok
}

export interface LintOptions {
  readonly config?: string
  readonly stack?: readonly string[]
  readonly strict?: boolean
  readonly json?: boolean
}

/** Without options: hub.yaml and stack.yaml here. @throws HubError HUB_CONFIG_UNREADABLE, HUB_USAGE when there is nothing to check */
export async function lint(given: LintOptions, output: Output, env: NodeJS.ProcessEnv): Promise<number> {
  const options = given.config === undefined && given.stack === undefined ? { ...given, ...filesHere() } : given
  const checked = await checkHubConfig({
    env: {},
    readSecretFiles: false,
    ...(options.config === undefined ? { types: await selfContainedTypes() } : { file: options.config }),
  })
  const stacks = options.stack === undefined ? undefined : functionsOfStacks(options.stack, env)
  const wiring =
    checked.config === undefined || stacks === undefined
      ? undefined
      : buildWiring(stacks.snapshot, wiringOptions(checked.config))
  const reach =
    wiring === undefined || checked.config === undefined ? [] : reachFindings(wiring, fixedReads(checked.config))
  const findings = [...(stacks?.findings ?? []), ...(wiring?.findings ?? []), ...reach]
  if (options.json === true)
    output.write(`${JSON.stringify({ configuration: checked.findings, functions: findings }, null, 2)}\n`)
  else {
    for (const finding of checked.findings)
      output.write(configLine(finding, options.config ?? 'environment', output.color))
    for (const finding of findings) output.write(findingLine(finding, output.color))
    if (checked.findings.length + findings.length === 0)
      output.write(`${paint(output.color, 'green', 'ok')}: nothing to correct\n`)
  }
  return checked.findings.length > 0 ? EXIT.problems : verdict(findings, options.strict)
}

function filesHere(): LintOptions {
  const config = ['hub.yaml', 'hub.yml'].find((name) => existsSync(name))
  const stack = ['stack.yaml', 'stack.yml'].find((name) => existsSync(name))
  if (config === undefined && stack === undefined)
    throw new HubError('HUB_USAGE', 'there is no hub.yaml and no stack.yaml here to check', {
      hint: 'Name files: connector-hub lint -c hub.yaml --stack stack.yaml.',
    })
  return { ...(config === undefined ? {} : { config }), ...(stack === undefined ? {} : { stack: [stack] }) }
}

function printPlan(config: HubConfig, wiring: Wiring, findings: readonly Finding[], output: Output): void {
  for (const { name, type, trigger, triggers } of wiring.instances) {
    const title = name === type ? name : `${name} (${type})`
    const guarantee = config.instances.find((instance) => instance.name === name)?.terms.guarantee ?? ''
    output.write(`\n${paint(output.color, 'bold', title)}  ${guarantee}  ${counted(triggers.length, 'trigger')}\n`)
    if (triggers.length === 0) continue
    const rows = triggers.map(({ pattern, function: to, settings }) => [
      `  ${pattern}`,
      to,
      settings.mode,
      `${settings.retry.attempts} retries`,
      settings.filter?.expression ?? '',
    ])
    output.write(
      table(
        [trigger === 'schedule' ? '  SCHEDULE' : '  TOPIC', 'FUNCTION', 'MODE', 'RETRY', 'FILTER'],
        rows,
        output.color,
      ),
    )
  }
  const fires = nextFires(wiring)
  if (fires.length > 0) output.write(`\n${table(['NEXT FIRE (UTC)', 'FUNCTION', 'SCHEDULE'], fires.map(({ at, function: to, schedule }) => [at ?? 'never', to, schedule]), output.color)}`) // prettier-ignore
  if (wiring.idle.length > 0) {
    output.write(`\n${paint(output.color, 'bold', 'Not triggered')}\n`)
    for (const { function: name, reason } of wiring.idle) output.write(`  ${printable(`${name}: ${reason}`)}\n`)
  }
  if (findings.length > 0) output.write('\n')
  for (const finding of findings) output.write(findingLine(finding, output.color))
  output.write(
    `\n${counted(wiring.triggers, 'trigger')} of ${counted(wiring.functions, 'function')}, ${counted(findings.length, 'finding')}\n`,
  )
}

function nextFires(
  wiring: Wiring,
): readonly { readonly at: string | undefined; readonly function: string; readonly schedule: string }[] {
  const nowMs = Date.now()
  return wiring.instances
    .flatMap(({ subscriptions }) => subscriptions.filter((subscription) => subscription.kind === 'schedule'))
    .map(({ function: name, expression }) => ({
      atMs: parseSchedule(expression).next(nowMs),
      function: name,
      schedule: expression,
    }))
    .sort((left, right) => (left.atMs ?? Infinity) - (right.atMs ?? Infinity))
    .map(({ atMs, ...fire }) => ({ at: atMs === undefined ? undefined : new Date(atMs).toISOString(), ...fire }))
}

function configLine(finding: ConfigFinding, file: string, color: boolean): string {
  const at = finding.line === undefined ? file : `${file}:${finding.line}:${finding.column}`
  return `${printable(at)}: ${paint(color, 'red', 'error')} HUB_CONFIG_INVALID: ${printable(problemText(finding))}\n`
}
