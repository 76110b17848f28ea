/**
 * Transport parameters (RFC 9000 section 18), as TLS carries them in both directions.
 *
 * Unknown ones are skipped, of which iroh sends several; a parameter twice, a wrong length or a value out of range is
 * refused. Nothing is kept but the fields below.
 */
import { copyBytes } from '../../codec/index.ts'
import { ErrorCode, type Violation, violation } from './errors.ts'
import { CID_BYTES_MAX } from './header.ts'
import { Cursor, varintSize, writeVarint } from './varint.ts'

const Id = Object.freeze({
  originalDestination: 0x00,
  maxIdleTimeout: 0x01,
  statelessResetToken: 0x02,
  maxUdpPayload: 0x03,
  initialMaxData: 0x04,
  streamDataBidiLocal: 0x05,
  streamDataBidiRemote: 0x06,
  streamDataUni: 0x07,
  streamsBidi: 0x08,
  streamsUni: 0x09,
  ackDelayExponent: 0x0a,
  maxAckDelay: 0x0b,
  disableActiveMigration: 0x0c,
  preferredAddress: 0x0d,
  activeConnectionIdLimit: 0x0e,
  initialSource: 0x0f,
  retrySource: 0x10,
  maxDatagramFrame: 0x20,
})

export interface TransportParameters {
  maxIdleTimeoutMs: number
  maxUdpPayload: number
  initialMaxData: number
  streamDataBidiLocal: number
  streamDataBidiRemote: number
  streamDataUni: number
  streamsBidi: number
  streamsUni: number
  ackDelayExponent: number
  maxAckDelayMs: number
  activeConnectionIdLimit: number
  /** RFC 9221; 0 for none. */
  maxDatagramFrame: number
  originalDestination: Uint8Array | undefined
  initialSource: Uint8Array | undefined
  retrySource: Uint8Array | undefined
  statelessResetToken: Uint8Array | undefined
  /** Whether the server has another address on offer; it is read and not used. */
  preferredAddress: boolean
}

const PREFERRED_ID_AT = 4 + 2 + 16 + 2

/** The values that hold when a parameter is absent. */
export function defaultParameters(): TransportParameters {
  return {
    maxIdleTimeoutMs: 0,
    maxUdpPayload: 65_527,
    initialMaxData: 0,
    streamDataBidiLocal: 0,
    streamDataBidiRemote: 0,
    streamDataUni: 0,
    streamsBidi: 0,
    streamsUni: 0,
    ackDelayExponent: 3,
    maxAckDelayMs: 25,
    activeConnectionIdLimit: 2,
    maxDatagramFrame: 0,
    originalDestination: undefined,
    initialSource: undefined,
    retrySource: undefined,
    statelessResetToken: undefined,
    preferredAddress: false,
  }
}

const NUMBERS = Object.freeze({
  [Id.maxIdleTimeout]: 'maxIdleTimeoutMs',
  [Id.maxUdpPayload]: 'maxUdpPayload',
  [Id.initialMaxData]: 'initialMaxData',
  [Id.streamDataBidiLocal]: 'streamDataBidiLocal',
  [Id.streamDataBidiRemote]: 'streamDataBidiRemote',
  [Id.streamDataUni]: 'streamDataUni',
  [Id.streamsBidi]: 'streamsBidi',
  [Id.streamsUni]: 'streamsUni',
  [Id.ackDelayExponent]: 'ackDelayExponent',
  [Id.maxAckDelay]: 'maxAckDelayMs',
  [Id.activeConnectionIdLimit]: 'activeConnectionIdLimit',
  [Id.maxDatagramFrame]: 'maxDatagramFrame',
} as const)

const IDS = Object.freeze({
  [Id.originalDestination]: 'originalDestination',
  [Id.initialSource]: 'initialSource',
  [Id.retrySource]: 'retrySource',
} as const)

/** Only what differs from the defaults is written. */
export function encodeParameters(parameters: TransportParameters): Uint8Array {
  const bytes = new Uint8Array(256)
  const defaults = defaultParameters()
  let at = 0
  for (const [id, name] of Object.entries(NUMBERS)) {
    const value = parameters[name]
    if (value === defaults[name]) continue
    at = writeVarint(bytes, at, Number(id))
    at = writeVarint(bytes, at, varintSize(value))
    at = writeVarint(bytes, at, value)
  }
  const put = (id: number, value: Uint8Array | undefined) => {
    if (!value) return
    at = writeVarint(bytes, at, id)
    at = writeVarint(bytes, at, value.length)
    bytes.set(value, at)
    at += value.length
  }
  for (const [id, name] of Object.entries(IDS)) put(Number(id), parameters[name])
  put(Id.statelessResetToken, parameters.statelessResetToken)
  return copyBytes(bytes, 0, at)
}

/** @returns the parameters, or what is wrong with them. */
export function decodeParameters(
  bytes: Uint8Array,
  fromClient: boolean,
): TransportParameters | Violation {
  const bad = (what: string) => violation(ErrorCode.transportParameter, what)
  const parameters = defaultParameters()
  const cursor = new Cursor().reset(bytes)
  let seen = 0
  while (cursor.left > 0) {
    const id = cursor.varint()
    const length = cursor.varint()
    const start = cursor.skip(length)
    if (cursor.failed) return bad('the transport parameters are cut short')
    if (id <= 0x20) {
      // One bit each: 0x20 is folded onto the free place 0x1f.
      const bit = 1 << (id === 0x20 ? 0x1f : id)
      if (seen & bit) return bad('a transport parameter comes twice')
      seen |= bit
    }
    const number = NUMBERS[id as keyof typeof NUMBERS]
    const name = IDS[id as keyof typeof IDS]
    if (number) {
      const field = new Cursor().reset(bytes, start, start + length)
      parameters[number] = field.varint()
      if (field.failed || field.left > 0) return bad(`${number} is no integer`)
    } else if (name) {
      if (length > CID_BYTES_MAX) return bad(`${name} is too long`)
      parameters[name] = copyBytes(bytes, start, start + length)
    } else if (id === Id.statelessResetToken) {
      if (length !== 16) return bad('a reset token has 16 bytes')
      parameters.statelessResetToken = copyBytes(bytes, start, start + length)
    } else if (id === Id.disableActiveMigration && length !== 0) {
      return bad('disable_active_migration has a value')
    } else if (id === Id.preferredAddress) {
      if (!isPreferredAddress(bytes, start, length)) return bad('preferred_address is malformed')
      parameters.preferredAddress = true
    }
  }
  const serverOnly = (1 << Id.originalDestination) | (1 << Id.statelessResetToken)
  const more = (1 << Id.preferredAddress) | (1 << Id.retrySource)
  if (fromClient && seen & (serverOnly | more)) return bad('a client sends a parameter of servers')
  return rangeFault(parameters) ?? parameters
}

/** Two addresses with ports, a connection id that is not empty, a reset token (RFC 9000 section 18.2). */
function isPreferredAddress(bytes: Uint8Array, start: number, length: number): boolean {
  if (length <= PREFERRED_ID_AT) return false
  const id = bytes[start + PREFERRED_ID_AT]!
  return id >= 1 && id <= CID_BYTES_MAX && length === PREFERRED_ID_AT + 1 + id + 16
}

function rangeFault(parameters: TransportParameters): Violation | undefined {
  const bad = (what: string) => violation(ErrorCode.transportParameter, what)
  if (parameters.maxUdpPayload < 1200) return bad('max_udp_payload_size is below 1200')
  if (parameters.ackDelayExponent > 20) return bad('ack_delay_exponent is above 20')
  if (parameters.maxAckDelayMs >= 2 ** 14) return bad('max_ack_delay is too large')
  if (parameters.activeConnectionIdLimit < 2) return bad('active_connection_id_limit is below 2')
  const streamsMax = Math.max(parameters.streamsBidi, parameters.streamsUni)
  return streamsMax > 2 ** 60 ? bad('a stream limit is above 2^60') : undefined
}
