import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { withLedger } from '../../testing/index.ts'
import { logStoreConformance } from './conformance.ts'
import { SqliteStore, sqliteStoreTerms } from './index.ts'

async function inDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'weir-store-'))
  try {
    await use(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

logStoreConformance({
  name: 'SqliteStore',
  modelRuns: 40,
  with: (limits, use) =>
    inDirectory((directory) => {
      const terms = sqliteStoreTerms()
      return withLedger(Object.values(terms), async (ledger, scope) => {
        const options = { path: join(directory, 'store.db'), ledger, terms, limits, sliceMs: 0 }
        await use(scope.own('store', await SqliteStore.open(options)), ledger)
      })
    }),
})
