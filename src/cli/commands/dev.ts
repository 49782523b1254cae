// `dev`: everything in one process, nothing to install: the bundled gateway with the functions of a stack file, embedded
// brokers, the hub, and a view of what happens.

import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { startGateway } from '../../gateway/gateway.ts'
import type { Gateway } from '../../gateway/gateway.ts'
import { Images } from '../../gateway/images.ts'
import { FUNCTION_NAMESPACE } from '../../gateway/settings.ts'
import { readHubConfig } from '../../hub/config.ts'
import { Hub } from '../../hub/hub.ts'
import { loadEmbedded, selfContainedTypes } from '../../hub/registry.ts'
import { HubError } from '../../sdk/index.ts'
import type { EmbeddedBroker } from '../../sdk/index.ts'
import { createLogger } from '../../telemetry/logger.ts'
import { functionChoice } from '../function-choice.ts'
import type { ChoiceOptions, FunctionChoice } from '../function-choice.ts'
import { EXIT } from '../output.ts'
import type { Output } from '../output.ts'
import { RequestLines } from '../request-lines.ts'
import { untilSignal } from '../signals.ts'
import { StackDeployment, chosenFunctions } from '../stack-deployment.ts'
import { viewFor } from '../view.ts'
import type { View } from '../view.ts'
import { gatewayLog, portOf } from './gateway.ts'

export interface DevOptions extends ChoiceOptions {
  /** hub.yaml, for connectors that need one. */
  readonly config?: string
  readonly port: string
  /** Follow the stack file and the code of the functions. */
  readonly watch: boolean
  /** Lines about calls, too. */
  readonly verbose?: boolean
  readonly json?: boolean
}

/** A running development setup; the demo drives it without a terminal. */
export interface DevSession extends AsyncDisposable {
  readonly hub: Hub
  readonly gateway: Gateway
  /** By connector instance. */
  readonly brokers: ReadonlyMap<string, EmbeddedBroker>
}

/** @throws HubError */
export async function dev(
  stack: string | undefined,
  options: DevOptions,
  output: Output,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const path = stack ?? ['stack.yaml', 'stack.yml'].find((candidate) => existsSync(candidate))
  if (path === undefined)
    throw new HubError('HUB_USAGE', 'there is no stack.yaml here', {
      hint: 'Name one: connector-hub dev path/to/stack.yaml.',
    })
  // Before anything is started: what is wrong with the file is not about ports.
  const choice = functionChoice(options)
  chosenFunctions({ paths: [path], env, namespace: FUNCTION_NAMESPACE, choice })
  const stop = untilSignal()
  const view = viewFor(output, options.json)
  const { config, watch, verbose } = options
  await using session = await startDev({ stack: path, choice, config, watch, verbose, port: portOf(options.port), view, output, env }) // prettier-ignore
  const signal = await stop
  await session.hub.stop()
  view.totals([...session.hub.ledgers].map(([name, ledger]) => [name, { ...ledger.counts }]))
  return signal === 'SIGINT' ? EXIT.interrupted : EXIT.ok
}

/** @throws HubError */
export async function startDev({
  stack,
  choice = () => true,
  config: file,
  watch = true,
  verbose = false,
  port,
  view,
  output,
  env,
}: {
  readonly stack: string
  /** Default: every function of it. */
  readonly choice?: FunctionChoice
  /** hub.yaml; without one every connector that needs no broker, or brings one. */
  readonly config: string | undefined
  /** Follow the stack file and the code of the functions. Default: yes. */
  readonly watch?: boolean
  /** Lines about calls, too. Default: no. */
  readonly verbose?: boolean | undefined
  readonly port: number
  readonly view: View
  readonly output: Output
  readonly env: NodeJS.ProcessEnv
}): Promise<DevSession> {
  // Development state does not outlive the session: yesterday's queue would run today's functions.
  const stateDir = mkdtempSync(join(tmpdir(), 'connector-hub-dev-'))
  const cleanUp = new AsyncDisposableStack()
  cleanUp.defer(() => rmSync(stateDir, { recursive: true, force: true }))
  try {
    const { overlay, brokers } = await startBrokers(await instancesOf(file, env), cleanUp)
    const lines = verbose ? new RequestLines(output, (all) => view.requests(all)) : undefined
    const log = gatewayLog(view, lines, verbose)
    const images = new Images({ directory: process.cwd() })
    const gateway = cleanUp.use(
      await startGateway({ images, port, stateDir, namespace: FUNCTION_NAMESPACE, hotReload: watch, log }),
    )
    const config = await readHubConfig({
      // Without a file nothing of the machine's environment decides what development is like.
      ...(file === undefined ? { env: {} } : { env, file }),
      overlay,
      gatewayUrl: gateway.address,
      stateDir,
      admin: { host: '127.0.0.1', port: 0 },
    })
    const logger = createLogger({
      level: 'warn',
      format: 'console',
      color: output.warnColor,
      secretNames: [],
      write: (line) => output.warn(line),
    })
    const deployment = new StackDeployment({
      gateway,
      images,
      paths: [stack],
      env: { ...env, ...addresses(brokers), HUB_GATEWAY_URL: gateway.address },
      namespace: FUNCTION_NAMESPACE,
      choice,
      output,
    })
    await deployment.deploy()
    const hub = new Hub(config, {
      logger,
      watcher: (events) => deployment.watcher(events, watch),
      onWiring: (wiring) => view.wired(wiring),
      onSubscribed: (connector, subscriptions) => view.subscribed(connector, subscriptions),
    })
    cleanUp.defer(() => hub.stop())
    await hub.start()
    view.started([
      ['gateway', gateway.address],
      ['portal', `${gateway.address}/ui/`],
      ...[...brokers].map(([name, { address }]): [string, string] => [name, address]),
      // As development has no fixed port for it, `tail` and `explain` have to be told.
      ...(hub.adminAddress === undefined ? [] : [['hub', hub.adminAddress] as const]),
    ])
    for (const ledger of hub.ledgers.values()) ledger.listen((entry) => view.delivery(entry))
    const disposal = cleanUp.move()
    return { hub, gateway, brokers, [Symbol.asyncDispose]: () => disposal.disposeAsync() }
  } catch (error) {
    await cleanUp.disposeAsync()
    throw error
  }
}

/** Type by instance: those of the file, else every connector that needs no broker, or brings one. @throws HubError of the file */
async function instancesOf(file: string | undefined, env: NodeJS.ProcessEnv): Promise<ReadonlyMap<string, string>> {
  if (file === undefined) return new Map((await selfContainedTypes()).map((type) => [type, type]))
  const { instances } = await readHubConfig({ file, env })
  return new Map(instances.map(({ name, settings }) => [name, settings.type]))
}

/** One for each instance whose connector brings one; the others have brokers of their own. */
async function startBrokers(
  instances: ReadonlyMap<string, string>,
  cleanUp: AsyncDisposableStack,
): Promise<{
  readonly overlay: Readonly<Record<string, Record<string, unknown>>>
  /** By instance. */
  readonly brokers: ReadonlyMap<string, EmbeddedBroker>
}> {
  const overlay: Record<string, Record<string, unknown>> = {}
  const brokers = new Map<string, EmbeddedBroker>()
  for (const [name, type] of instances) {
    const start = await loadEmbedded(type)
    const broker = start === undefined ? undefined : cleanUp.use(await start({}))
    if (broker !== undefined) brokers.set(name, broker)
    overlay[name] = { type, ...broker?.config }
  }
  return { overlay, brokers }
}

/** As a stack file names them: `${HUB_EMBEDDED_MQTT}`. */
function addresses(brokers: ReadonlyMap<string, EmbeddedBroker>): Readonly<Record<string, string>> {
  const named = [...brokers].map(([name, { address }]) => [`HUB_EMBEDDED_${name.replaceAll('-', '_').toUpperCase()}`, address]) // prettier-ignore
  return Object.fromEntries(named) as Record<string, string>
}
