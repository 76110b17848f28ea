/**
 * The bench's own way of sending changes: keep-alive connections that write a request in one piece and read of the answer
 * its status and its length. It shares two cores with what is measured, so it does nothing else.
 */
import { connect, type TLSSocket } from 'node:tls'

export interface Answer {
  readonly status: number
  /** When its first byte was there, on the clock of the bench. */
  readonly at: number
}

interface Waiting {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: Error) => void
}

/** One request at a time. */
class Connection {
  readonly #socket: TLSSocket
  #waiting: Waiting | undefined
  #head = ''
  #at = 0
  #status = 0
  /** Bytes of the body that have not come yet; undefined before the head is whole. */
  #left: number | undefined

  constructor(port: number) {
    this.#socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
    this.#socket.setNoDelay(true)
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk))
    this.#socket.on('error', (error) => this.#end(error))
    this.#socket.on('close', () => this.#end(new Error('the API server closed a connection')))
  }

  get usable(): boolean {
    return !this.#socket.destroyed
  }

  send(text: string): Promise<Answer> {
    this.#socket.write(text)
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    if (this.#left === undefined) {
      if (this.#head === '') this.#at = performance.now()
      this.#head += chunk.toString('latin1')
      const end = this.#head.indexOf('\r\n\r\n')
      if (end < 0) return
      const head = this.#head.slice(0, end)
      const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
      if (length === undefined) return this.#end(new Error(`an answer without a length: ${head}`))
      this.#status = Number(head.slice(9, 12))
      this.#left = Number(length) - (this.#head.length - end - 4)
    } else {
      this.#left -= chunk.length
    }
    if (this.#left > 0) return
    const { resolve } = this.#waiting!
    const answer = { status: this.#status, at: this.#at }
    this.#waiting = undefined
    this.#head = ''
    this.#left = undefined
    resolve(answer)
  }

  #end(error: Error): void {
    this.#waiting?.reject(error)
    this.#waiting = undefined
    this.#socket.destroy()
  }
}

const CONNECTIONS_MAX = 16

/** A request waits for a connection, as it would behind any client that has only so many. */
export class Requests {
  readonly #port: number
  readonly #head: string
  readonly #idle: Connection[] = []
  readonly #waiting: ((connection: Connection) => void)[] = []
  readonly #all = new Set<Connection>()

  constructor(port: number, token: string) {
    this.#port = port
    this.#head = `Host: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\nUser-Agent: weir-bench\r\n`
  }

  async send(method: string, path: string, body = '', type = 'application/json'): Promise<Answer> {
    const connection = await this.#connection()
    const content =
      body === '' ? '' : `Content-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`
    try {
      return await connection.send(
        `${method} ${path} HTTP/1.1\r\n${this.#head}${content}\r\n${body}`,
      )
    } finally {
      this.#done(connection)
    }
  }

  #connection(): Connection | Promise<Connection> {
    const idle = this.#idle.pop()
    if (idle?.usable) return idle
    if (idle) this.#all.delete(idle)
    if (this.#all.size < CONNECTIONS_MAX) return this.#open()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #open(): Connection {
    const connection = new Connection(this.#port)
    this.#all.add(connection)
    return connection
  }

  #done(connection: Connection): void {
    const next = this.#waiting.shift()
    if (connection.usable) {
      if (next) next(connection)
      else this.#idle.push(connection)
      return
    }
    this.#all.delete(connection)
    next?.(this.#open())
  }

  close(): void {
    for (const connection of this.#all) connection.close()
    this.#all.clear()
  }
}
