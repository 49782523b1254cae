// Connector state in the embedded store: small keyed texts, one scope per connector instance.

import { existsSync } from 'node:fs'
import { join } from 'node:path'

import type { StateStore } from '../sdk/index.ts'
import { openDatabase } from '../store/database.ts'

const MIGRATIONS = [
  `CREATE TABLE state (
    instance TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (instance, key)
  ) STRICT, WITHOUT ROWID`,
]
const KEYS = 'SELECT key FROM state WHERE instance = ?'
const READ = 'SELECT value FROM state WHERE instance = ? AND key = ?'

export interface StateFile extends Disposable {
  scope(instance: string): StateStore
}

export function statePath(stateDir: string): string {
  return join(stateDir, 'state.db')
}

/** What an instance keeps under the key, whoever has the file open. Makes no file. @throws HubError HUB_STATE_UNUSABLE */
export function recalled(stateDir: string, instance: string, key: string): string | undefined {
  const path = statePath(stateDir)
  if (!existsSync(path)) return undefined
  using database = openDatabase(path, MIGRATIONS)
  return (database.sqlite.prepare(READ).get(instance, key) as { value: string } | undefined)?.value
}

/** @throws HubError HUB_STATE_UNUSABLE */
export function openState(path: string): StateFile {
  const database = openDatabase(path, MIGRATIONS)
  const { sqlite } = database
  const read = sqlite.prepare(READ)
  const write = sqlite.prepare('INSERT INTO state VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value')
  const list = sqlite.prepare(KEYS)
  const remove = sqlite.prepare('DELETE FROM state WHERE instance = ? AND key = ?')
  return {
    scope: (instance) => ({
      get: (key) => database.commit(() => (read.get(instance, key) as { value: string } | undefined)?.value),
      set: (key, value) => database.commit(() => void write.run(instance, key, value)),
      delete: (key) => database.commit(() => void remove.run(instance, key)),
      keys: () => database.commit(() => (list.all(instance) as { key: string }[]).map(({ key }) => key)),
    }),
    [Symbol.dispose]: () => database.close(),
  }
}
