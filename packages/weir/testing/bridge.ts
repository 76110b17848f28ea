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
  let answered = false
  const hello = concatBytes(
    dial.from,
    dial.to,
    Uint8Array.of(dial.protocol.length),
    dial.protocol,
    Buffer.from(dial.fromAddress),
  )
  run(scope, socket, {
    frame(frame) {
      if (frame.kind !== 'answer') return relay(wire, socket, frame)
      const answer: DialAnswer | 'nobody' | undefined = ANSWERS[frame.a]
      if (answered || answer === undefined) return void socket.destroy()
      answered = true
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
      if (frame.kind !== 'hello') return relay(wire, socket, frame)
      const { bytes } = frame
      const protocolEnd = 65 + (bytes[64] ?? 0)
      if (attempt || bytes.length < protocolEnd) return void socket.destroy()
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

/** A message for the wire; one before the answer, or one that only the bridge itself says, is not of a bridge. */
function relay(wire: Wire | undefined, socket: Socket, frame: Frame): void {
  if (wire && frame.kind !== 'hello' && frame.kind !== 'answer') wire.send(toMessage(frame))
  else socket.destroy()
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
  const frames = new Frames()
  const owned = scope.defer('bridge socket', () => socket.destroy())
  socket.setNoDelay(true)
  socket.on('data', (chunk: Buffer) => {
    for (let bytes = frames.first(chunk); bytes; bytes = frames.next()) {
      const kind = KINDS[bytes[4]!]
      if (!kind) return void socket.destroy()
      handler.frame({
        kind,
        a: bytes.readUInt32LE(5),
        b: bytes.readUInt32LE(9),
        bytes: bytes.subarray(HEAD_BYTES),
      })
      if (socket.destroyed) return
    }
    if (frames.invalid) socket.destroy()
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    owned.release()
    handler.ended()
  })
}

/** Cuts chunks into frames. One that spans chunks is put together once, in memory of its size. */
class Frames {
  invalid = false
  readonly #head = Buffer.alloc(4)
  #headBytes = 0
  #chunk: Buffer = Buffer.alloc(0)
  #partial: Buffer | undefined
  #partialBytes = 0

  /** The first frame that ends in this chunk; the chunk before is used up. */
  first(chunk: Buffer): Buffer | undefined {
    this.#chunk = chunk
    return this.next()
  }

  /** The next frame, valid until the next call; undefined at the end of the chunk, or when it is `invalid`. */
  next(): Buffer | undefined {
    const chunk = this.#chunk
    if (!this.#partial) {
      if (this.#headBytes === 0 && chunk.length >= 4) {
        const length = this.#lengthOf(chunk)
        if (length === undefined) return undefined
        if (chunk.length >= length) {
          this.#chunk = chunk.subarray(length)
          return chunk.subarray(0, length)
        }
      }
      const taken = chunk.copy(this.#head, this.#headBytes, 0, 4 - this.#headBytes)
      this.#headBytes += taken
      this.#chunk = chunk.subarray(taken)
      if (this.#headBytes < 4) return undefined
      const length = this.#lengthOf(this.#head)
      if (length === undefined) return undefined
      this.#partial = Buffer.allocUnsafeSlow(length)
      this.#partialBytes = this.#head.copy(this.#partial)
    }
    const partial = this.#partial
    const taken = this.#chunk.copy(partial, this.#partialBytes)
    this.#partialBytes += taken
    this.#chunk = this.#chunk.subarray(taken)
    if (this.#partialBytes < partial.length) return undefined
    this.#partial = undefined
    this.#headBytes = 0
    return partial
  }

  #lengthOf(bytes: Buffer): number | undefined {
    const length = bytes.readUInt32LE(0)
    this.invalid = length < HEAD_BYTES || length > FRAME_BYTES_MAX
    return this.invalid ? undefined : length
  }
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
