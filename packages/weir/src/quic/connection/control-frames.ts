/** The frames of a connection that belong to no stream: what is due, and writing it into a packet. */
import { FrameType } from '../frames/frame-types.ts'
import { writeNewConnectionId, writeNumbers, writePath } from '../frames/write-frames.ts'
import { Ref } from '../recovery/sent-packets.ts'
import type { ConnectionState } from './connection-state.ts'
import type { PacketWriter } from './packet-writer.ts'
import { sameRemote } from './path.ts'

/** Room for the largest control frame. */
export const CONTROL_ROOM = 56

/** Whether there is anything to say beside acknowledgements and handshake bytes. */
export function controlDue(state: ConnectionState): boolean {
  return (
    state.streams.pending ||
    state.handshakeDoneDue ||
    state.pingDue ||
    state.pathResponse !== undefined ||
    state.remoteIds.retireDue >= 0 ||
    state.localIds.due() !== undefined ||
    state.datagrams?.pending === true
  )
}

/** @returns whether the datagram must be padded: it proves that the path carries what QUIC needs. */
export function writeControl(state: ConnectionState, packet: PacketWriter): boolean {
  const { bytes } = packet
  const padded = writePathResponse(state, packet)
  if (state.handshakeDoneDue && packet.fits(CONTROL_ROOM)) {
    bytes[packet.at] = FrameType.handshakeDone
    packet.wrote(packet.at + 1, Ref.handshakeDone)
    state.handshakeDoneDue = false
  }
  const { localIds, remoteIds } = state
  for (let id = localIds.due(); id && packet.fits(CONTROL_ROOM); id = localIds.due()) {
    const token = Buffer.from(id.token, 'latin1')
    const at = writeNewConnectionId(bytes, packet.at, id.sequence, 0, id.bytes, token)
    packet.wrote(at, Ref.newConnectionId, id.sequence)
    localIds.told(id)
  }
  while (remoteIds.retireDue >= 0 && packet.fits(CONTROL_ROOM)) {
    const sequence = remoteIds.retireDue
    const at = writeNumbers(bytes, packet.at, FrameType.retireConnectionId, sequence)
    packet.wrote(at, Ref.retireConnectionId, sequence)
    remoteIds.retireSent(sequence)
  }
  return padded
}

function writePathResponse(state: ConnectionState, packet: PacketWriter): boolean {
  const { pathResponse, pathResponseTo, paths } = state
  if (!pathResponse || !pathResponseTo || !packet.fits(CONTROL_ROOM)) return false
  // An answer goes back on the path that the challenge came on (RFC 9000 section 8.2.2).
  if (!sameRemote(pathResponseTo, paths.current.remote)) return false
  packet.wroteOnce(writePath(packet.bytes, packet.at, FrameType.pathResponse, pathResponse))
  state.pathResponse = state.pathResponseTo = undefined
  return true
}
