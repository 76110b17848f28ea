/**
 * Tokens longer than ours, as other servers make them: of a Retry and of NEW_TOKEN, at both ends.
 *
 * A middlebox that knows the Initial keys, as everybody does who sees the first datagram, makes the tokens of our own
 * server long on their way to the client, and takes its own for them on the way back.
 */
import assert from 'node:assert/strict'
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import test from 'node:test'
import { isWeirError } from '../runtime/index.ts'
import { type Address, parseAddress } from '../transport/index.ts'
import { RETRY_TOKEN_BYTES_MAX } from './connection/packets-in.ts'
import { exchange, next, PROTOCOL, type Setting, withEndpoints } from './endpoint.fixture.ts'
import { FrameType } from './frames/frame-types.ts'
import {
  DATAGRAM_BYTES_MIN,
  longHeadSize,
  PacketHead,
  readHead,
  readNumber,
  TAG_BYTES,
  writeLongHead,
  writeNumber,
} from './packet/header.ts'
import { Cursor, writeVarint, writeVarint2 } from './packet/varint.ts'
import { connected } from './rules.fixture.ts'
import { tlsSecurity } from './security.ts'
import { toySecurity } from './toy-tls.fixture.ts'

const NOTHING = new Uint8Array(0)
/** Largest number, delay, ranges and first range of an ACK. */
const ZEROS_MAX = 5
const isZero = (byte: number): boolean => byte === 0
const real = tlsSecurity()

/** The ids and the token of the first packet, when it is one of this type. */
function headOf(bytes: Uint8Array, type: PacketHead['type']) {
  const head = new PacketHead()
  if (!readHead(new Cursor().reset(bytes), head) || head.type !== type) return undefined
  return {
    head,
    destination: bytes.slice(head.destinationAt, head.destinationAt + head.destinationLength),
    source: bytes.slice(head.sourceAt, head.sourceAt + head.sourceLength),
    token: bytes.slice(head.tokenAt, head.tokenAt + head.tokenLength),
  }
}

/**
 * The datagram with another token in its Initial, sealed again and padded to what it has to be.
 *
 * @param keysId the first destination, or that of the Retry, which the Initial keys are made from.
 */
function withToken(datagram: Uint8Array, token: Uint8Array, keysId: Uint8Array): Uint8Array {
  const bytes = datagram.slice()
  const read = headOf(bytes, 'initial')
  if (!read) return bytes
  const { head, destination, source } = read
  const ofServer = real.initialKeys(keysId, 'server')
  const ofClient = real.initialKeys(keysId, 'client')
  const length = ofServer.read.unmask(bytes, 0, head.numberAt)
  const number = readNumber(bytes, head.numberAt, length)
  const plainAt = head.numberAt + length
  let plainEnd = ofServer.read.open(bytes, 0, plainAt, head.end, number)
  assert.ok(plainEnd > 0, 'what the client says can be read')
  // The padding makes room for the token. The last zeros may be of an acknowledgement.
  while (
    plainEnd > plainAt + ZEROS_MAX &&
    bytes.subarray(plainEnd - ZEROS_MAX, plainEnd).every(isZero)
  )
    plainEnd--
  const rest = bytes.subarray(head.end)
  const made = new Uint8Array(4_096)
  const at = longHeadSize(true, destination, source, token, length)
  writeLongHead(made, 0, 'initial', destination, source, token, length)
  made.set(bytes.subarray(plainAt, plainEnd), at)
  const shortest = rest.length === 0 ? DATAGRAM_BYTES_MIN - TAG_BYTES : 0
  const end = Math.max(at + plainEnd - plainAt, shortest)
  writeVarint2(made, at - length - 2, length + end - at + TAG_BYTES)
  writeNumber(made, at - length, number, length)
  const sealed = ofClient.write.seal(made, 0, at, end, number, length)
  made.set(rest, sealed)
  for (const keys of [ofServer, ofClient]) {
    keys.read[Symbol.dispose]()
    keys.write[Symbol.dispose]()
  }
  return made.slice(0, Math.max(sealed + rest.length, DATAGRAM_BYTES_MIN))
}

class LongTokens implements AsyncDisposable {
  readonly #front: Socket
  readonly #back: Socket
  /** Lengths of the tokens that the client sent. */
  readonly seen: number[] = []
  #client: RemoteInfo | undefined
  #original: Uint8Array = NOTHING
  #retried: Uint8Array = NOTHING
  #short: Uint8Array = NOTHING

  private constructor(front: Socket, back: Socket) {
    this.#front = front
    this.#back = back
  }

  /** `always` gives the client's Initials a long token without any Retry. */
  static async open(to: Address, tokenBytes: number, always = false): Promise<LongTokens> {
    const server = parseAddress(to)
    const box = new LongTokens(await bound(), await bound())
    const long = new Uint8Array(tokenBytes).fill(0x5a)
    box.#front.on('message', (bytes, from) => {
      box.#client = from
      const read = headOf(bytes, 'initial')
      if (read && box.#original.length === 0) box.#original = read.destination
      if (read) box.seen.push(read.token.length)
      const token = always ? long : box.#short
      const swapped = read && (always || read.token.length > 0)
      const keysId = always ? box.#original : box.#retried
      const passed = swapped ? withToken(bytes, token, keysId) : bytes
      box.#back.send(passed, server.port, server.host)
    })
    box.#back.on('message', (bytes) => {
      const read = headOf(bytes, 'retry')
      let answer: Uint8Array = bytes
      if (read) {
        box.#short = read.token
        box.#retried = read.source
        const packet = Buffer.concat([bytes.subarray(0, read.head.tokenAt), long])
        answer = Buffer.concat([packet, real.retryTag(box.#original, packet)])
      }
      box.#front.send(answer, box.#client!.port, box.#client!.address)
    })
    return box
  }

  get address(): Address {
    return `127.0.0.1:${this.#front.address().port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of [this.#front, this.#back]) {
      await new Promise<void>((resolve) => socket.close(() => resolve()))
    }
  }
}

async function bound(): Promise<Socket> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  return socket
}

/** Dials through the middlebox; the server asks everybody for a proof. */
async function dial({ a, b }: Setting, address: Address) {
  const answering = (async () => {
    for (;;) {
      const incoming = await next(b)
      if (incoming.validated) return incoming.accept()
      incoming.retry()
    }
  })()
  answering.catch(() => {})
  const out = await a.connect(b.nodeId, PROTOCOL, { addresses: [address] })
  return [out, await answering] as const
}

for (const tokenBytes of [20, 600, 1_000, RETRY_TOKEN_BYTES_MAX]) {
  test(`a client repeats a Retry token of ${tokenBytes} bytes and gets in`, async () => {
    await withEndpoints({ security: tlsSecurity() }, async (setting) => {
      await using box = await LongTokens.open(setting.b.localAddresses[0]!, tokenBytes)
      const [out, into] = await dial(setting, box.address)
      assert.equal(box.seen[0], 0)
      assert.ok(box.seen.includes(tokenBytes), `it sent tokens of ${box.seen.join()} bytes`)
      await exchange(out, into)
    })
  })
}

for (const tokenBytes of [RETRY_TOKEN_BYTES_MAX + 1, 1_150, 4_000]) {
  test(`a client that cannot repeat a token of ${tokenBytes} bytes says so at once`, async () => {
    await withEndpoints({ security: tlsSecurity() }, async (setting) => {
      await using box = await LongTokens.open(setting.b.localAddresses[0]!, tokenBytes)
      await assert.rejects(dial(setting, box.address), (error) => {
        assert.ok(isWeirError(error, 'CONNECT_FAILED'), String(error))
        assert.match(error.message, new RegExp(`Retry token of ${tokenBytes} bytes`))
        return true
      })
      assert.ok(!box.seen.includes(tokenBytes), 'it was sent all the same')
    })
  })
}

for (const tokenBytes of [1, 47, 600, 1_000]) {
  test(`to a server a token of ${tokenBytes} bytes that it did not make is none`, async () => {
    await withEndpoints({ security: tlsSecurity() }, async ({ a, b }) => {
      await using box = await LongTokens.open(b.localAddresses[0]!, tokenBytes, true)
      const dialling = a.connect(b.nodeId, PROTOCOL, { addresses: [box.address] })
      const incoming = await next(b)
      assert.equal(incoming.validated, false)
      const into = await incoming.accept()
      await exchange(await dialling, into)
    })
  })
}

test('a client keeps no NEW_TOKEN, however long, and a server takes none', () => {
  for (const tokenBytes of [1, 600, 1_000]) {
    const frame = new Uint8Array(4 + tokenBytes)
    frame[0] = FrameType.newToken
    frame.fill(9, writeVarint(frame, 1, tokenBytes))
    const world = connected({ security: toySecurity() })
    const { a, b } = world
    const held = world.ledger.costBytes
    const frames = frame.subarray(0, (tokenBytes < 64 ? 2 : 3) + tokenBytes)
    for (let each = 0; each < 50; each++) world.forge(a, frames)
    assert.equal(a.end, undefined)
    assert.equal(world.ledger.costBytes, held)
    world.forge(b, frames)
    assert.equal(b.end?.transportCode, 0x0a)
    world.close()
  }
})
