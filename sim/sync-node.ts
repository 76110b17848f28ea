/**
 * A node of the simulation: the sync machine of one topic, a store, a consumer, and links to other nodes.
 *
 * It does what the shell of the library does, in virtual time, and it is as unkind as the seed wants.
 */
import assert from 'node:assert/strict'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import type { Header, NodeId, TopicId } from 'weir-mesh/core'
import type { Ticket } from 'weir-mesh/machine'
import { Counters, seededRandom } from 'weir-mesh/runtime'
import type { Appended, StoredOperation } from 'weir-mesh/store'
import {
  closeOf,
  type Ending,
  type Published,
  type SyncLimits,
  type SyncReport,
  syncCounters,
  syncTerms,
  type TopicEffects,
  type TopicEvent,
  TopicMachine,
  topicStreamPolicy,
} from 'weir-mesh/sync'
import { logName, SimStore } from './sim-store.ts'
import type { Temper } from './temper.ts'
import type { World } from './world.ts'

/** As the shell of the library: after this many operations the machine is told that there is room again. */
const TAKEN_EVERY = 32

/** One side of a link. */
export interface End {
  readonly link: number
  readonly node: SimNode
  readonly outbound: boolean
  other: End | undefined
  up: boolean
  open: boolean
  /** When the last frame to this end arrives: a stream keeps its order. */
  arrivesAt: number
  readonly inbox: Arrival[]
  waiting: boolean
}

export interface SimNodeOptions {
  readonly world: World
  readonly name: string
  readonly id: NodeId
  readonly topic: TopicId
  readonly limits: SyncLimits
  readonly temper: Temper
  /** Whether logs are pruned in this run: a slow consumer then misses what was pruned. */
  readonly pruned: boolean
  /** Whether the time of faults is over. */
  calmed(): boolean
  /** One-way delay of a message to another node, in ms; undefined when nothing gets there. */
  delayMs(to: SimNode): number | undefined
  find(id: NodeId): SimNode | undefined
  /** Asked for each effect that can fail. */
  fails(effect: string): boolean
  /** Whether a header is properly signed. */
  signed(header: Header): boolean
  onReport?(node: SimNode, report: SyncReport): void
}

export class SimNode {
  readonly options: SimNodeOptions
  readonly name: string
  readonly id: NodeId
  readonly counters = new Counters()
  readonly wanted: NodeId[] = []
  store = new SimStore()
  ledger!: Ledger
  machine!: TopicMachine
  /** Last sequence number delivered of each log. */
  delivered = new Map<string, number>()
  deliveredCount = 0
  /** When an operation was kept or delivered last. */
  progressAt = 0
  running = false
  #life = 0
  readonly #ends = new Map<number, End>()
  readonly #published = new Map<Ticket, (result: Published) => void>()
  #nextLink = 1
  #nextTicket = -1
  #wakeAt = Number.POSITIVE_INFINITY
  #consuming = false
  /** Operations taken since the machine was last told. */
  #taken = 0

  constructor(options: SimNodeOptions) {
    this.options = options
    this.name = options.name
    this.id = options.id
  }

  get ends(): IterableIterator<End> {
    return this.#ends.values()
  }

  start(): void {
    const { limits, topic, world } = this.options
    const terms = syncTerms(limits)
    const plan = planMemory(Object.values(terms), { limitBytes: Number.MAX_SAFE_INTEGER })
    this.ledger = new Ledger(plan, { assertLeaks: true })
    this.machine = new TopicMachine({
      topic,
      self: this.id,
      policy: topicStreamPolicy(topic),
      limits,
      terms,
      ledger: this.ledger,
      counters: syncCounters(this.counters),
      random: seededRandom(world.random.below(2 ** 32)),
      deliverFrom: (log) => (this.delivered.get(logName(log)) ?? -1) + 1,
    })
    this.running = true
    this.#consuming = false
    this.#taken = 0
    this.#wakeAt = Number.POSITIVE_INFINITY
    this.machine.start(world.now, this.#effects())
    for (const peer of this.wanted) this.deliver({ type: 'want', peer })
    this.#armed()
  }

  /** The process is gone: links die, nothing that was asked for is answered. */
  stop(storeKept: boolean): void {
    const { world } = this.options
    this.running = false
    this.#life++
    this.machine[Symbol.dispose]()
    this.ledger.assertEmpty()
    for (const end of this.#ends.values()) {
      end.open = false
      const { other } = end
      // The other side learns it at its idle timeout, or sooner by a reset.
      if (other) world.after(world.ms(1, 8_000), () => other.node.down(other, 0, '', 'lost'))
    }
    this.#ends.clear()
    this.#published.clear()
    if (storeKept) return
    this.store = new SimStore()
    this.delivered = new Map()
  }

  want(peer: NodeId): void {
    this.wanted.push(peer)
    if (this.running) this.deliver({ type: 'want', peer })
  }

  publish(operation: StoredOperation, done: (result: Published) => void): void {
    const ticket = this.#nextTicket-- as Ticket
    this.#published.set(ticket, done)
    this.deliver({ type: 'publish', ticket, operation })
  }

  deliver(event: TopicEvent): void {
    if (!this.running) return
    this.machine.handle(event, this.options.world.now, this.#effects())
    this.#armed()
  }

  connect(outbound: boolean): End {
    const end: End = {
      link: this.#nextLink++,
      node: this,
      outbound,
      other: undefined,
      up: false,
      open: true,
      arrivesAt: 0,
      inbox: [],
      waiting: false,
    }
    this.#ends.set(end.link, end)
    return end
  }

  up(end: End): void {
    if (!end.open || !this.running) return
    end.up = true
    this.deliver({ type: 'up', link: end.link, peer: end.other!.node.id, outbound: end.outbound })
    this.#read(end)
  }

  arrived(end: End, arrival: Arrival): void {
    if (!end.open) return
    end.inbox.push(arrival)
    if (end.up && !end.waiting) this.#read(end)
  }

  down(end: End, code: number, reason: string, by: 'remote' | 'lost'): void {
    if (!end.open) return
    end.open = false
    this.#ends.delete(end.link)
    if (end.up) this.deliver({ type: 'down', link: end.link, code, reason, by })
  }

  #read(end: End): void {
    const { temper, world } = this.options
    while (end.open && end.inbox.length > 0) {
      const { frame, sentBytes } = end.inbox[0]!
      if (!this.machine.reserve(end.link, frame.length - 4, world.now)) {
        end.waiting = true
        this.#armed()
        return
      }
      end.inbox.shift()
      this.deliver({ type: 'frame', link: end.link, bytes: frame.subarray(4) })
      const { other } = end
      // What was read is credit for the other side, which hears of it by what it sent at once.
      if (other && sentBytes > 0) {
        this.#after(other.node, world.ms(...temper.creditMs), () => {
          if (other.open) other.node.deliver({ type: 'sent', link: other.link, bytes: sentBytes })
        })
      }
    }
    this.deliver({ type: 'flush', link: end.link, unfinished: false })
  }

  #after(to: SimNode, moreMs: number, run: () => void): void {
    const delay = this.options.delayMs(to)
    if (delay !== undefined) this.options.world.after(delay + moreMs, run)
  }

  #armed(): void {
    if (!this.running) return
    const { wakeAt } = this.machine
    if (wakeAt >= this.#wakeAt) return
    this.#wakeAt = wakeAt
    const life = this.#life
    this.options.world.at(wakeAt, () => {
      if (life !== this.#life || this.#wakeAt !== wakeAt) return
      this.#wakeAt = Number.POSITIVE_INFINITY
      this.machine.wake(this.options.world.now, this.#effects())
      this.#armed()
    })
  }

  /** Answers after a while, unless the node was restarted or the effect fails. */
  #answer(effect: string, ticket: Ticket, run: () => TopicEvent): void {
    const { world, fails, temper } = this.options
    const life = this.#life
    const failed = fails(effect)
    world.effect()
    world.after(world.ms(...temper.answerMs), () => {
      if (life !== this.#life) return
      this.deliver(failed ? { type: 'failed', ticket, message: 'as the seed wants' } : run())
    })
  }

  #dial(ticket: Ticket, peer: NodeId): void {
    const { world, find, fails } = this.options
    const target = find(peer)
    const there = target && this.options.delayMs(target)
    const back = target?.options.delayMs(this)
    const life = this.#life
    const fail = (code: string) => {
      if (life === this.#life) this.deliver({ type: 'dial-failed', ticket, code })
    }
    if (!target?.running || there === undefined || back === undefined || fails('dial')) {
      world.after(world.ms(1, 3_000), () => fail('CONNECT_FAILED'))
      return
    }
    world.after(there + back, () => {
      if (life !== this.#life) return
      if (!target.running) return fail('CONNECT_FAILED')
      if (this.machine.served(peer)) return fail('SURPLUS')
      const ours = this.connect(true)
      const theirs = target.connect(false)
      ours.other = theirs
      theirs.other = ours
      // Topic, Done, Done: the dialling side is through first.
      world.after(there + back, () => {
        if (life === this.#life) this.up(ours)
        // Nothing if a session has begun.
        fail('SYNC_LOST')
      })
      world.after(there + back + there, () => target.up(theirs))
    })
  }

  #send(link: number, bytes: Uint8Array): void {
    const { world } = this.options
    world.effect()
    const end = this.#ends.get(link)
    const other = end?.other
    if (!end?.open || !other) return
    const delay = this.options.delayMs(other.node)
    if (delay === undefined) {
      // Nothing gets through: both sides give up sooner or later.
      this.#lose(end)
      return
    }
    other.arrivesAt = Math.max(other.arrivesAt, world.now + delay * 1000)
    let at = 0
    for (const frame of framesOf(bytes)) {
      at += frame.length
      const sentBytes = at === bytes.length ? at : 0
      world.at(other.arrivesAt, () => other.node.arrived(other, { frame, sentBytes }))
    }
  }

  #lose(end: End): void {
    const { world } = this.options
    const { other } = end
    world.after(world.ms(0, 8_000), () => this.down(end, 0, 'timed out', 'lost'))
    if (other) world.after(world.ms(0, 8_000), () => other.node.down(other, 0, 'timed out', 'lost'))
  }

  /** The link breaks, and each side learns it in its own time. */
  cut(end: End): void {
    this.#lose(end)
  }

  #close(link: number, ending: Ending): void {
    const end = this.#ends.get(link)
    if (!end) return
    const { code, reason } = closeOf(ending, end.outbound)
    end.open = false
    this.#ends.delete(link)
    const { other } = end
    if (!other) return
    // A close may overtake what is on its way in the stream, and then it is lost.
    this.#after(other.node, 0, () => other.node.down(other, code, reason, 'remote'))
  }

  #consume(): void {
    if (this.#consuming) return
    this.#consuming = true
    const { world, temper, calmed } = this.options
    const life = this.#life
    const stalls = !calmed() && world.chance(temper.stalls)
    world.after(stalls ? world.ms(1_000, 15_000) : world.ms(...temper.consumeMs), () => {
      if (life !== this.#life) return
      this.#consuming = false
      const most = temper.oneByOne ? 1 : 1 + world.random.below(6)
      let taken = 0
      for (; taken < most; taken++) {
        const operation = this.machine.shift()
        if (!operation) break
        this.#take(operation)
      }
      this.#taken += taken
      if (!temper.oneByOne || taken === 0 || this.#taken >= TAKEN_EVERY) {
        // What is ready by then says so itself.
        if (this.#taken > 0 || !temper.oneByOne) this.deliver({ type: 'taken' })
        this.#taken = 0
      }
      if (taken === most) this.#consume()
    })
  }

  #keep(operation: StoredOperation): Appended {
    const answer = this.store.append(operation)
    if (answer === 'kept') this.progressAt = this.options.world.now
    return answer
  }

  #take(operation: StoredOperation): void {
    const name = logName(operation)
    const last = this.delivered.get(name) ?? -1
    const { seq, prune } = operation
    assert.ok(seq > last, `${this.name} got ${seq} after ${last}`)
    assert.ok(
      seq === last + 1 || prune || this.options.pruned,
      `${this.name} got ${seq} after ${last}`,
    )
    this.delivered.set(name, seq)
    this.deliveredCount++
    this.progressAt = this.options.world.now
  }

  #effects(): TopicEffects {
    return {
      send: (link, frames) => this.#send(link, frames),
      resume: (link) => {
        const end = this.#ends.get(link)
        if (!end) return
        end.waiting = false
        // Not now: the machine is in the middle of an event.
        this.options.world.after(0, () => {
          if (end.open && !end.waiting) this.#read(end)
        })
      },
      close: (link, ending) => this.#close(link, ending),
      dial: (ticket, peer) => this.#dial(ticket, peer),
      logs: (ticket) =>
        this.#answer('logs', ticket, () => ({ type: 'logs', ticket, logs: this.store.logs() })),
      measure: (ticket, ranges) =>
        this.#answer('measure', ticket, () => {
          const parts = ranges.map((range) => this.store.measure(range, range.from, range.until))
          const operations = parts.reduce((sum, part) => sum + part.operations, 0)
          const bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
          return { type: 'measured', ticket, operations, bytes }
        }),
      read: (ticket, range, bytesMax) =>
        this.#answer('read', ticket, () => ({
          type: 'page',
          ticket,
          page: this.store.read(range, range.from, range.until, bytesMax),
        })),
      verify: (ticket, headers) =>
        this.#answer('verify', ticket, () => ({
          type: 'verified',
          ticket,
          valid: headers.map((header) => this.options.signed(header)),
        })),
      append: (ticket, batch) =>
        this.#answer('append', ticket, () => ({
          type: 'appended',
          ticket,
          answers: batch.map((operation) => this.#keep(operation)),
        })),
      published: (ticket, result) => {
        const done = this.#published.get(ticket)
        this.#published.delete(ticket)
        if (done) this.options.world.after(0, () => done(result))
      },
      crowded: () => {},
      ready: () => this.#consume(),
      report: (report) => this.options.onReport?.(this, report),
    }
  }
}

/** A frame with its length, and how much was sent at once when it is the last of that. */
interface Arrival {
  readonly frame: Uint8Array
  readonly sentBytes: number
}

/** Cuts what is sent at once into frames, each with its length. */
export function framesOf(bytes: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0)
    frames.push(bytes.subarray(at, at + 4 + length))
    at += 4 + length
  }
  return frames
}
