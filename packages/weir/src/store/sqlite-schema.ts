/**
 * The tables of an SQLite store and how older files are brought to them.
 *
 * A log has a number, so that an operation carries 8 bytes and not 64; operations are stored as they arrive and found
 * by (log, seq). Measured: four times the inserts of a table that is ordered by a hash.
 */
import { WeirError } from '../runtime/index.ts'
import type { Database } from './sqlite-database.ts'

/** `WEIR` in the header of the file, where `file` and SQLite tools look. */
const APPLICATION_ID = 0x57454952

/** One step a version; a step is never changed once it was published. */
export const MIGRATIONS: readonly string[] = Object.freeze([
  `
  CREATE TABLE logs (
    id INTEGER PRIMARY KEY,
    author BLOB NOT NULL,
    log_id BLOB NOT NULL,
    height INTEGER NOT NULL,
    head BLOB NOT NULL,
    first INTEGER NOT NULL,
    operations INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    UNIQUE (author, log_id)
  ) STRICT;
  CREATE TABLE operations (
    id INTEGER PRIMARY KEY,
    log INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    backlink BLOB,
    payload_size INTEGER NOT NULL,
    prune INTEGER NOT NULL,
    header BLOB NOT NULL,
    body BLOB,
    UNIQUE (log, seq)
  ) STRICT;
  CREATE TABLE topics (
    topic BLOB NOT NULL,
    log INTEGER NOT NULL,
    PRIMARY KEY (topic, log)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX topics_of_log ON topics (log);
  CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
])

/**
 * Brings a file to the newest version, all steps in one transaction.
 *
 * @throws {WeirError} `STORE_VERSION` for a file of a newer program, or of another one.
 */
export function migrate(database: Database, migrations: readonly string[] = MIGRATIONS): void {
  const version = database.pragma('user_version')
  const application = database.pragma('application_id')
  if (version > migrations.length) {
    throw new WeirError(
      'STORE_VERSION',
      `the store ${database.path} has version ${version}, this program knows ${migrations.length}; use the newer program, or move the file away`,
    )
  }
  if (application !== 0 && application !== APPLICATION_ID) {
    throw new WeirError(
      'STORE_VERSION',
      `${database.path} belongs to another program; name another file`,
    )
  }
  if (version === migrations.length) return
  database.begin()
  try {
    for (const step of migrations.slice(version)) database.exec(step)
    database.exec(`PRAGMA application_id = ${APPLICATION_ID}`)
    database.exec(`PRAGMA user_version = ${migrations.length}`)
    database.commit()
  } catch (error) {
    database.rollback()
    throw error
  }
}
