/**
 * The shell of one session: reads the sync stream of a connection into the machine of its topic, and writes what the
 * machine sends.
 *
 * Reading waits only for room between the wire and the store; writing goes on beside it.
 *
 * Memory: what was read and not handled, charged to `sync.frame`; the frames in writing are charged by the machine.
 */
import type { Account, Admission } from '../bounds/index.ts'
import { FrameReader } from '../codec/index.ts'
import { type Clock, describeError, isWeirError, withTimeout } from '../runtime/index.ts'
import {
  type BiStream,
  type CloseInfo,
  type Connection,
  ConnectionClosedError,
} from '../transport/index.ts'
import type { TopicEvent } from './contract.ts'
import { closeOf, type Ending, ending } from './errors.ts'
import { READ_BYTES, READ_COST_BYTES } from './memory.ts'

/** What the link needs of its topic. */
export interface LinkHost {
  deliver(event: TopicEvent): void
  /** Whether there is room for a frame; `resume` of the link is called when there is again. */
  reserve(link: number, bytes: number): boolean
  /** Ends another session whose frame takes long. Returns whether there was one. */
  yieldFrame(): boolean
}

export interface LinkOptions {
  readonly link: number
  readonly connection: Connection
  /** Of the term `sync.frame`; closed with the link. */
  readonly frame: Account
  readonly frameBytesMax: number
  /** Until the sync stream must be there. */
  readonly openMs: number
  readonly clock: Clock
  readonly host: LinkHost
  readonly signal: AbortSignal
}

export class SyncLink {
  readonly link: number
  readonly connection: Connection
  readonly #options: LinkOptions
  #stream: BiStream | undefined
  #writing: Promise<void> = Promise.resolve()
  #reader: FrameReader | undefined
  #resume: (() => void) | undefined
  #over = false
  #lost: CloseInfo | undefined

  constructor(options: LinkOptions) {
    this.#options = options
    this.link = options.link
    this.connection = options.connection
  }

  /** How the connection ended, when it ended under a read, a write or the opening of the stream. */
  get lost(): CloseInfo | undefined {
    return this.#lost
  }

  /** Runs the session until its connection ends. Never rejects but for bugs. */
  async run(): Promise<void> {
    const { frame, host, connection } = this.#options
    try {
      if (this.#take(READ_COST_BYTES) === 'ok') await this.#run()
      else {
        const full = ending('SYNC_LIMIT', 'there is no memory to read a session')
        host.deliver({ type: 'broken', link: this.link, ending: full })
      }
    } catch (error) {
      if (!isWeirError(error)) throw error
      // What failed knows how the peer has closed, sometimes before the connection says so.
      if (error instanceof ConnectionClosedError) this.#lost = error.close
      this.#brokenBy(error)
    } finally {
      if (frame.bytes > 0) frame.give(frame.bytes)
      frame[Symbol.dispose]()
      if (!this.#over) {
        const info = this.#lost ?? (await this.#closedSoon())
        host.deliver({ type: 'down', link: this.link, ...info })
      }
      connection.close(0, '')
    }
  }

  /** Queues frames behind those before; says `sent` when the stream has taken them. */
  send(frames: Uint8Array): void {
    this.#writing = this.#writing.then(() => this.#write(frames))
  }

  resume(): void {
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
  }

  /** The machine has ended the session. */
  end(end: Ending): void {
    this.#over = true
    const { code, reason } = closeOf(end, this.connection.outbound)
    this.connection.close(code, reason)
    // Not when the read has ended: whoever ends it may need the memory now.
    this.#reader?.[Symbol.dispose]()
    this.resume()
  }

  async #run(): Promise<void> {
    const { connection, signal, host, openMs, clock } = this.#options
    const open = connection.outbound
      ? connection.openBi({ signal })
      : connection.acceptBi({ signal })
    this.#stream = await withTimeout(open, openMs, 'the sync stream', clock)
    host.deliver({
      type: 'up',
      link: this.link,
      peer: connection.nodeId,
      outbound: connection.outbound,
    })
    if (!this.#over) await this.#read(this.#stream)
  }

  async #read({ receive }: BiStream): Promise<void> {
    const { frameBytesMax, frame, host } = this.#options
    const charge = {
      take: (bytes: number) => this.#take(bytes),
      give: (bytes: number) => frame.give(bytes),
    }
    using reader = new FrameReader({ frameBytesMax, charge })
    this.#reader = reader
    while (!this.#over) {
      const chunk = await receive.read(READ_BYTES)
      if (!chunk) {
        if (!this.#over) host.deliver({ type: 'finished', link: this.link })
        return
      }
      reader.push(chunk)
      for (let bytes = reader.next(); bytes && !this.#over; bytes = reader.next()) {
        while (!host.reserve(this.link, bytes.length)) {
          await new Promise<void>((resolve) => {
            this.#resume = resolve
          })
          if (this.#over) return
        }
        host.deliver({ type: 'frame', link: this.link, bytes })
      }
      if (!this.#over) {
        host.deliver({ type: 'flush', link: this.link, unfinished: !reader.atBoundary })
      }
    }
  }

  /** Charges what is read; in a full pool, frames of others that take long make room. */
  #take(bytes: number): Admission {
    const { frame, host } = this.#options
    let admission = frame.take(bytes)
    while (admission === 'pool' && !this.#over && host.yieldFrame()) admission = frame.take(bytes)
    return admission
  }

  async #write(frames: Uint8Array): Promise<void> {
    if (this.#over) return
    try {
      await this.#stream!.send.write(frames)
    } catch (error) {
      // The reading side sees the same end and knows more about it.
      if (isWeirError(error)) return
      throw error
    }
    if (!this.#over) {
      this.#options.host.deliver({ type: 'sent', link: this.link, bytes: frames.length })
    }
  }

  /** What was read cannot be used, or there is no memory for it. */
  #brokenBy(error: { readonly code: string } & Error): void {
    if (this.#over) return
    const refused = error.code === 'DECODE_LIMIT' || error.code === 'FRAME_NO_MEMORY'
    if (!refused) return
    const code = error.code === 'DECODE_LIMIT' ? 'FRAME_REFUSED' : 'SYNC_LIMIT'
    const end = ending(code, describeError(error))
    this.#options.host.deliver({ type: 'broken', link: this.link, ending: end })
  }

  /** How the connection ended; one whose stream alone has ended is closed here. */
  async #closedSoon() {
    this.connection.close(0, '')
    return this.connection.closed
  }
}
