export { Account, limitError } from './account.ts'
export { BoundedMap, type BoundedMapOptions } from './bounded-map.ts'
export { Channel, type ChannelOptions } from './channel.ts'
export type { CostCase } from './cost-case.ts'
export {
  ACCOUNT_BYTES,
  BUFFER_SHELL_BYTES,
  ID_BYTES,
  MAP_NODE_BYTES,
  MULTI_KEY_BYTES,
  MULTI_VALUE_BYTES,
  NATIVE_KEY_BYTES,
  OBJECT_BYTES,
  PROMISE_BYTES,
  powerOfTwo,
  RING_SLOT_BYTES,
  STRING_SHELL_BYTES,
  tableBytes,
} from './costs.ts'
export { FLOOR_BYTES, floorBytes, type Program } from './floors.ts'
export { IdSet } from './id-set.ts'
export { Ledger, type LedgerOptions, type LedgerRow, type OpenOptions } from './ledger.ts'
export {
  DEFAULT_LIMIT_BYTES,
  findMemoryLimit,
  type MemoryLimit,
  parseBytes,
} from './memory-limit.ts'
export { MultiMap, type MultiMapOptions } from './multi-map.ts'
export { trimNativeHeap } from './native-heap.ts'
export {
  formatBytes,
  formatPlan,
  type Plan,
  type PlanOptions,
  type PlanRow,
  planMemory,
  termBytes,
} from './plan.ts'
export { nextLevel, Pressure, type PressureCause, type PressureListener } from './pressure.ts'
export {
  forceCollection,
  giveMemoryBack,
  ProcessMemory,
  type ProcessMemoryOptions,
  type ProcessReadings,
  readProcess,
} from './process-memory.ts'
export { RingQueue, type RingQueueOptions } from './ring-queue.ts'
export {
  type Admission,
  type Arena,
  type Exit,
  type Level,
  type Overflow,
  pool,
  type Table,
  type Term,
  type TermOptions,
  type Terms,
  term,
} from './term.ts'
export { TokenBucket, type TokenBucketOptions } from './token-bucket.ts'
