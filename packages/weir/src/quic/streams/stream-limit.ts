import { Blocked } from './blocked.ts'

/** How many streams of one kind both sides may open, counted from the start of the connection (RFC 9000 section 4.6). */
export class StreamLimit {
  readonly #streamsMax: number
  /** What the peer allows us. */
  ownLimit = 0
  ownOpened = 0
  #ownLiving = 0
  foreignOpened = 0
  /** What we told the peer. */
  advertised: number
  #granted: number
  #due = false
  /** We wait for the peer to allow one more. */
  readonly blocked = new Blocked()

  constructor(streamsMax: number) {
    this.#streamsMax = streamsMax
    this.advertised = this.#granted = streamsMax
  }

  get mayOpen(): boolean {
    return this.ownOpened < this.ownLimit && this.#ownLiving < this.#streamsMax
  }

  /** One more is wanted and cannot be opened: says so when it is the peer who does not allow it. */
  wanted(): void {
    if (this.ownOpened >= this.ownLimit) this.blocked.wait(this.ownLimit)
  }

  /** The peer allows so many. @returns whether that is more than before. */
  allowed(limit: number): boolean {
    if (limit <= this.ownLimit) return false
    this.ownLimit = limit
    this.blocked.go()
    return true
  }

  opened(): void {
    this.ownOpened++
    this.#ownLiving++
  }

  /** @returns whether one that waited for our own cap may open now. */
  ownEnded(): boolean {
    this.#ownLiving--
    return this.mayOpen
  }

  foreignEnded(): void {
    this.#granted++
    const left = this.advertised - this.foreignOpened
    const more = this.#granted - this.advertised
    if (more * 4 >= this.#streamsMax || left * 2 < this.#streamsMax) this.#due = true
  }

  get grantDue(): boolean {
    return this.#due
  }

  /** Whether the peer is to be told something. */
  get pending(): boolean {
    return this.#due || this.blocked.due
  }

  advertise(): number {
    this.#due = false
    this.advertised = this.#granted
    return this.advertised
  }

  lost(): void {
    this.#due = true
  }
}
