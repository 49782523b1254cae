// Brings a file to its first schema, and is not quick about it. Says so once it has begun. Runs in a process of its own.

import { DatabaseSync } from 'node:sqlite'

const [path = '', schema = '', begin = ''] = process.argv.slice(2)
const ROWS = 'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT i FROM n'

const sqlite = new DatabaseSync(path)
sqlite.exec(`${begin}; ${schema}`)
process.send?.('begun', () => {
  sqlite.exec(`INSERT INTO t ${ROWS}; DELETE FROM t WHERE v <> '1'; PRAGMA user_version = 1; COMMIT`)
  sqlite.close()
  process.disconnect()
})
