// What was made through the REST API, durable in the gateway's state directory: functions and namespaces. Functions of stack
// files are not in it; their file is. Read at the start, written by deployments.ts and namespaces.ts.

import { openDatabase } from '../store/database.ts'
import type { Database } from '../store/database.ts'
import type { FunctionSpec } from './function-spec.ts'

export interface StoredFunction {
  readonly spec: FunctionSpec
  /** RFC 3339. */
  readonly createdAt: string
  /** As it was scaled; undefined: as its labels say. */
  readonly replicas: number | undefined
}

export interface Namespace {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

const SCHEMA = `
CREATE TABLE functions (
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  spec TEXT NOT NULL,
  created_at TEXT NOT NULL,
  replicas INTEGER,
  PRIMARY KEY (namespace, name)
) STRICT;
CREATE TABLE namespaces (name TEXT PRIMARY KEY, labels TEXT NOT NULL, annotations TEXT NOT NULL) STRICT;
`

export class DeploymentStore implements Disposable {
  readonly #database: Database

  /** @param path of the SQLite file; @throws HubError HUB_STATE_UNUSABLE */
  constructor(path: string) {
    this.#database = openDatabase(path, [SCHEMA])
  }

  functions(): readonly StoredFunction[] {
    const rows = this.#database.sqlite.prepare('SELECT spec, created_at, replicas FROM functions ORDER BY rowid').all()
    return rows.map(({ spec, created_at: createdAt, replicas }) => ({
      spec: JSON.parse(spec as string) as FunctionSpec,
      createdAt: createdAt as string,
      replicas: (replicas as number | null) ?? undefined,
    }))
  }

  namespaces(): readonly Namespace[] {
    const rows = this.#database.sqlite.prepare('SELECT name, labels, annotations FROM namespaces ORDER BY rowid').all()
    return rows.map(({ name, labels, annotations }) => ({
      name: name as string,
      labels: JSON.parse(labels as string) as Record<string, string>,
      annotations: JSON.parse(annotations as string) as Record<string, string>,
    }))
  }

  /** Adds or replaces. Resolves once it is durable, as all of these do. */
  async putFunction({ spec, createdAt, replicas }: StoredFunction): Promise<void> {
    await this.#run(
      `INSERT INTO functions (namespace, name, spec, created_at, replicas) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET spec = excluded.spec, created_at = excluded.created_at, replicas = excluded.replicas`,
      [spec.namespace, spec.name, JSON.stringify(spec), createdAt, replicas ?? null],
    )
  }

  async removeFunction({ namespace, name }: Pick<FunctionSpec, 'namespace' | 'name'>): Promise<void> {
    await this.#run('DELETE FROM functions WHERE namespace = ? AND name = ?', [namespace, name])
  }

  async setReplicas({ namespace, name }: Pick<FunctionSpec, 'namespace' | 'name'>, replicas: number): Promise<void> {
    await this.#run('UPDATE functions SET replicas = ? WHERE namespace = ? AND name = ?', [replicas, namespace, name])
  }

  /** Adds or replaces. */
  async putNamespace({ name, labels, annotations }: Namespace): Promise<void> {
    await this.#run(
      `INSERT INTO namespaces (name, labels, annotations) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET labels = excluded.labels, annotations = excluded.annotations`,
      [name, JSON.stringify(labels), JSON.stringify(annotations)],
    )
  }

  /** With its functions. */
  async removeNamespace(name: string): Promise<void> {
    await this.#database.commit(() => {
      this.#database.sqlite.prepare('DELETE FROM functions WHERE namespace = ?').run(name)
      this.#database.sqlite.prepare('DELETE FROM namespaces WHERE name = ?').run(name)
    })
  }

  [Symbol.dispose](): void {
    this.#database.close()
  }

  async #run(statement: string, values: readonly (string | number | null)[]): Promise<void> {
    await this.#database.commit(() => this.#database.sqlite.prepare(statement).run(...values))
  }
}
