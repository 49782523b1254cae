// How a Python handler is run: by the machine's python3, or the virtual environment in its folder, in a process of its own
// that loads it and serves it over a private socket. Installs nothing.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import type { RuntimeSpec } from '../function-spec.ts'
import { HttpFunction } from './http-function.ts'
import { ProcessRuntime } from './process-runtime.ts'
import { RUNNER_EXIT_WAIT_MS, launchRunner } from './runner.ts'
import { functionEnvironment } from './runtime.ts'
import type { FunctionRuntime } from './runtime.ts'
import type { StartOptions } from './start.ts'
import { OF_WATCHDOG_LIMITS } from './watchdog.ts'

/** Beside this file in the sources as in the package. */
const RUNNER = fileURLToPath(new URL('./python', import.meta.url))

export function pythonRuntime(
  options: StartOptions,
  { handler: directory, classic }: Extract<RuntimeSpec, { kind: 'python' }>,
): FunctionRuntime {
  const { spec, secretsDirectory, log } = options
  // What is printed is in the log at once, not when a buffer is full.
  // And nothing is written into the function's folder.
  const defaults = { PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1' }
  const env = { ...defaults, ...functionEnvironment(spec, secretsDirectory), HUB_HANDLER: directory }
  if (classic === true) {
    const command = [interpreter(directory), RUNNER, 'classic']
    return new ProcessRuntime({ ...options, env, command, directory, mode: 'classic' })
  }
  return new HttpFunction({
    spec,
    log,
    limits: OF_WATCHDOG_LIMITS,
    prefixLogs: false,
    isEager: false,
    exitWaitMs: RUNNER_EXIT_WAIT_MS,
    // The environment may be made after the function was deployed.
    launch: () => launchRunner(options, { command: [interpreter(directory), RUNNER], directory, env }),
  })
}

/** With the packages of the function's requirements.txt, where its folder has an environment that they are installed in. */
function interpreter(directory: string): string {
  const found = ['.venv', 'venv']
    .map((name) => join(directory, name, 'bin', 'python3'))
    .find((path) => existsSync(path))
  return found ?? 'python3'
}
