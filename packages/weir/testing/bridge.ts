/**
 * Carries connections of the memory backend over a socket, so that two processes can meet: each memory connection is
 * one socket, its messages are frames, and the credit is that of the two ends. For tests and benches.
 *
 * Memory: a frame at a time; what waits in the socket is within the credit of the receiving end.
 */
import { connect, type Server, type Socket } from 'node:net'
import { asBuffer, concatBytes, copyBytes } from '../src/codec/index.ts'
import { nodeId } from '../src/core/index.ts'
import type { Scope } from '../src/runtime/index.ts'
import type {
  Address,
  Dial,
  DialAnswer,
  Listener,
  MemoryNetwork,
  Message,
  Wire,
} from '../src/transport/index.ts'

/** Larger than any frame: a window and its head. */
const FRAME_BYTES_MAX = 1024 * 1024 + 64
const HEAD_BYTES = 13

/** As in the tables below; the last two are the bridge's own. */
const KINDS = Object.freeze([
  'open',
  'data',
  'finish',
  'reset',
  'stop',
  'credit',
  'streams',
  'close',
  'hello',
  'answer',
] as const)
const ANSWERS = Object.freeze([
  'accepted',
  'refused',
  'busy',
  'protocol',
  'identity',
  'retry',
  'nobody',
] as const)

interface Frame {
  readonly kind: (typeof KINDS)[number]
  readonly a: number
  readonly b: number
  readonly bytes: Uint8Array
}

const NO_BYTES = new Uint8Array(0)

/** Makes `address` on this network lead to a bridge in another process that listens on `port` of loopback. */
export function bridgeTo(
  scope: Scope,
  network: MemoryNetwork,
  address: Address,
  port: number,
): void {
  const listener: Listener = {
    address,
    dial(dial) {
      const socket = connect({ port, host: '127.0.0.1' })
      relayDial(scope, socket, dial)
    },
  }
  network.listen(listener)
  scope.defer('bridge', () => network.unlisten(listener))
}

/** Lets the sockets of a server dial into this network. */
export function bridgeFrom(scope: Scope, network: MemoryNetwork, server: Server): void {
  scope.listen(server, 'connection', (socket: Socket) => relayInto(scope, network, socket))
}

function relayDial(scope: Scope, socket: Socket, dial: Dial): void {
  let wire: Wire | undefined
  const hello = concatBytes(
    dial.from,
    dial.to,
    Uint8Array.of(dial.protocol.length),
    dial.protocol,
    Buffer.from(dial.fromAddress),
  )
  run(scope, socket, {
    frame({ kind, a, bytes, ...rest }) {
      if (kind !== 'answer') return wire?.send(toMessage({ kind, a, bytes, ...rest }))
      const answer = ANSWERS[a] as DialAnswer | 'nobody'
      if (answer === 'accepted') wire = dial.attach(end(socket))
      dial.answer(answer === 'nobody' ? 'refused' : answer)
    },
    ended() {
      if (wire) wire.send({ type: 'close', code: 0, reason: 'the bridge was lost' })
      else if (!dial.gone) dial.answer('refused')
    },
  })
  write(socket, { kind: 'hello', a: dial.validated ? 1 : 0, b: 0, bytes: hello })
}

function relayInto(scope: Scope, network: MemoryNetwork, socket: Socket): void {
  let wire: Wire | undefined
  let attempt: Disposable | undefined
  run(scope, socket, {
    frame(frame) {
      if (frame.kind !== 'hello') return wire?.send(toMessage(frame))
      const { bytes } = frame
      const protocolEnd = 65 + bytes[64]!
      const to = nodeId(copyBytes(bytes, 32, 64))
      // Without such a node here the address leads nowhere, and the answer says so.
      attempt = network.dial(network.addressOf(to) ?? '', {
        from: nodeId(copyBytes(bytes, 0, 32)),
        fromAddress: asBuffer(bytes.subarray(protocolEnd)).toString(),
        to,
        protocol: copyBytes(bytes, 65, protocolEnd),
        validated: frame.a === 1,
        answered(answer, attach) {
          write(socket, { kind: 'answer', a: ANSWERS.indexOf(answer), b: 0, bytes: NO_BYTES })
          if (attach) wire = attach(end(socket))
          else socket.end()
        },
      })
    },
    ended() {
      if (wire) wire.send({ type: 'close', code: 0, reason: 'the bridge was lost' })
      else attempt?.[Symbol.dispose]()
    },
  })
}

const end = (socket: Socket) => ({
  receive(message: Message) {
    write(socket, fromMessage(message))
    if (message.type === 'close') socket.end()
  },
  lost() {
    socket.end()
  },
})

interface Handler {
  frame(frame: Frame): void
  ended(): void
}

function run(scope: Scope, socket: Socket, handler: Handler): void {
  let rest: Buffer = Buffer.alloc(0)
  const owned = scope.defer('bridge socket', () => socket.destroy())
  socket.setNoDelay(true)
  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (rest.length >= 4) {
      const length = rest.readUInt32LE(0)
      if (length < HEAD_BYTES || length > FRAME_BYTES_MAX) {
        socket.destroy()
        return
      }
      if (rest.length < length) return
      const kind = KINDS[rest[4]!]
      if (!kind) {
        socket.destroy()
        return
      }
      const bytes = rest.subarray(HEAD_BYTES, length)
      const frame = { kind, a: rest.readUInt32LE(5), b: rest.readUInt32LE(9), bytes }
      rest = rest.subarray(length)
      handler.frame(frame)
    }
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    owned.release()
    handler.ended()
  })
}

function write(socket: Socket, { kind, a, b, bytes }: Frame): void {
  if (!socket.writable) return
  const frame = Buffer.allocUnsafe(HEAD_BYTES + bytes.length)
  frame.writeUInt32LE(frame.length, 0)
  frame[4] = KINDS.indexOf(kind)
  frame.writeUInt32LE(a, 5)
  frame.writeUInt32LE(b, 9)
  frame.set(bytes, HEAD_BYTES)
  socket.write(frame)
}

function fromMessage(message: Message): Frame {
  switch (message.type) {
    case 'open':
      // The kind is in the number of the stream; see memory-connection.
      return { kind: 'open', a: message.stream, b: message.credit, bytes: NO_BYTES }
    case 'data':
      return { kind: 'data', a: message.stream, b: 0, bytes: message.bytes }
    case 'finish':
      return { kind: 'finish', a: message.stream, b: 0, bytes: NO_BYTES }
    case 'reset':
    case 'stop':
      return { kind: message.type, a: message.stream, b: message.code, bytes: NO_BYTES }
    case 'credit':
      return { kind: 'credit', a: message.stream, b: message.bytes, bytes: NO_BYTES }
    case 'streams':
      return { kind: 'streams', a: message.bidi ? 1 : 0, b: message.count, bytes: NO_BYTES }
    case 'close':
      return { kind: 'close', a: message.code, b: 0, bytes: Buffer.from(message.reason) }
  }
}

function toMessage({ kind, a, b, bytes }: Frame): Message {
  switch (kind) {
    case 'open':
      return { type: 'open', stream: a, bidi: (a & 2) === 0, credit: b }
    case 'data':
      return { type: 'data', stream: a, bytes }
    case 'finish':
      return { type: 'finish', stream: a }
    case 'reset':
    case 'stop':
      return { type: kind, stream: a, code: b }
    case 'credit':
      return { type: 'credit', stream: a, bytes: b }
    case 'streams':
      return { type: 'streams', bidi: a === 1, count: b }
    default:
      return { type: 'close', code: a, reason: asBuffer(bytes).toString() }
  }
}
