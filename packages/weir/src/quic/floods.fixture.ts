/**
 * What an authenticated peer may send without end, one flood each: run for a moment by the tests beside this file and
 * at length by `tests/quic-floods.ts`.
 */
import { type Random, seededRandom } from '../runtime/index.ts'
import { FrameType } from './frames/frame-types.ts'
import {
  writeCryptoHead,
  writeNewConnectionId,
  writeNumbers,
  writePath,
  writeStreamHead,
} from './frames/write-frames.ts'
import { type Attacker, frame } from './hostile.fixture.ts'
import { writeVarint } from './packet/varint.ts'

export interface Flood {
  readonly name: string
  /** Whether the first packets break a rule: the connection of the attacker ends and the rest leads nowhere. */
  readonly ends: boolean
  /** The frames of the packet with this index. */
  frames(index: number, random: Random): Uint8Array
  /** Its number, when it is not the next one. */
  number?(index: number): number
}

/** As many frames as fit into a packet. */
function packed(each: (bytes: Uint8Array, at: number, index: number) => number, first: number) {
  const bytes = new Uint8Array(1_200)
  let at = 0
  for (let index = first; at < 1_000; index++) at = each(bytes, at, index)
  return bytes.slice(0, at)
}

const PER_PACKET = 400

export const FLOODS: readonly Flood[] = Object.freeze([
  {
    name: 'gaps in a stream',
    ends: false,
    frames: (index) =>
      frame((bytes) => writeStreamHead(bytes, 0, 0, 1 + ((2 * index) % 16_000), 1, false) + 1),
  },
  {
    name: 'gaps in the packet numbers',
    ends: false,
    frames: () => Uint8Array.of(FrameType.ping, 0, 0, 0),
    number: (index) => 2 ** 21 + 2 * index,
  },
  {
    name: 'gaps in the handshake bytes',
    ends: false,
    frames: (index) =>
      frame((bytes) => writeCryptoHead(bytes, 0, 1 + ((2 * index) % 4_000), 1) + 1),
  },
  {
    name: 'handshake bytes after the handshake',
    ends: true,
    frames: (index) => frame((bytes) => writeCryptoHead(bytes, 0, 1_000 * index, 1_000) + 1_000),
  },
  {
    name: 'credit that grows',
    ends: false,
    frames: (index) =>
      packed(
        (bytes, at, each) => writeNumbers(bytes, at, FrameType.maxData, 2 ** 20 + each),
        index * PER_PACKET,
      ),
  },
  {
    name: 'credit for streams that does not grow',
    ends: false,
    frames: () => packed((bytes, at) => writeNumbers(bytes, at, FrameType.maxStreamsUni, 1), 0),
  },
  {
    name: 'complaints of too little credit',
    ends: false,
    frames: (index) =>
      packed(
        (bytes, at, each) => writeNumbers(bytes, at, FrameType.dataBlocked, each),
        index * PER_PACKET,
      ),
  },
  {
    name: 'streams opened by a single byte and left',
    ends: true,
    frames: (index) =>
      packed(
        (bytes, at, each) => writeStreamHead(bytes, at, 4 * each, 0, 1, false) + 1,
        index * PER_PACKET,
      ),
  },
  {
    name: 'streams opened by a reset',
    ends: true,
    frames: (index) =>
      packed(
        (bytes, at, each) => writeNumbers(bytes, at, FrameType.resetStream, 4 * each, 1, 0),
        index * PER_PACKET,
      ),
  },
  {
    name: 'one stream reset again and again',
    ends: false,
    frames: () => packed((bytes, at) => writeNumbers(bytes, at, FrameType.resetStream, 0, 1, 0), 0),
  },
  {
    name: 'one stream stopped again and again',
    ends: false,
    frames: () => packed((bytes, at) => writeNumbers(bytes, at, FrameType.stopSending, 0, 1), 0),
  },
  {
    name: 'bytes far ahead in a stream',
    ends: true,
    frames: (index) =>
      frame((bytes) => writeStreamHead(bytes, 0, 0, 2 ** 30 + index, 1, false) + 1),
  },
  {
    name: 'acknowledgement of packets that were never sent',
    ends: true,
    frames: () => Uint8Array.of(FrameType.ack, 0x7f, 0xff, 0, 0, 0),
  },
  {
    name: 'acknowledgement of packets one after the other, seen or not',
    ends: true,
    frames: (index) =>
      frame((bytes) => {
        let at = writeNumbers(bytes, 0, FrameType.ack, index, 0, 0)
        at = writeVarint(bytes, at, 0)
        return at
      }),
  },
  {
    name: 'acknowledgement in many ranges',
    ends: false,
    frames: () => {
      // Of packet 0 alone, in a frame as long as one can be that says so.
      return packed(
        (bytes, at) => writeVarint(bytes, writeNumbers(bytes, at, FrameType.ack, 0, 0, 0), 0),
        0,
      )
    },
  },
  {
    name: 'connection ids that retire each other',
    ends: true,
    frames: (index) =>
      packed((bytes, at, each) => {
        const id = new Uint8Array(8).fill(each)
        return writeNewConnectionId(
          bytes,
          at,
          2 + each,
          2 + each,
          id,
          new Uint8Array(16).fill(each),
        )
      }, index * PER_PACKET),
  },
  {
    name: 'connection ids of ours retired as they come',
    ends: true,
    frames: (index) =>
      packed(
        (bytes, at, each) => writeNumbers(bytes, at, FrameType.retireConnectionId, each),
        index * PER_PACKET,
      ),
  },
  {
    name: 'challenges of the path',
    ends: false,
    frames: (index) =>
      packed((bytes, at, each) => {
        return writePath(bytes, at, FrameType.pathChallenge, new Uint8Array(8).fill(each))
      }, index),
  },
  {
    name: 'answers to challenges that nobody made',
    ends: false,
    frames: (index) =>
      packed((bytes, at, each) => {
        return writePath(bytes, at, FrameType.pathResponse, new Uint8Array(8).fill(each))
      }, index),
  },
  {
    name: 'pings',
    ends: false,
    frames: () => new Uint8Array(1_000).fill(FrameType.ping),
  },
  {
    name: 'nothing but padding',
    ends: false,
    frames: () => new Uint8Array(1_000),
  },
  {
    name: 'random frames',
    ends: true,
    frames: (_index, random) => {
      const bytes = random.bytes(4 + random.below(900))
      bytes[0] = random.below(0x32)
      return bytes
    },
  },
])

/** Sends the packets of a flood. The connection of the attacker may end meanwhile; it goes on all the same. */
export async function flood(
  attacker: Attacker,
  { frames, number }: Flood,
  packets: number,
  first = 0,
): Promise<void> {
  const random = seededRandom(first + 1)
  for (let index = first; index < first + packets; index++) {
    await attacker.forge(frames(index, random), number?.(index))
  }
}
