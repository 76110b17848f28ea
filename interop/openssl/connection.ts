/** A connection of OpenSSL: what comes on its streams, what is sent on them, and how it ends. */
import { createHash, type Hash } from 'node:crypto'
import type { Openssl } from './library.ts'

const BLOCK_BYTES = 64 * 1024
const NO_BLOCK = 1n
const STREAM_UNI = 1n
const STREAM_NO_BLOCK = 2n
const STREAM_ADVANCE = 4n
const ACCEPT_STREAMS = 1
const NO_DEFAULT_STREAM = 0
const TYPE_READ = 1
/** Not the rapid kind, which says it once and no more; without waiting for streams, and without blocking. */
const SHUT_DOWN = 2n | 4n
const CLOSE_INFO_BYTES = 40
const BY_US = 1
const OF_TRANSPORT = 2
const ERROR_FAILED = 1
const ERROR_END = 6
const UPDATE_KEYS = 0

export interface End {
  readonly by: 'us' | 'peer' | 'lost'
  readonly code?: number
  readonly transport?: number
  readonly reason?: string
}

type Event = (name: string, fields: Readonly<Record<string, unknown>>) => void

/** What a stream is for. */
type Use =
  | { readonly kind: 'swallow' | 'echo' }
  | { readonly kind: 'send' | 'talk'; readonly bytes: number }
  | { readonly kind: 'reset'; readonly bytes: number; readonly code: bigint }

interface Stream {
  readonly pointer: bigint
  readonly use: Use
  readonly read: Hash
  readonly written: Hash
  readonly since: number
  readBytes: number
  /** How reading ended. */
  end: string | undefined
  /** Of `send`, `talk` and `reset`. */
  left: number
  waiting: Buffer
  concluded: boolean
}

export class OpensslConnection {
  readonly #openssl: Openssl
  readonly #pointer: bigint
  readonly #conn: number
  readonly #event: Event
  readonly #streams = new Set<Stream>()
  readonly #buffer = Buffer.alloc(BLOCK_BYTES)
  readonly #count = Buffer.alloc(8)
  #closing: Buffer | undefined
  #ended = false
  /** Nothing is left to be said. */
  over = false

  /** @param pointer of a connection whose handshake is through. */
  constructor(openssl: Openssl, pointer: bigint, conn: number, event: Event) {
    const { functions } = openssl
    this.#openssl = openssl
    this.#pointer = pointer
    this.#conn = conn
    this.#event = event
    functions.SSL_set_default_stream_mode(pointer, NO_DEFAULT_STREAM)
    functions.SSL_set_incoming_stream_policy(pointer, ACCEPT_STREAMS, 0n)
  }

  /** Does what can be done now. @returns whether anything was done. */
  step(): boolean {
    const { functions } = this.#openssl
    functions.SSL_handle_events(this.#pointer)
    if (this.#closing) this.#shutDown(this.#closing)
    if (this.#ended) return true
    let busy = this.#accept()
    for (const stream of this.#streams) if (this.#advance(stream)) busy = true
    const end = closeInfo(this.#openssl, this.#pointer)
    if (end) this.#finish(end)
    return busy
  }

  send(bytes: number): void {
    this.#open(STREAM_UNI, { kind: 'send', bytes })
  }

  talk(bytes: number): void {
    this.#open(0n, { kind: 'talk', bytes })
  }

  reset(bytes: number, code: bigint): void {
    this.#open(STREAM_UNI, { kind: 'reset', bytes, code })
  }

  /** Updates the keys of this side; the other one follows. */
  updateKeys(): boolean {
    return this.#openssl.functions.SSL_key_update(this.#pointer, UPDATE_KEYS) === 1
  }

  close(code: bigint, reason: string): void {
    const text = Buffer.from(`${reason}\0`)
    const given = Buffer.alloc(16)
    given.writeBigUInt64LE(code)
    given.writeBigUInt64LE(this.#openssl.memory.getRawPointer(text), 8)
    this.#closing = given
    this.#shutDown(given)
  }

  #shutDown(given: Buffer): void {
    const done = this.#openssl.functions.SSL_shutdown_ex(this.#pointer, SHUT_DOWN, given, 16n)
    if (done === 1 && this.#ended) this.over = true
  }

  #open(kind: bigint, use: Use): void {
    const flags = kind | STREAM_NO_BLOCK | STREAM_ADVANCE
    const pointer = this.#openssl.functions.SSL_new_stream(this.#pointer, flags)
    if (pointer === 0n) this.#event('send_failed', { conn: this.#conn, error: 'no stream' })
    else this.#add(pointer, use)
  }

  #add(pointer: bigint, use: Use): void {
    this.#streams.add({
      ...{ pointer, use, end: undefined, readBytes: 0, since: performance.now() },
      ...{ read: createHash('sha256'), written: createHash('sha256') },
      ...{ left: 'bytes' in use ? use.bytes : 0, waiting: Buffer.alloc(0), concluded: false },
    })
  }

  #accept(): boolean {
    const { functions } = this.#openssl
    for (let any = false; ; any = true) {
      const pointer = functions.SSL_accept_stream(this.#pointer, NO_BLOCK)
      if (pointer === 0n) return any
      const readOnly = functions.SSL_get_stream_type(pointer) === TYPE_READ
      this.#add(pointer, { kind: readOnly ? 'swallow' : 'echo' })
    }
  }

  #advance(stream: Stream): boolean {
    const { kind } = stream.use
    let busy = false
    if (kind === 'swallow' || kind === 'echo' || kind === 'talk') busy = this.#read(stream)
    if (kind !== 'swallow' && this.#write(stream)) busy = true
    if (this.#isDone(stream)) this.#done(stream)
    return busy
  }

  #read(stream: Stream): boolean {
    const { functions } = this.#openssl
    // What is to go back must go before more is taken.
    if (stream.end !== undefined || (stream.use.kind === 'echo' && stream.waiting.length > 0)) {
      return false
    }
    const room = BigInt(BLOCK_BYTES)
    const result = functions.SSL_read_ex(stream.pointer, this.#buffer, room, this.#count)
    if (result === 1) {
      const part = this.#buffer.subarray(0, Number(this.#count.readBigUInt64LE()))
      stream.readBytes += part.length
      stream.read.update(part)
      if (stream.use.kind === 'echo') stream.waiting = Buffer.from(part)
      return true
    }
    const error = functions.SSL_get_error(stream.pointer, result)
    if (error === ERROR_END) stream.end = 'fin'
    else if (error === ERROR_FAILED) {
      const code = functions.SSL_get_stream_read_error_code(stream.pointer, this.#count)
      stream.end = code === 1 ? `reset by peer: ${this.#count.readBigUInt64LE()}` : 'lost'
    }
    functions.ERR_clear_error()
    return stream.end !== undefined
  }

  #write(stream: Stream): boolean {
    const { functions } = this.#openssl
    const { pointer } = stream
    if (stream.concluded) return false
    if (stream.waiting.length === 0 && stream.left > 0) stream.waiting = nextBlock(stream)
    const { waiting } = stream
    if (waiting.length === 0) {
      if (stream.use.kind === 'echo' && stream.end === undefined) return false
      return this.#conclude(stream)
    }
    const length = BigInt(waiting.length)
    const result = functions.SSL_write_ex(pointer, waiting, length, this.#count)
    if (result === 1) {
      stream.waiting = waiting.subarray(Number(this.#count.readBigUInt64LE()))
      return true
    }
    const failed = functions.SSL_get_error(pointer, result) === ERROR_FAILED
    functions.ERR_clear_error()
    if (!failed) return false
    const code = functions.SSL_get_stream_write_error_code(pointer, this.#count)
    const error = code === 1 ? `stopped by peer: ${this.#count.readBigUInt64LE()}` : 'lost'
    this.#event('send_failed', { conn: this.#conn, error })
    this.#free(stream)
    return true
  }

  #conclude(stream: Stream): boolean {
    const { functions } = this.#openssl
    stream.concluded = true
    if (stream.use.kind === 'reset') {
      const given = Buffer.alloc(8)
      given.writeBigUInt64LE(stream.use.code)
      functions.SSL_stream_reset(stream.pointer, given, 8n)
    } else functions.SSL_stream_conclude(stream.pointer, 0n)
    return true
  }

  #isDone(stream: Stream): boolean {
    if (!this.#streams.has(stream)) return false
    switch (stream.use.kind) {
      case 'swallow':
        return stream.end !== undefined
      case 'echo':
      case 'talk':
        return stream.concluded && stream.end !== undefined
      default:
        return stream.concluded
    }
  }

  #done(stream: Stream): void {
    const conn = this.#conn
    const { use, end } = stream
    const [read, ms] = [stream.read.digest('hex'), Math.round(performance.now() - stream.since)]
    const got = { conn, bytes: stream.readBytes, hash: read }
    const sent = stream.written.digest('hex')
    switch (use.kind) {
      case 'swallow':
        this.#event('received', { ...got, end, ms })
        break
      case 'echo':
        this.#event('echoed', { ...got, end, finished: true })
        break
      case 'send':
        this.#event('sent', { conn, bytes: use.bytes, hash: sent, stopped: null, ms })
        break
      case 'talk':
        this.#event('talked', { ...got, sent, ms })
        break
      case 'reset':
        this.#event('reset', { conn })
        break
    }
    this.#free(stream)
  }

  #free(stream: Stream): void {
    this.#streams.delete(stream)
    this.#openssl.functions.SSL_free(stream.pointer)
  }

  #finish(end: End): void {
    this.#ended = true
    // Who closes answers what still comes for a while: the other one may not have been able to read it.
    this.over = this.#closing === undefined
    for (const stream of this.#streams) this.#free(stream)
    this.#event('closed', { conn: this.#conn, end })
  }
}

/** The next bytes that are sent: each block begins with how many are left, so that no two are the same. */
function nextBlock(stream: Stream): Buffer {
  const block = Buffer.alloc(Math.min(stream.left, BLOCK_BYTES), 0x5a)
  if (block.length >= 8) block.writeDoubleLE(stream.left)
  stream.left -= block.length
  stream.written.update(block)
  return block
}

/** How a connection has ended; undefined while it has not. */
export function closeInfo(openssl: Openssl, pointer: bigint): End | undefined {
  const { functions, memory } = openssl
  const info = Buffer.alloc(CLOSE_INFO_BYTES)
  const got = functions.SSL_get_conn_close_info(pointer, info, BigInt(CLOSE_INFO_BYTES))
  if (got !== 1) return undefined
  const flags = info.readUInt32LE(32)
  const by = (flags & BY_US) !== 0 ? 'us' : 'peer'
  const length = Number(info.readBigUInt64LE(24))
  const at = info.readBigUInt64LE(16)
  const reason = length > 0 && at !== 0n ? memory.toBuffer(at, length).toString('utf8') : ''
  const code = Number(info.readBigUInt64LE(0))
  return (flags & OF_TRANSPORT) !== 0 ? { by, transport: code, reason } : { by, code, reason }
}
