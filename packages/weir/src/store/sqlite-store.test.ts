import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { LOG, run, TOPIC } from './fixtures.ts'
import { SqliteStore, sqliteStoreTerms } from './index.ts'

test('smoke', async () => {
  const terms = sqliteStoreTerms()
  await withLedger(Object.values(terms), async (ledger, scope) => {
    const path = mkdtempSync('/tmp/weir-store-') + '/a/b.db'
    const store = scope.own('store', await SqliteStore.open({ path, ledger, terms }))
    assert.deepEqual(await store.append(TOPIC, run(0, 9)), Array(10).fill('kept'))
    const page = await store.read(LOG, 0, 100, 1e6)
    assert.deepEqual(
      page.operations.map((each) => ({ ...each })),
      run(0, 9),
    )
    assert.equal(await store.prune(LOG, 3), 3)
    assert.equal((await store.logs(TOPIC))[0]?.from, 3)
  })
})
