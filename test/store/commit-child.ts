// Writes into the store, says so once the commit has resolved, then waits to be killed. Runs in a process of its own.

import { openDatabase } from '../../src/store/database.ts'

const database = openDatabase(process.argv[2] ?? '', ['CREATE TABLE t (v TEXT NOT NULL UNIQUE) STRICT'])
const insert = database.sqlite.prepare('INSERT INTO t VALUES (?)')
await Promise.all(['1', '2', '3'].map((value) => database.commit(() => insert.run(value))))
process.send?.('committed')
setInterval(() => {}, 60_000)
