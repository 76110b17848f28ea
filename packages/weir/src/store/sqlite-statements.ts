/** Every statement of the SQLite store, prepared once when it opens. */
import type { Database } from './sqlite-database.ts'

const PAYLOAD = 'length(header) + ifnull(length(body), 0)'
const LOG = 'id, author, log_id, height, head, first, operations, bytes'

export type Statements = ReturnType<typeof prepareStatements>

export function prepareStatements(database: Database) {
  const prepare = (sql: string) => database.prepare(sql)
  return Object.freeze({
    log: prepare(`SELECT ${LOG} FROM logs WHERE author = ? AND log_id = ?`),
    logsOfTopic: prepare(
      `SELECT ${LOG} FROM topics JOIN logs ON id = log WHERE topic = ? ORDER BY author, log_id`,
    ),
    insertLog: prepare(
      'INSERT INTO logs (author, log_id, height, head, first, operations, bytes) VALUES (?, ?, ?, ?, ?, 0, 0)',
    ),
    updateLog: prepare(
      'UPDATE logs SET height = ?, head = ?, first = ?, operations = ?, bytes = ? WHERE id = ?',
    ),
    deleteLog: prepare('DELETE FROM logs WHERE id = ?'),
    insertOperation: prepare(
      'INSERT INTO operations (log, seq, hash, backlink, payload_size, prune, header, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    ),
    hash: prepare('SELECT hash FROM operations WHERE log = ? AND seq = ?'),
    read: prepare(
      'SELECT seq, hash, backlink, payload_size, prune, header, body FROM operations WHERE log = ? AND seq BETWEEN ? AND ? ORDER BY seq',
    ),
    measure: prepare(
      `SELECT count(*) AS operations, total(${PAYLOAD}) AS bytes FROM operations WHERE log = ? AND seq BETWEEN ? AND ?`,
    ),
    deleteOperations: prepare('DELETE FROM operations WHERE log = ? AND seq < ?'),
    linkTopic: prepare('INSERT OR IGNORE INTO topics (topic, log) VALUES (?, ?)'),
    unlinkLog: prepare('DELETE FROM topics WHERE log = ?'),
    totals: prepare(
      'SELECT count(*) AS logs, total(operations) AS operations, total(bytes) AS bytes FROM logs',
    ),
    meta: prepare('SELECT value FROM meta WHERE key = ?'),
    setMeta: prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)'),
    deleteMeta: prepare('DELETE FROM meta WHERE key = ?'),
    metaTotals: prepare(
      'SELECT count(*) AS count, total(length(key) + length(value)) AS bytes FROM meta WHERE key <> ?',
    ),
    checkpoint: prepare('PRAGMA wal_checkpoint(PASSIVE)'),
    vacuum: prepare('PRAGMA incremental_vacuum(256)'),
  })
}
