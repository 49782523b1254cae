// Where a RabbitMQ comes from: Debian's package, installed where we are root. Runs nothing that stays.

import { existsSync, readdirSync } from 'node:fs'

import { provideExecutable } from './debian-package.ts'
import { findExecutable } from './process.ts'
import { ServerUnavailable } from './provide.ts'
import type { Progress, Provided } from './provide.ts'

export interface ProvidedRabbit extends Provided {
  /** The script that becomes the node, not the one of the PATH: that changes the user. */
  readonly path: string
  /** Erlang's port mapper. */
  readonly epmd: string
  /** Erlang's way into a running node, of the same package. */
  readonly erlCall: string
}

const SCRIPT = '/usr/lib/rabbitmq/bin/rabbitmq-server'
const LIBRARY = '/usr/lib/rabbitmq/lib'

/** What is there already. Fast; changes nothing. */
export function findRabbit(): ProvidedRabbit | undefined {
  const epmd = findExecutable('epmd')
  const erlCall = findExecutable('erl_call')
  if (epmd === undefined || erlCall === undefined || !existsSync(SCRIPT)) return undefined
  const version =
    readdirSync(LIBRARY)
      .find((name) => name.startsWith('rabbitmq_server-'))
      ?.split('-')[1] ?? 'unknown'
  return { path: SCRIPT, epmd, erlCall, version, origin: 'Debian package' }
}

/**
 * What is there already, else the package. Blocks this process for up to a minute while it is installed.
 * @throws ServerUnavailable
 */
export async function setUpRabbit(progress: Progress): Promise<ProvidedRabbit> {
  const found = findRabbit()
  if (found !== undefined) return found
  progress('no RabbitMQ in the place of the Debian package')
  const installed = provideExecutable('rabbitmq-server', 'rabbitmq-server')
  if (installed.path === undefined) throw new ServerUnavailable(`RabbitMQ: ${installed.reason}`)
  const brought = findRabbit()
  if (brought !== undefined) return await Promise.resolve({ ...brought, origin: 'Debian package, just installed' })
  throw new ServerUnavailable(`RabbitMQ: ${installed.path} is not that of the Debian package`)
}
