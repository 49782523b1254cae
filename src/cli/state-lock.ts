// One gateway for each state directory: two would run each other's async calls. The lock goes with the process, however that
// ends. Taken by the `gateway` command.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

import { HubError, errorText } from '../sdk/index.ts'

const FILE = 'in-use.db'
/** Of SQLite. */
const BUSY = 5

/** Held until it is disposed of. @throws HubError HUB_STATE_UNUSABLE when another process has it */
export function lockState(directory: string): Disposable {
  let database: DatabaseSync | undefined
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    database = new DatabaseSync(join(directory, FILE), { timeout: 0 })
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database?.close()
    if ((error as { readonly errcode?: number }).errcode !== BUSY)
      throw new HubError('HUB_STATE_UNUSABLE', `${directory}: ${errorText(error)}`, { cause: error })
    throw new HubError('HUB_STATE_UNUSABLE', `${directory} is in use by another gateway`, {
      cause: error,
      hint: 'Stop that one, or give this one a folder of its own with --state-dir.',
    })
  }
  const held = database
  return { [Symbol.dispose]: () => held.close() }
}
