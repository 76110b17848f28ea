export { SyncAcceptor, type SyncAcceptorOptions } from './acceptor.ts'
export type {
  Backlog,
  LogRange,
  Published,
  SyncReport,
  TopicEffects,
  TopicEvent,
} from './contract.ts'
export { type SyncCounters, syncCounters } from './counters.ts'
export { closeOf, type EndCode, type Ending, ending } from './errors.ts'
export {
  BufferLock,
  GossipBuffer,
  type GossipBufferOptions,
  type Holdable,
} from './gossip-buffer.ts'
export { acceptTopic, type HandshakeOptions, offerTopic } from './handshake.ts'
export { type HandshakeEffects, HandshakeMachine } from './handshake-machine.ts'
export { DEFAULT_SYNC_LIMITS, type SyncLimits, syncLimits, wireBytesLeast } from './limits.ts'
export { type SyncTerms, syncTerms } from './memory.ts'
export {
  decodeHandshake,
  decodeSync,
  encodeClose,
  encodeDone,
  encodeHandshake,
  encodeHave,
  encodeOperations,
  encodePreSync,
  type Height,
  type SyncMessage,
} from './messages.ts'
export {
  type LogPolicy,
  nodeExtensionsPolicy,
  type Placement,
  topicStreamPolicy,
} from './policy.ts'
export type { PeerState } from './roster.ts'
export { SharedPools } from './shared-pools.ts'
export { TopicMachine, type TopicMachineOptions } from './topic-machine.ts'
export { TopicSync, type TopicSyncOptions } from './topic-sync.ts'
export { type BatchVerifier, verifyHere, verifyOnPool } from './verifying.ts'
