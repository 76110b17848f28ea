import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../../testing/index.ts'
import { type Ledger, term } from '../../bounds/index.ts'
import { FrameType } from '../frames/frame-types.ts'
import { ErrorCode } from '../packet/errors.ts'
import { SentPackets } from '../recovery/sent-packets.ts'
import { DatagramQueues } from './datagrams.ts'
import { PacketWriter } from './packet-writer.ts'

const ROOM = 1_150
const queue = (name: string) =>
  term({
    ...{ name, why: 'test', table: 'ring', entriesMax: 8, payloadBytesMax: 4_000 },
    overflow: 'drop-old',
  })
const terms = [queue('test.out'), queue('test.in')] as const
const records = term({ name: 'test.records', why: 'test', payloadBytesMax: 1 << 16 })

function queues(run: (queues: DatagramQueues, packet: () => PacketWriter) => void) {
  return withLedger([...terms, records], (ledger: Ledger) => {
    using account = ledger.require(records)
    const sent = new SentPackets(account)
    const each = new DatagramQueues({
      out: ledger.require(terms[0]),
      in: ledger.require(terms[1]),
    })
    const packet = () => {
      sent.abandon()
      const writer = new PacketWriter(new Uint8Array(ROOM))
      writer.begin(0, ROOM, sent)
      return writer
    }
    run(each, packet)
    each.end()
    sent.clear()
  })
}

test('nothing is sent to a peer that takes none, and nothing longer than it takes', () =>
  queues((each) => {
    assert.equal(each.bytesMax(ROOM), 0)
    assert.equal(each.send(new Uint8Array(1), ROOM), false)
    each.peerFrameMax = 100
    assert.equal(each.bytesMax(ROOM), 97)
    assert.equal(each.send(new Uint8Array(98), ROOM), false)
    assert.equal(each.send(new Uint8Array(97), ROOM), true)
    each.peerFrameMax = 65_535
    assert.equal(each.bytesMax(ROOM), ROOM - 3)
  }))

test('messages keep their borders and their order, and a copy is sent', () =>
  queues((each, packet) => {
    each.peerFrameMax = 65_535
    const bytes = Uint8Array.of(1, 2, 3)
    each.send(bytes, ROOM)
    bytes.fill(9)
    each.send(new Uint8Array(0), ROOM)
    const writer = packet()
    each.fill(writer, ROOM)
    assert.deepEqual(
      [...writer.bytes.subarray(0, writer.at)],
      [FrameType.datagramLength, 3, 1, 2, 3, FrameType.datagramLength, 0],
    )
    assert.ok(writer.eliciting)
    assert.equal(each.pending, false)
  }))

test('at the cap the oldest goes', () =>
  queues((each, packet) => {
    each.peerFrameMax = 65_535
    for (let of = 0; of < 20; of++) assert.equal(each.send(Uint8Array.of(of), ROOM), true)
    assert.equal(each.dropped, 12)
    const writer = packet()
    each.fill(writer, ROOM)
    assert.equal(writer.bytes[2], 12)
    for (let of = 0; of < 20; of++) each.received(Uint8Array.of(of))
    assert.deepEqual(each.read(), Uint8Array.of(12))
  }))

test('a message that does not fit waits for an empty packet, and goes when no packet can carry it', () =>
  queues((each, packet) => {
    each.peerFrameMax = 65_535
    each.send(new Uint8Array(1_000), ROOM)
    const half = packet()
    half.at = 600
    each.fill(half, ROOM)
    assert.equal(half.at, 600)
    assert.ok(each.pending)
    each.fill(half, 500)
    assert.equal(each.pending, false)
    assert.equal(each.cut, 1)
  }))

test('N+1: a message longer than the frame that the peer was told of ends the connection', () =>
  queues((each) => {
    assert.equal(each.received(new Uint8Array(65_533))?.code, ErrorCode.protocolViolation)
    assert.equal(each.received(new Uint8Array(3_000)), undefined)
  }))
