// The embedded store: one SQLite file, durable on commit, writes of one turn of the event loop grouped into one commit.
// Holds dead letters, connector state and the gateway's queue; never on the path of an event that goes well.

import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

import { HubError, errorText } from '../sdk/index.ts'

export interface Database extends Disposable {
  readonly sqlite: DatabaseSync
  /**
   * Runs `work` in the next group commit and resolves with its result once that is durable (fsynced). Work of one group
   * is applied in order; one that throws is rolled back alone and rejects, the others of the group still commit.
   */
  commit<T>(work: () => T): Promise<T>
  /** Commits what waits, then closes the file. Idempotent. */
  close(): void
}

const BUSY_TIMEOUT_MS = 5000

interface Pending {
  readonly work: () => unknown
  resolve(value: unknown): void
  reject(error: unknown): void
}

/**
 * Opens (and creates) the file with WAL and full synchronisation, and brings it to the newest schema.
 * @param migrations statements by schema version, oldest first; append only
 * @throws HubError HUB_STATE_UNUSABLE
 */
export function openDatabase(path: string, migrations: readonly string[]): Database {
  let sqlite: DatabaseSync
  let opened: DatabaseSync | undefined
  try {
    if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    // First of all: another process may be about to open or close the file.
    sqlite = opened = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS })
    sqlite.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON')
    migrate(sqlite, migrations)
  } catch (error) {
    opened?.close()
    throw new HubError('HUB_STATE_UNUSABLE', `${path}: ${errorText(error)}`, { cause: error })
  }

  let pending: Pending[] = []
  let closed = false

  const flush = (): void => {
    const group = pending
    pending = []
    if (group.length === 0 || closed) return
    const results: { readonly error?: unknown; readonly value?: unknown }[] = []
    try {
      sqlite.exec('BEGIN IMMEDIATE')
      for (const { work } of group) results.push(runAlone(sqlite, work))
      sqlite.exec('COMMIT')
    } catch (error) {
      if (sqlite.isTransaction) sqlite.exec('ROLLBACK')
      for (const waiting of group) waiting.reject(error)
      return
    }
    for (const [index, waiting] of group.entries()) {
      const result = results[index] as { readonly error?: unknown; readonly value?: unknown }
      if ('error' in result) waiting.reject(result.error)
      else waiting.resolve(result.value)
    }
  }

  return {
    sqlite,
    commit<T>(work: () => T): Promise<T> {
      return new Promise<T>((resolve, reject) => {
        if (closed) {
          reject(new HubError('HUB_STATE_UNUSABLE', `${path}: already closed`))
          return
        }
        pending.push({ work, resolve, reject })
        if (pending.length === 1) setImmediate(flush)
      })
    },
    close() {
      if (closed) return
      flush()
      closed = true
      sqlite.close()
    },
    [Symbol.dispose]() {
      this.close()
    },
  }
}

/** A savepoint of its own, so that one failing write does not take the group with it. */
function runAlone(sqlite: DatabaseSync, work: () => unknown): { readonly error?: unknown; readonly value?: unknown } {
  sqlite.exec('SAVEPOINT one')
  try {
    const value = work()
    sqlite.exec('RELEASE one')
    return { value }
  } catch (error) {
    sqlite.exec('ROLLBACK TO one; RELEASE one')
    return { error }
  }
}

function migrate(sqlite: DatabaseSync, migrations: readonly string[]): void {
  if (versionOf(sqlite) === migrations.length) return
  sqlite.exec('BEGIN IMMEDIATE')
  // Asked again: another process may have done it meanwhile.
  const version = versionOf(sqlite)
  if (version > migrations.length)
    throw new Error(`written by a newer version (schema ${version}, this one knows ${migrations.length})`)
  for (const statements of migrations.slice(version)) sqlite.exec(statements)
  sqlite.exec(`PRAGMA user_version = ${migrations.length}; COMMIT`)
}

function versionOf(sqlite: DatabaseSync): number {
  return (sqlite.prepare('PRAGMA user_version').get() as { user_version: number }).user_version
}
