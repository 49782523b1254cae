// RabbitMQ's command for its management API, which comes with Debian's package of the server and is written in Python.

import { execFileSync } from 'node:child_process'

import { findExecutable } from '../servers/process.ts'
import { ServerUnavailable } from '../servers/provide.ts'
import { setUpRabbit } from '../servers/rabbitmq-setup.ts'
import type { Provide } from './program.ts'

const COMMAND = 'rabbitmqadmin'

export const provideRabbitAdmin: Provide = async (progress) => {
  const { origin } = await setUpRabbit(progress)
  const path = findExecutable(COMMAND)
  if (path === undefined) throw new ServerUnavailable(`the RabbitMQ on this machine brought no ${COMMAND}`)
  return { command: COMMAND, argv: [path], version: versionOf(path), origin }
}

/** `rabbitmqadmin 3.10.8`; it does not run where there is no Python. */
function versionOf(path: string): string {
  try {
    const said = execFileSync(path, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    return /\d+(\.\d+)+/.exec(said)?.[0] ?? 'unknown'
  } catch (error) {
    throw new ServerUnavailable(`${COMMAND} does not run: ${(error as Error).message}`, { cause: error })
  }
}
