/** Writes what a stream has to say into a packet: control frames first, then its bytes. */
import type { PacketWriter } from '../connection/packet-writer.ts'
import { FrameType } from '../frames/frame-types.ts'
import { streamHeadSize, writeNumbers, writeStreamHead } from '../frames/write-frames.ts'
import { Ref } from '../recovery/sent-packets.ts'
import type { ReceivePart } from './receive-part.ts'
import type { SendPart } from './send-part.ts'

/** Room for the largest control frame of a stream. */
export const CONTROL_ROOM = 25

/** @returns false when it has more to send than there was room. */
export function fillStream(
  packet: PacketWriter,
  id: number,
  send: SendPart | undefined,
  receive: ReceivePart | undefined,
): boolean {
  if (receive && !fillReceive(packet, id, receive)) return false
  return !send || fillSend(packet, id, send)
}

function fillReceive(packet: PacketWriter, id: number, receive: ReceivePart): boolean {
  const { bytes } = packet
  if (receive.stopDue) {
    if (!packet.fits(CONTROL_ROOM)) return false
    const at = writeNumbers(bytes, packet.at, FrameType.stopSending, id, receive.stopCode)
    packet.wrote(at, Ref.stopSending, id)
    receive.stopSent()
  }
  if (receive.creditDue) {
    if (!packet.fits(CONTROL_ROOM)) return false
    const at = writeNumbers(bytes, packet.at, FrameType.maxStreamData, id, receive.advertise())
    packet.wrote(at, Ref.maxStreamData, id)
  }
  return true
}

function fillSend(packet: PacketWriter, id: number, send: SendPart): boolean {
  const { bytes } = packet
  if (send.resetDue) {
    if (!packet.fits(CONTROL_ROOM)) return false
    const { resetCode, finalSize } = send
    const at = writeNumbers(bytes, packet.at, FrameType.resetStream, id, resetCode, finalSize)
    packet.wrote(at, Ref.resetStream, id)
    send.resetSent()
  }
  while (send.dataDue) {
    const head = streamHeadSize(id, send.buffer.written, packet.room)
    if (!packet.fits(head + 1)) return false
    send.next(packet.room - head)
    const { chunkAt, chunkLength } = send.buffer
    const fin = send.chunkFin
    const at = writeStreamHead(bytes, packet.at, id, chunkAt, chunkLength, fin)
    send.take(bytes, at, fin)
    packet.wrote(at + chunkLength, Ref.stream, id, chunkAt, chunkLength * 2 + (fin ? 1 : 0))
  }
  if (send.blocked.due) {
    if (!packet.fits(CONTROL_ROOM)) return false
    const limit = send.blocked.tell()
    const at = writeNumbers(bytes, packet.at, FrameType.streamDataBlocked, id, limit)
    packet.wrote(at, Ref.streamDataBlocked, id, limit)
  }
  return true
}
