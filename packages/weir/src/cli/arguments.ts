/** What users write on the command line, as values, each with one clear error. */
import { parseBytes } from '../bounds/index.ts'
import { blake3, nodeIdFromHex, topicId, topicIdFromHex } from '../core/index.ts'
import { isWeirError, type LogLevel, WeirError } from '../runtime/index.ts'
import { type FixedPeer, parseAddress, type TransportName } from '../transport/index.ts'

const HEX_ID = /^[0-9a-fA-F]{64}$/
/** What is more likely an id with a digit too few or too many than words. */
const NEARLY_HEX_ID = /^[0-9a-fA-F]{32,}$/
const TOPIC_CHARS_MAX = 256

const shown = (text: string): string => `'${text.slice(0, 100)}'`

/**
 * `ID@127.0.0.1:9102`, the id as 64 hex digits.
 *
 * @throws {WeirError} `PEER_INVALID`
 */
export function parsePeer(text: string): FixedPeer {
  const at = text.indexOf('@')
  const id = text.slice(0, Math.max(at, 0))
  const address = text.slice(at + 1)
  const invalid = (cause?: unknown) =>
    new WeirError(
      'PEER_INVALID',
      `${shown(text)} is no peer; write the 64 hex digits of its id, @ and its address: ID@127.0.0.1:9102`,
      cause === undefined ? {} : { cause },
    )
  if (!HEX_ID.test(id)) throw invalid()
  try {
    const { port } = parseAddress(address)
    if (port === 0) throw invalid()
    return { node: nodeIdFromHex(id), addresses: [address] }
  } catch (error) {
    throw isWeirError(error, 'PEER_INVALID') ? error : invalid(error)
  }
}

/**
 * A topic as 64 hex digits, or as any other words, a name: its id is the BLAKE3 hash of the words in UTF-8. Another
 * number of hex digits is taken for a mistake: its hash would be a topic on which nobody ever is.
 *
 * @throws {WeirError} `TOPIC_INVALID`
 */
export function parseTopic(text: string): ReturnType<typeof topicId> {
  if (HEX_ID.test(text)) return topicIdFromHex(text)
  if (text === '' || text.length > TOPIC_CHARS_MAX) {
    throw new WeirError(
      'TOPIC_INVALID',
      `${shown(text)} is no topic; write 64 hex digits, or words of at most ${TOPIC_CHARS_MAX} characters`,
    )
  }
  if (NEARLY_HEX_ID.test(text)) {
    throw new WeirError(
      'TOPIC_INVALID',
      `${shown(text)} has ${text.length} hex digits; the id of a topic has 64, and a name of one is not hex alone`,
    )
  }
  return topicId(blake3(new TextEncoder().encode(text)))
}

/** @throws {WeirError} `ADDRESS_INVALID` */
export function parseListen(text: string): string {
  parseAddress(text)
  return text
}

/** @throws {WeirError} `SIZE_INVALID` */
export function parseMemory(text: string): number {
  return parseBytes(text)
}

/** @throws {WeirError} `NETWORK_ID_INVALID` */
export function parseNetworkId(text: string): string {
  if (text !== '' && text.length <= TOPIC_CHARS_MAX) return text
  throw new WeirError(
    'NETWORK_ID_INVALID',
    `a network id has 1 to ${TOPIC_CHARS_MAX} characters; all nodes of a network use the same`,
  )
}

/** @throws {WeirError} `TRANSPORT_UNKNOWN` */
export function parseTransport(text: string): TransportName {
  if (text === 'quic' || text === 'iroh' || text === 'memory') return text
  throw new WeirError(
    'TRANSPORT_UNKNOWN',
    `there is no transport ${shown(text)}; take quic or iroh`,
  )
}

/** @throws {WeirError} `LOG_LEVEL_INVALID` */
export function parseLogLevel(text: string): LogLevel {
  if (text === 'debug' || text === 'info' || text === 'warn' || text === 'error') return text
  throw new WeirError(
    'LOG_LEVEL_INVALID',
    `${shown(text)} is no log level; take debug, info, warn or error`,
  )
}
