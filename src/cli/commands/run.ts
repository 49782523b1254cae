// `run`: the hub in production, until it is told to stop.

import { readHubConfig } from '../../hub/config.ts'
import type { HubConfig } from '../../hub/config.ts'
import { Hub } from '../../hub/hub.ts'
import { chosenInstances } from '../../hub/options.ts'
import { createLogger } from '../../telemetry/logger.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { EXIT } from '../output.ts'
import type { Output } from '../output.ts'
import { untilSignal } from '../signals.ts'

export interface RunOptions {
  readonly config?: string
  /** Log lines as JSON, whatever the configuration says. */
  readonly json?: boolean
}

/** @throws HubError when the configuration is not usable */
export async function run(
  names: readonly string[],
  options: RunOptions,
  output: Output,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const config = chosenInstances(
    await readHubConfig({
      env,
      types: options.config === undefined ? names : [],
      ...(options.config === undefined ? {} : { file: options.config }),
    }),
    names,
  )
  const hub = new Hub(config, { logger: loggerOf(config, output, options.json) })
  const stop = untilSignal()
  try {
    await hub.start()
    const signal = await stop
    hub.events.note(
      'info',
      'hub.stopping',
      `${signal}: letting what runs end, at most ${config.settings.drainTimeout / 1000} s; once more to stop at once`,
    )
    return signal === 'SIGINT' ? EXIT.interrupted : EXIT.ok
  } finally {
    await hub.stop()
  }
}

export function loggerOf(config: HubConfig, output: Output, json?: boolean): Logger {
  const { level, format } = config.settings.log
  const secretNames = config.instances.flatMap(({ manifest }) =>
    Object.entries(manifest.fields).flatMap(([name, { kind }]) => (kind === 'secret' ? [name] : [])),
  )
  return createLogger({
    level,
    format: json === true ? 'json' : format,
    color: output.warnColor,
    secretNames: [...new Set(secretNames)],
    write: (line) => output.warn(line),
  })
}
