// How a Node handler is run: in a process of its own that loads it and serves it over a private socket.

import { fileURLToPath } from 'node:url'

import type { RuntimeSpec } from '../function-spec.ts'
import { HttpFunction } from './http-function.ts'
import { ProcessRuntime } from './process-runtime.ts'
import { RUNNER_EXIT_WAIT_MS, launchRunner } from './runner.ts'
import { functionEnvironment } from './runtime.ts'
import type { FunctionRuntime } from './runtime.ts'
import type { StartOptions } from './start.ts'
import { NODE_TEMPLATE_LIMITS } from './watchdog.ts'

/** Beside this file: `.ts` as it is developed, `.js` as it is published. */
function script(name: string): string {
  const suffix = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
  return fileURLToPath(new URL(`./${name}${suffix}`, import.meta.url))
}

export function nodeRuntime(options: StartOptions, runtime: Extract<RuntimeSpec, { kind: 'node' }>): FunctionRuntime {
  const { spec, secretsDirectory, log } = options
  const directory = runtime.handler
  const env = { ...functionEnvironment(spec, secretsDirectory), HUB_HANDLER: directory }
  if (runtime.classic === true)
    return new ProcessRuntime({
      ...options,
      env,
      command: [process.execPath, script('node-classic')],
      directory,
      mode: 'classic',
    })
  return new HttpFunction({
    spec,
    log,
    limits: NODE_TEMPLATE_LIMITS,
    prefixLogs: false,
    isEager: false,
    exitWaitMs: RUNNER_EXIT_WAIT_MS,
    launch: () => launchRunner(options, { command: [process.execPath, script('node-runner')], directory, env }),
  })
}
