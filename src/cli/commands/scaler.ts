// `scaler`: tells KEDA how much waits for each connector, until it is told to stop. Consumes nothing.

import { readHubConfig } from '../../hub/config.ts'
import { chosenInstances } from '../../hub/options.ts'
import { ScalerProcess } from '../../hub/scaler-process.ts'
import { EXIT } from '../output.ts'
import type { Output } from '../output.ts'
import { untilSignal } from '../signals.ts'
import { loggerOf } from './run.ts'
import type { RunOptions } from './run.ts'

/** @throws HubError when the configuration is not usable */
export async function scaler(
  names: readonly string[],
  options: RunOptions,
  output: Output,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const { config: file } = options
  const config = chosenInstances(
    await readHubConfig({ env, types: file === undefined ? names : [], ...(file === undefined ? {} : { file }) }),
    names,
  )
  const process = new ScalerProcess(config, { logger: loggerOf(config, output, options.json) })
  const stop = untilSignal()
  try {
    await process.start()
    return (await stop) === 'SIGINT' ? EXIT.interrupted : EXIT.ok
  } finally {
    await process.stop()
  }
}
