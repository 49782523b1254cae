// `gateway`: the bundled gateway alone, running the functions of stack files.

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'

import type { DiscoveryEvents } from '../../discovery/index.ts'
import { startGateway } from '../../gateway/gateway.ts'
import type { FunctionSpec, GatewayLog } from '../../gateway/gateway.ts'
import { Images } from '../../gateway/images.ts'
import { SECRET_MOUNT_PATH, readGatewaySettings } from '../../gateway/settings.ts'
import { readHubConfig } from '../../hub/config.ts'
import { HubError, formatDuration, parseDuration } from '../../sdk/index.ts'
import { findingLine } from '../finding-line.ts'
import { functionChoice } from '../function-choice.ts'
import type { ChoiceOptions } from '../function-choice.ts'
import { withSettings } from '../gateway-flags.ts'
import { EXIT, printable } from '../output.ts'
import type { Output } from '../output.ts'
import { personLog } from '../person-log.ts'
import { RequestLines } from '../request-lines.ts'
import { untilSignal } from '../signals.ts'
import { StackDeployment, chosenFunctions } from '../stack-deployment.ts'
import { lockState } from '../state-lock.ts'
import { viewFor } from '../view.ts'
import type { View } from '../view.ts'

export interface GatewayCommandOptions extends ChoiceOptions {
  readonly stack?: readonly string[]
  /** Follow the stack files and the code of the functions. */
  readonly watch: boolean
  readonly host: string
  readonly port: string
  /** Default: that of OpenFaaS. */
  readonly metricsPort?: string
  readonly stateDir: string
  readonly secretsDir: string
  readonly drainTimeout: string
  /** A line for each call. */
  readonly accessLog: boolean
  readonly json?: boolean
}

/** Where OpenFaaS's gateway has its metrics. */
const METRICS_PORT = 8082
const DRAIN_MAX_MS = 3_600_000

/** As faas-cli finds them by itself; a gateway knows only what it is told or what clients deploy. */
const STACK_FILES = ['stack.yaml', 'stack.yml']

/** @throws HubError */
export async function gateway(options: GatewayCommandOptions, output: Output, env: NodeJS.ProcessEnv): Promise<number> {
  const view = viewFor(output, options.json)
  const choice = functionChoice(options)
  const { settings, notes } = readGatewaySettings(withSettings(env, { ...options }))
  const drainMs = drainOf(options.drainTimeout)
  const ports = portsOf(options)
  for (const note of notes) personLog(output).warn('', note)
  const unread = options.stack === undefined ? STACK_FILES.find((name) => existsSync(name)) : undefined
  if (unread !== undefined)
    personLog(output).warn('', `${unread} of this folder is not read: --stack ${unread} runs its functions`)
  const stack = { paths: options.stack ?? [], env, namespace: settings.namespace, choice }
  // Before anything is started: what is wrong with a file is not about ports.
  chosenFunctions(stack)
  const { auth } = await readHubConfig({ env: credentialsOf(env) })
  const stateDir = resolve(options.stateDir)
  using held = new DisposableStack()
  held.use(lockState(stateDir))
  const stop = untilSignal()
  const lines = new RequestLines(output, (all) => view.requests(all))
  const images = new Images({ directory: process.cwd() })
  await using running = await startGateway({
    ...settings,
    ...ports,
    // What was queued before finds its functions.
    holdsQueue: true,
    host: options.host,
    stateDir,
    sharedSecretsDirectory: resolve(options.secretsDir),
    drainMs,
    hotReload: options.watch,
    images,
    log: gatewayLog(view, lines, options.accessLog),
    ...(auth === undefined ? {} : { auth }),
  })
  const deployment = new StackDeployment({
    ...stack,
    gateway: running,
    images,
    env: { ...env, HUB_GATEWAY_URL: running.address },
    output,
  })
  await deployment.deploy()
  running.startQueue()
  view.started([
    ['gateway', running.address],
    ['portal', `${running.address}/ui/`],
    ['metrics', `${running.metricsAddress}/metrics`],
    ...deployment.functions.map((spec): [string, string] => [spec.name, functionUrl(running.address, spec, settings.namespace)]), // prettier-ignore
  ])
  const watcher = deployment.watcher(discoveryNotes(output), options.watch)
  watcher.start(({ findings }) => {
    for (const finding of findings) output.warn(findingLine(finding, output.warnColor))
  })
  const signal = await stop
  output.warn(`${signal}: letting what runs end, at most ${formatDuration(drainMs)}; once more to stop at once\n`)
  await watcher.close()
  await running.close()
  lines.flush()
  return signal === 'SIGINT' ? EXIT.interrupted : EXIT.ok
}

/**
 * basic_auth with secret files as OpenFaaS has it, or given outright: the names by which `run` finds them, too. All else that
 * `run` reads means something else to a gateway.
 */
function credentialsOf(env: NodeJS.ProcessEnv): Readonly<Record<string, string | undefined>> {
  const { basic_auth, secret_mount_path = SECRET_MOUNT_PATH } = env
  const own = Object.entries(env).filter(([name]) => name.startsWith('HUB_GATEWAY_AUTH_'))
  return { ...Object.fromEntries(own), basic_auth, secret_mount_path }
}

/** Beside a free port for calls, one for metrics is free, too. @throws HubError HUB_USAGE */
function portsOf({ port: text, metricsPort }: GatewayCommandOptions): {
  readonly port: number
  readonly metricsPort: number
} {
  const port = portOf(text)
  const usual = port === 0 ? 0 : METRICS_PORT
  return { port, metricsPort: metricsPort === undefined ? usual : portOf(metricsPort, '--metrics-port') }
}

function functionUrl(address: string, { name, namespace }: FunctionSpec, usual: string): string {
  return `${address}/function/${namespace === usual ? name : `${name}.${namespace}`}`
}

/** Once for each kind of failure: the files are tried again every two seconds. */
function discoveryNotes(output: Output): DiscoveryEvents {
  let said = ''
  return {
    discoveryFailed(code, message) {
      const line = `${code}: ${message}; what was deployed before stays`
      if (line !== said) output.warn(`${printable(line)}\n`)
      said = line
    },
    discoveryRecovered() {
      said = ''
      output.warn('the stack files can be read again\n')
    },
  }
}

/** What functions print, and what the gateway has to say about them and, given lines for it, about calls. */
export function gatewayLog(view: View, lines: RequestLines | undefined, accessLog: boolean): GatewayLog {
  return {
    request: (line) => lines?.add(line),
    ...(accessLog ? { access: (line: string) => lines?.add(line) } : {}),
    functionOutput: (name, line) => view.functionOutput(name, line),
    lifecycle: (name, line) => view.functionOutput(name, line),
  }
}

/** @throws HubError HUB_USAGE */
function drainOf(text: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined && ms <= DRAIN_MAX_MS) return ms
  throw new HubError('HUB_USAGE', `--drain-timeout ${text} is not a duration up to 1h`, { hint: 'Write 25s or 1m30s.' })
}

/** @throws HubError HUB_USAGE */
export function portOf(text: string, option = '--port'): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new HubError('HUB_USAGE', `${option} ${text} is not a port`, {
      hint: 'Write a number from 0 (any free one) to 65535.',
    })
  return port
}
