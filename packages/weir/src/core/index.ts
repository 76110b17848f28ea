export { Blake3, blake3, CHUNK_BYTES, chunkCv, parentCv } from './blake3.ts'
export { buildHeader, type HeaderFields } from './build-header.ts'
export { isCurvePoint } from './curve.ts'
export {
  decodeHeader,
  HEADER_LIMITS,
  HEADER_VERSION,
  Header,
  PAYLOAD_BYTES_MAX,
  SEQ_MAX,
} from './header.ts'
export {
  type AnyId,
  type Hash,
  hashFromHex,
  hashId,
  ID_BYTES,
  idHex,
  idKey,
  isKeyOf,
  keyBytes,
  type LogId,
  logId,
  logIdFromHex,
  type NodeId,
  nodeId,
  nodeIdFromHex,
  shortId,
  type TopicId,
  topicId,
  topicIdFromHex,
  toZ32,
} from './ids.ts'
export { KeyPair, SEED_BYTES, SIGNATURE_BYTES } from './keys.ts'
export { type CoreLimits, coreTerms } from './memory.ts'
export {
  decodeNodeExtensions,
  encodeNodeExtensions,
  type NodeExtensions,
} from './node-extensions.ts'
export {
  checkBacklink,
  checkBody,
  checkOperation,
  checkPrunableBacklink,
  decodeVerifiedHeader,
  type LogHead,
  type Operation,
  type OperationFault,
  type SignatureCheck,
  verifyHeader,
} from './operation.ts'
export {
  membershipTopic,
  networkId,
  PROTOCOL_DISCOVERY,
  PROTOCOL_GOSSIP,
  PROTOCOL_LOG_SYNC,
  protocolAlpn,
  topicLogId,
  topicName,
  zoneLogId,
} from './topics.ts'
export { admitKey, admitSignature, Verifier, verifySignature } from './verifier.ts'
export {
  type VerifyDone,
  type VerifyOffload,
  VerifyPool,
  type VerifyPoolOptions,
} from './verify-pool.ts'
