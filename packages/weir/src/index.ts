/**
 * weir-mesh: a peer-to-peer mesh with memory as a contract. The parts that most programs need; each folder has its own
 * subpath with everything else (`weir-mesh/bounds`, `weir-mesh/topics`, and so on).
 */
export {
  formatBytes,
  formatPlan,
  Ledger,
  type Plan,
  parseBytes,
  planMemory,
} from './bounds/index.ts'
export { decodeCbor, encodeCbor } from './codec/index.ts'
export {
  blake3,
  idHex,
  KeyPair,
  type NodeId,
  nodeIdFromHex,
  type TopicId,
  topicId,
  topicIdFromHex,
} from './core/index.ts'
export {
  Node,
  type NodeOptions,
  type NodePlan,
  planNode,
  readKeyFile,
  writeKeyFile,
} from './node/index.ts'
export { createLogger, describeError, isWeirError, Scope, WeirError } from './runtime/index.ts'
export type { LogStore, StoredOperation } from './store/index.ts'
export type { OpenStreamOptions, StreamEvent, TopicStream } from './topics/index.ts'
export { type FixedPeer, MemoryNetwork, memoryTransport, parseAddress } from './transport/index.ts'
