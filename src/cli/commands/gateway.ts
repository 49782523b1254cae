// `gateway`: the bundled gateway alone, running the functions of stack files.

import { resolve } from 'node:path'

import { readStackFile } from '../../discovery/index.ts'
import type { StackFunction } from '../../discovery/index.ts'
import { startGateway } from '../../gateway/gateway.ts'
import type { FunctionSpec, GatewayLog } from '../../gateway/gateway.ts'
import { Images } from '../../gateway/images.ts'
import { readHubConfig } from '../../hub/config.ts'
import { HubError } from '../../sdk/index.ts'
import { EXIT } from '../output.ts'
import type { Output } from '../output.ts'
import { untilSignal } from '../signals.ts'
import { viewFor } from '../view.ts'
import type { View } from '../view.ts'

export interface GatewayCommandOptions {
  readonly stack?: readonly string[]
  readonly host: string
  readonly port: string
  readonly stateDir: string
  readonly json?: boolean
}

/** Namespace of functions that name none, as in OpenFaaS. */
export const FUNCTION_NAMESPACE = 'openfaas-fn'

/** @throws HubError */
export async function gateway(options: GatewayCommandOptions, output: Output, env: NodeJS.ProcessEnv): Promise<number> {
  const view = viewFor(output, options.json)
  const { specs, problems } = functionSpecs(options.stack ?? [], env)
  for (const problem of problems) output.warn(`${problem}\n`)
  // basic_auth with secret files as OpenFaaS has it, or given outright: the names by which `run` finds them too.
  const { auth } = await readHubConfig({ env })
  const stop = untilSignal()
  await using running = await startGateway({
    host: options.host,
    port: portOf(options.port),
    stateDir: resolve(options.stateDir),
    namespace: FUNCTION_NAMESPACE,
    log: gatewayLog(view),
    ...(auth === undefined ? {} : { auth }),
  })
  for (const spec of specs) await running.deploy(spec)
  view.started([
    ['gateway', running.address],
    ...specs.map((spec): [string, string] => [spec.name, `${running.address}/function/${spec.name}`]),
  ])
  const signal = await stop
  return signal === 'SIGINT' ? EXIT.interrupted : EXIT.ok
}

/** What functions print, and what the gateway has to say about them. */
export function gatewayLog(view: View): GatewayLog {
  return {
    request: () => {},
    functionOutput: (name, line) => view.functionOutput(name, line),
    lifecycle: (name, line) => view.functionOutput(name, line),
  }
}

/** @throws HubError HUB_USAGE */
export function portOf(text: string): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new HubError('HUB_USAGE', `--port ${text} is not a port`, {
      hint: 'Write a number from 0 (any free one) to 65535.',
    })
  return port
}

/**
 * Stack functions as the gateway deploys them; one that cannot run here is named with the reason. Their images are
 * registered, so that a deployment that names one runs from the same folder.
 * @throws HubError HUB_CONFIG_UNREADABLE
 */
export function functionSpecs(
  paths: readonly string[],
  env: NodeJS.ProcessEnv,
  images = new Images({ directory: process.cwd() }),
): { readonly specs: readonly FunctionSpec[]; readonly problems: readonly string[] } {
  const specs: FunctionSpec[] = []
  const problems: string[] = []
  for (const path of paths) {
    for (const declared of readStackFile(path, { env, namespace: FUNCTION_NAMESPACE }).functions) {
      const { lang, handler } = declared
      const said = {
        image: declared.image ?? `local/${declared.name}`,
        envProcess: declared.fprocess ?? '',
        envVars: declared.environment,
      }
      images.register(said.image, { lang, handler })
      const runtime = images.runtimeOf(said)
      if (typeof runtime === 'string') problems.push(`${declared.fullName} is not run: ${runtime}`)
      else specs.push({ ...specOf(declared), ...said, runtime })
    }
  }
  return { specs, problems }
}

function specOf(declared: StackFunction): Omit<FunctionSpec, 'image' | 'envProcess' | 'envVars' | 'runtime'> {
  const { name, namespace, labels, annotations, secrets, constraints, limits, requests } = declared
  return {
    name,
    namespace,
    labels,
    annotations,
    secrets,
    constraints,
    limits,
    requests,
    readOnlyRootFilesystem: declared.readonlyRootFilesystem,
  }
}
