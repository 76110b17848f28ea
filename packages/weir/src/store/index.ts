export type {
  Appended,
  LogName,
  LogState,
  LogStore,
  Page,
  StoredOperation,
} from './log-store.ts'
export {
  type MemoryStoreLimits,
  type MemoryStoreTerms,
  memoryStoreTerms,
  type SqliteStoreMemory,
  type SqliteStoreTerms,
  sqliteStoreTerms,
} from './memory.ts'
export { MemoryStore, type MemoryStoreOptions } from './memory-store.ts'
export { payloadBytes } from './order.ts'
export { SqliteStore, type SqliteStoreLimits, type SqliteStoreOptions } from './sqlite-store.ts'
export type { StoreWarning, WarningLevel } from './watermark.ts'
