/** Names that are derived by hashing: of protocols in a network, of logs, of overlays. */
import { concatBytes } from '../codec/index.ts'
import { assert } from '../runtime/index.ts'
import { blake3 } from './blake3.ts'
import { type Hash, hashFromHex, type LogId, shortId, type TopicId } from './ids.ts'

export const PROTOCOL_LOG_SYNC = 'p2panda/log_sync/v1'
export const PROTOCOL_DISCOVERY = 'p2panda/confidential_discovery/v1'
export const PROTOCOL_GOSSIP = '/iroh-gossip/1'

/** Names the overlay that only tells who takes part in the sync of a topic: BLAKE3(topic ‖ this). */
const membershipMix = hashFromHex(
  'fd06fbd9ade4d7f482b5968edcf431db235ea3c5e55d8fe3613d26ca3ffa1ae9',
)

const utf8 = new TextEncoder()

/** The id of the network with this name; `p2panda` is upstream's default. Nodes of two networks never connect. */
export function networkId(name: string): Hash {
  return blake3(utf8.encode(name))
}

/** The ALPN of a protocol in a network: BLAKE3(protocol ‖ network id), 32 raw bytes. */
export function protocolAlpn(protocol: string, network: Uint8Array): Uint8Array {
  assert(network.length === 32, 'a network id has 32 bytes')
  return blake3(concatBytes(utf8.encode(protocol), network))
}

/** The log id of a p2panda topic stream: it hides the topic, which is a secret. */
export function topicLogId(topic: TopicId): LogId {
  return blake3(topic) as Uint8Array as LogId
}

/** How logs, metrics and /status name a topic: by its log, because the id itself lets whoever reads it take part. */
export function topicName(topic: TopicId): string {
  return shortId(topicLogId(topic))
}

/** The gossip topic of the membership overlay of a synced topic. Nothing may ever be broadcast on it. */
export function membershipTopic(topic: TopicId): TopicId {
  return blake3(concatBytes(topic, membershipMix)) as Uint8Array as TopicId
}

/**
 * The log id of one life of a zone: BLAKE3(topic ‖ length of zone ‖ zone ‖ incarnation, big-endian).
 *
 * A new life writes a new log, so that a zone which lost its head never forks the old one.
 */
export function zoneLogId(topic: TopicId, zone: string, incarnation: number | bigint): LogId {
  const name = utf8.encode(zone)
  assert(name.length >= 1 && name.length <= 255, 'a zone name has 1 to 255 bytes')
  const life = new Uint8Array(8)
  new DataView(life.buffer).setBigUint64(0, BigInt(incarnation))
  return blake3(concatBytes(topic, Uint8Array.of(name.length), name, life)) as Uint8Array as LogId
}
