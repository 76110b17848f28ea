import { withLedger } from '../../testing/index.ts'
import { logStoreConformance } from './conformance.ts'
import { MemoryStore, memoryStoreTerms } from './index.ts'

logStoreConformance({
  name: 'MemoryStore',
  modelRuns: 300,
  with: (caps, use) => {
    const terms = memoryStoreTerms(caps)
    return withLedger(Object.values(terms), async (ledger, scope) => {
      await use(scope.own('store', new MemoryStore({ ledger, terms })), ledger)
    })
  },
})
