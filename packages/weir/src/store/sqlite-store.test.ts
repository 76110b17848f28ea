import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import { type Bench, withLedger } from '../../testing/index.ts'
import type { Ledger } from '../bounds/index.ts'
import { isWeirError, type WeirError } from '../runtime/index.ts'
import { logStoreConformance, readAll } from './conformance.suite.ts'
import { LOG, log, operation, run, TOPIC } from './fixtures.ts'
import {
  SqliteStore,
  type SqliteStoreLimits,
  type SqliteStoreOptions,
  sqliteStoreTerms,
} from './index.ts'
import { Database } from './sqlite-database.ts'
import { MIGRATIONS, migrate } from './sqlite-schema.ts'

logStoreConformance({
  name: 'SqliteStore',
  modelRuns: 40,
  with: (limits, use) =>
    inFolder(async ({ open, ledger }) => use(await open({ limits, sliceMs: 0 }), ledger)),
})

interface Folder {
  readonly path: string
  readonly ledger: Ledger
  readonly bench: Bench
  /** Opens the store of this folder; closed at the end. */
  open(options?: Partial<SqliteStoreOptions>): Promise<SqliteStore>
}

const terms = sqliteStoreTerms({ callsMax: 64 })

async function inFolder(use: (folder: Folder) => unknown): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'weir-store-'))
  const path = join(directory, 'data', 'store.db')
  try {
    await withLedger(Object.values(terms), (ledger, scope, bench) => {
      const open = async (options: Partial<SqliteStoreOptions> = {}) => {
        const { log, counters } = scope
        const store = await SqliteStore.open({ path, ledger, terms, log, counters, ...options })
        return scope.own('store', store)
      }
      return use({ path, ledger, bench, open })
    })
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const code = (wanted: string, text?: RegExp) => (error: unknown) => {
  assert.ok(isWeirError(error, wanted), String(error))
  if (text) assert.match(error.message, text)
  return true
}

test('what was kept is there when the file is opened again', () =>
  inFolder(async ({ open }) => {
    const first = await open()
    await first.append(TOPIC, [...run(0, 9), operation({ seq: 0, log: log(2) })])
    await first.prune(LOG, 4)
    await first.setMeta('incarnation', new Uint8Array([7]))
    const states = await first.logs(TOPIC)
    await first.close()
    const second = await open({ limits: { operationsMax: 8 } })
    assert.deepEqual(await second.logs(TOPIC), states)
    assert.deepEqual(await readAll(second), run(4, 9))
    assert.deepEqual(await second.meta('incarnation'), new Uint8Array([7]))
    assert.deepEqual(await second.append(TOPIC, run(10, 11)), ['kept', 'full'], 'totals are known')
  }))

test('nothing of a call is kept when any one statement fails, and the next call goes on', async () => {
  const batch = [
    ...run(0, 2),
    operation({ seq: 0, log: log(2) }),
    operation({ seq: 3, prune: true }),
    ...run(4, 5),
    operation({ seq: 1, log: log(2) }),
  ]
  const calls = {
    append: (store: SqliteStore) => store.append(TOPIC, batch),
    prune: (store: SqliteStore) => store.prune(LOG, 4),
    deleteLog: (store: SqliteStore) => store.deleteLog(LOG),
    setMeta: (store: SqliteStore) => store.setMeta('a', new Uint8Array([2])),
  }
  for (const [name, call] of Object.entries(calls)) {
    await inFolder(async ({ open }) => {
      let armed = -1
      const fault = () => {
        if (armed >= 0 && armed-- === 0) throw new Error('disk I/O error')
      }
      const store = await open({ fault, sliceMs: 0 })
      if (name !== 'append') await store.append(TOPIC, batch)
      await store.setMeta('a', new Uint8Array([1]))
      const snapshot = async () => [
        await store.logs(TOPIC),
        await readAll(store),
        await readAll(store, log(2)),
        await store.meta('a'),
      ]
      const before = await snapshot()
      let points = 0
      for (; ; points++) {
        armed = points
        const failed = await call(store).then(
          () => undefined,
          (error: unknown) => error as WeirError,
        )
        const unused = armed >= 0
        armed = -1
        if (unused) {
          assert.equal(failed, undefined)
          break
        }
        assert.ok(isWeirError(failed, 'STORE_FAILED'), `${name}: ${failed}`)
        assert.equal(failed.retryable, true)
        assert.deepEqual(await snapshot(), before, `${name}, statement ${points}`)
      }
      assert.ok(points >= (name === 'setMeta' ? 2 : 5), `${name}: ${points} statements`)
      assert.notDeepEqual(await snapshot(), before)
      if (name === 'append')
        assert.deepEqual(
          (await readAll(store)).map(({ seq }) => seq),
          [3, 4, 5],
        )
    })
  }
})

test('a store that cannot undo a failed write takes no more calls, and still closes', () =>
  inFolder(async ({ open }) => {
    let broken = false
    const fault = (sql: string) => {
      if (broken && /^(INSERT INTO operations|ROLLBACK)/.test(sql))
        throw new Error('disk I/O error')
    }
    const first = await open({ fault })
    await first.append(TOPIC, run(0, 1))
    broken = true
    await assert.rejects(first.append(TOPIC, run(2, 3)), code('STORE_FAILED'))
    broken = false
    await assert.rejects(first.log(LOG), code('STORE_FAILED', /restart to open it again/))
    await first.close()
    assert.deepEqual(await readAll(await open()), run(0, 1))
  }))

test('a process that is killed in the middle of a batch leaves nothing of it and no lock', () =>
  inFolder(async ({ open, path }) => {
    const here = (name: string) => JSON.stringify(join(import.meta.dirname, name))
    const script = `
      import { Ledger, planMemory } from ${here('../bounds/index.ts')}
      import { SqliteStore, sqliteStoreTerms } from ${here('index.ts')}
      import { run, TOPIC } from ${here('fixtures.ts')}
      const terms = sqliteStoreTerms()
      const ledger = new Ledger(planMemory(Object.values(terms), { limitBytes: 2 ** 40 }))
      let inserts = 0
      const fault = (sql) => {
        if (sql.startsWith('INSERT INTO operations') && ++inserts === 200) process.kill(process.pid, 'SIGKILL')
      }
      const store = await SqliteStore.open({ path: ${JSON.stringify(path)}, ledger, terms, fault })
      await store.append(TOPIC, run(0, 99))
      await store.append(TOPIC, run(100, 999))`
    const child = spawnSync(
      process.execPath,
      ['--conditions=weir-source', '--input-type=module-typescript', '--eval', script],
      { encoding: 'utf8' },
    )
    assert.equal(child.signal, 'SIGKILL', child.stderr)
    const store = await open()
    assert.deepEqual(await readAll(store), run(0, 99))
    assert.deepEqual(await store.append(TOPIC, run(100, 101)), ['kept', 'kept'])
  }))

test('an opening that fails at any statement holds nothing and can be repeated', () =>
  inFolder(async ({ open, ledger, path }) => {
    let points = 0
    for (; ; points++) {
      let step = 0
      const fault = () => {
        if (step++ === points) throw new Error('disk I/O error')
      }
      const store = await open({ fault }).catch((error: unknown) => {
        assert.ok(isWeirError(error, 'STORE_FAILED'))
        return undefined
      })
      if (store) break
      assert.deepEqual(ledger.held(), [])
    }
    assert.ok(points > 20)
    assert.ok(existsSync(path))
  }))

test('STORE_LOCKED: a second opening is refused and told which process has the file', () =>
  inFolder(async ({ open, path }) => {
    const store = await open()
    await store.append(TOPIC, run(0, 1))
    await assert.rejects(open(), code('LIMIT'), 'the plan has one store')
    const second = () => new Database({ path, cacheBytes: 65_536 })
    assert.throws(second, code('STORE_LOCKED', /open in this process; two processes must not/))
    assert.deepEqual(await store.append(TOPIC, run(2, 3)), ['kept', 'kept'])
    const script = `
      import { Database } from ${JSON.stringify(join(import.meta.dirname, 'sqlite-database.ts'))}
      try { new Database({ path: ${JSON.stringify(path)}, cacheBytes: 65536 }) }
      catch (error) { console.log(error.code, error.message) }`
    const child = spawnSync(
      process.execPath,
      ['--conditions=weir-source', '--input-type=module-typescript', '--eval', script],
      { encoding: 'utf8' },
    )
    assert.match(child.stdout, /^STORE_LOCKED /, child.stderr)
    assert.match(child.stdout, new RegExp(`open in process ${process.pid};`))
    await store.close()
    second()[Symbol.dispose]()
  }))

test('a process that was killed leaves no lock, and a name of its owner that is believed by nobody', () =>
  inFolder(async ({ open, path }) => {
    const first = await open()
    await first.append(TOPIC, run(0, 1))
    await first.close()
    writeFileSync(`${path}.owner`, '1\n')
    const second = await open()
    assert.equal(readFileSync(`${path}.owner`, 'utf8'), `${process.pid}\n`)
    assert.deepEqual(await readAll(second), run(0, 1))
  }))

test('STORE_VERSION: a file of a newer program or of another one is left alone', () =>
  inFolder(async ({ open, path }) => {
    await (await open()).close()
    const set = (pragma: string) => {
      const raw = new DatabaseSync(path)
      raw.exec(`PRAGMA ${pragma}`)
      raw.close()
    }
    set('user_version = 99')
    await assert.rejects(open(), code('STORE_VERSION', /has version 99, this program knows 1;/))
    set('user_version = 1')
    set('application_id = 77')
    await assert.rejects(open(), code('STORE_VERSION', /another program/))
    set(`application_id = ${0x57454952}`)
    await open()
  }))

test('an older file is brought to the newest version in one transaction', () =>
  inFolder(({ path }) => {
    let broken = true
    const fault = (sql: string) => {
      if (broken && sql.includes('user_version =')) throw new Error('disk I/O error')
    }
    using database = new Database({ path, cacheBytes: 65_536, fault })
    const steps = [...MIGRATIONS, 'ALTER TABLE meta ADD COLUMN note TEXT']
    assert.throws(() => migrate(database, steps), code('STORE_FAILED'))
    broken = false
    migrate(database)
    assert.equal(database.pragma('user_version'), MIGRATIONS.length)
    migrate(database, steps)
    assert.equal(database.pragma('user_version'), MIGRATIONS.length + 1)
    database.prepare('SELECT note FROM meta').all()
    assert.throws(() => migrate(database), code('STORE_VERSION'))
  }))

test('STORE_FAILED: what is no database, or cannot be made, says what to do', () =>
  inFolder(async ({ open, path }) => {
    await (await open()).close()
    writeFileSync(path, 'x'.repeat(10_000))
    await assert.rejects(open(), code('STORE_FAILED', /move it away/))
    const below = join(path, 'store.db')
    await assert.rejects(open({ path: below }), code('STORE_FAILED', /check its directory/))
  }))

test('STORE_FAILED: a full disk is said and can be tried again', () =>
  inFolder(async ({ open }) => {
    let full = false
    const fault = (sql: string) => {
      if (full && sql.startsWith('INSERT INTO operations')) {
        throw Object.assign(new Error('database or disk is full'), { errcode: 13 })
      }
    }
    const store = await open({ fault })
    full = true
    await assert.rejects(store.append(TOPIC, run(0, 1)), (error) => {
      assert.ok(isWeirError(error, 'STORE_FAILED'))
      assert.match(error.message, /free some space/)
      return error.retryable
    })
    full = false
    assert.deepEqual(await store.append(TOPIC, run(0, 1)), ['kept', 'kept'])
  }))

test('files and their directory are for the user alone', () =>
  inFolder(async ({ open, path }) => {
    const store = await open()
    await store.append(TOPIC, run(0, 1))
    const mode = (name: string) => (statSync(name).mode & 0o777).toString(8)
    assert.equal(mode(dirname(path)), '700')
    for (const name of readdirSync(dirname(path))) {
      assert.equal(mode(join(dirname(path), name)), '600', name)
    }
    await store.close()
    assert.deepEqual(readdirSync(dirname(path)), ['store.db'], 'closing checkpoints')
    chmodSync(path, 0o644)
    await open()
    assert.equal(mode(path), '600')
  }))

test('a large batch lets the event loop have turns, and readers wait for its end', () =>
  inFolder(async ({ open }) => {
    const store = await open({ sliceMs: 0 })
    let turns = 0
    let ended = false
    const count = () => {
      turns++
      if (!ended) setImmediate(count)
    }
    setImmediate(count)
    const append = store.append(TOPIC, run(0, 199))
    const state = store.log(LOG)
    assert.equal((await append).length, 200)
    ended = true
    assert.equal((await state)?.operations, 200)
    assert.ok(turns > 100, `${turns} turns`)
  }))

test('store.sqlite-calls: one call more than may wait fails with LIMIT', () =>
  inFolder(async ({ open, ledger }) => {
    const store = await open()
    const waiting = Array.from({ length: 64 }, () => store.log(LOG))
    await assert.rejects(store.log(LOG), code('LIMIT'))
    await Promise.all(waiting)
    assert.equal(await store.log(LOG), undefined)
    assert.equal(ledger.row(terms.calls).entries, 0)
  }))

test('store.sqlite: a second store is more than the plan has', () =>
  inFolder(async ({ open, ledger }) => {
    const store = await open()
    assert.equal(ledger.row(terms.cache).bytes, terms.cache.payloadBytesMax)
    await assert.rejects(open(), code('LIMIT'))
    await store.close()
    assert.deepEqual(ledger.held(), [])
    await open()
  }))

test('closing waits for the calls before it', () =>
  inFolder(async ({ open }) => {
    const store = await open({ sliceMs: 0 })
    const append = store.append(TOPIC, run(0, 49))
    await Promise.all([store.close(), append])
    const again = await open()
    assert.equal((await again.log(LOG))?.operations, 50)
  }))

test('warns when the disk caps fill up', () =>
  inFolder(async ({ open, bench }) => {
    const limits: SqliteStoreLimits = { operationsMax: 10 }
    const store = await open({ limits })
    await store.append(TOPIC, run(0, 6))
    await store.append(TOPIC, run(7, 8))
    assert.equal(bench.counters.value('store_warnings_total'), 2)
    await store.close()
    await open({ limits })
    assert.equal(bench.counters.value('store_warnings_total'), 3, 'it is said again at start')
  }))
