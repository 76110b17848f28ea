/**
 * The peers of a topic and their sessions: who may have one, which of two carries what, and what follows from an end.
 *
 * One pull per peer: each side says truly what it has on one session only, the pull; on any other it answers with a
 * Have in which the peer's heights are merged with its own, so that nothing is sent for it. What one session has sent or
 * promised, no other sends. Both rules need only what their own side knows, so they hold with a Weir peer and with a
 * Rust one, which always opens a session of its own, and we never have to tell which one it is. When two sessions with
 * one peer are live, the one that the smaller node id dialled stays and the other gets Close, which a Rust peer takes
 * for a good end.
 *
 * Memory: the entries of `sync.peers` and `sync.sessions`.
 */
import { BoundedMap } from '../bounds/index.ts'
import { compareBytes, equalBytes } from '../codec/index.ts'
import { idKey, type NodeId } from '../core/index.ts'
import { NEVER } from '../runtime/index.ts'
import type { StoredOperation } from '../store/index.ts'
import { type EndCode, type Ending, ending, isOrderly } from './errors.ts'
import type { BufferLock } from './gossip-buffer.ts'
import type { Item } from './ingest-machine.ts'
import type { KeeperMachine } from './keeper-machine.ts'
import type { LogRow } from './log-table.ts'
import type { Height } from './messages.ts'
import { Peer } from './peer.ts'
import { Session, type SessionHost } from './session-machine.ts'
import type { Shared } from './shared.ts'

/** What the roster hands on to the rest of the machine. */
export interface RosterLinks {
  readonly keeper: KeeperMachine
  reserve(bytes: number): boolean
  release(bytes: number, entries: number): void
  received(item: Item): void
  lock(author: NodeId): BufferLock | undefined
}

export interface PeerState {
  readonly peer: NodeId
  readonly live: boolean
  readonly outbound: boolean
  readonly sessions: number
  /** Live operations that wait for the peer in memory. */
  readonly queued: number
}

export class Roster implements SessionHost, Disposable {
  readonly #shared: Shared
  readonly #links: RosterLinks
  readonly #sessions: BoundedMap<number, Session>
  readonly #peers: BoundedMap<string, Peer>
  #closing = false

  constructor(shared: Shared, links: RosterLinks) {
    this.#shared = shared
    this.#links = links
    const { ledger, terms } = shared
    this.#sessions = new BoundedMap(ledger.require(terms.sessions))
    this.#peers = new BoundedMap(ledger.require(terms.peers))
  }

  get size(): number {
    return this.#sessions.size
  }

  session(link: number): Session | undefined {
    return this.#sessions.peek(link)
  }

  sessions(): IterableIterator<Session> {
    return this.#sessions.values()
  }

  *states(): IterableIterator<PeerState> {
    for (const peer of this.#peers.values()) {
      const session = peer.push ?? peer.pull ?? peer.outbound ?? peer.inbound
      if (!session) continue
      const sessions = (peer.outbound ? 1 : 0) + (peer.inbound ? 1 : 0)
      const { live, outbound } = session
      yield { peer: peer.id, live, outbound, sessions, queued: peer.queue.size }
    }
  }

  /** Whether there is a session with a peer. */
  has(peer: NodeId): boolean {
    return this.#peers.has(idKey(peer))
  }

  /** Whether there is a session that pulls from a peer, so that a dial which has connected need not go on. */
  pulls(peer: NodeId): boolean {
    return this.#peers.peek(idKey(peer))?.pulledBy(undefined) !== undefined
  }

  /** A connection has said its topic. */
  up(link: number, id: NodeId, outbound: boolean): void {
    const { fx, counters } = this.#shared
    this.#links.keeper.begun(id)
    if (this.#closing) return fx.close(link, ending('CLOSED', 'the topic is closed'))
    if (equalBytes(id, this.#shared.self) || (outbound && this.pulls(id))) {
      counters.surplus.add()
      return fx.close(link, ending('SURPLUS', 'another session serves this peer'))
    }
    const session = this.#open(link, id, outbound)
    if (!session) {
      fx.close(link, ending('SYNC_LIMIT', 'there is no room for a session'))
      if (!this.has(id)) this.#links.keeper.ended(id, false)
      return
    }
    counters.sessions.add()
    fx.report({ type: 'session', peer: id, outbound })
    session.start()
  }

  #open(link: number, id: NodeId, outbound: boolean): Session | undefined {
    const { ledger, terms } = this.#shared
    const peer = this.#peer(id)
    if (!peer) return undefined
    const send = ledger.open(terms.send)
    const session = send && new Session(this.#shared, this, send, link, peer, outbound)
    if (!session || this.#sessions.set(link, session) !== 'ok') {
      send?.[Symbol.dispose]()
      this.#dropIdle(peer)
      return undefined
    }
    const old = outbound ? peer.outbound : peer.inbound
    if (outbound) peer.outbound = session
    else peer.inbound = session
    if (old) this.#replace(peer, old)
    return session
  }

  /** The same side has dialled again: it knows nothing of the old session, or wants it no longer. */
  #replace(peer: Peer, old: Session): void {
    if (peer.pull === old) peer.pull = undefined
    if (peer.push === old) {
      peer.push = undefined
      peer.fallBehind()
    }
    this.#shared.counters.surplus.add()
    old.sayClose('SURPLUS')
  }

  #peer(id: NodeId): Peer | undefined {
    const key = idKey(id)
    const present = this.#peers.peek(key)
    if (present) return present
    const { ledger, terms, limits } = this.#shared
    const live = ledger.open(terms.live)
    if (!live) return undefined
    // The id comes from a connection that may end before the peer's last session does.
    const peer = new Peer(id.slice() as NodeId, key, limits.logsMax, live)
    if (this.#peers.set(key, peer) === 'ok') return peer
    peer[Symbol.dispose]()
    return undefined
  }

  #dropIdle(peer: Peer): boolean {
    if (!peer.idle) return false
    if (this.#peers.peek(peer.key) === peer) this.#peers.delete(peer.key)
    peer[Symbol.dispose]()
    return true
  }

  heights(merged: Peer | undefined): readonly Height[] {
    const rows: { readonly row: LogRow; readonly next: number }[] = []
    for (let row = this.#shared.table.first; row; row = row.nextRow) {
      const next = Math.max(row.ours, merged?.has[row.index] ?? 0)
      if (next > 0) rows.push({ row, next })
    }
    rows.sort((a, b) => (a.row.key < b.row.key ? -1 : 1))
    return rows.map(({ row: { author, logId }, next }) => ({ author, logId, height: next - 1 }))
  }

  reserve(bytes: number): boolean {
    return this.#links.reserve(bytes)
  }

  release(bytes: number, entries: number): void {
    this.#links.release(bytes, entries)
  }

  received(item: Item): void {
    this.#links.received(item)
  }

  /** While a session catches up with an author, live operations of that author wait. */
  lock(session: Session): void {
    let last: NodeId | undefined
    const { has } = session.peer
    for (let row = this.#shared.table.first; row; row = row.nextRow) {
      if (has[row.index]! <= row.ours || (last && equalBytes(last, row.author))) continue
      last = row.author
      const lock = this.#links.lock(row.author)
      if (lock) session.locks = { lock, next: session.locks }
    }
  }

  live(session: Session): void {
    const { peer, outbound } = session
    if (!peer.push?.live || peer.push.closing) peer.push = session
    this.#links.keeper.worked(peer.id)
    this.#shared.fx.report({ type: 'live', peer: peer.id, outbound })
    const { outbound: dialled, inbound } = peer
    if (!dialled?.live || !inbound?.live || dialled.closing || inbound.closing) return
    this.#shared.counters.surplus.add()
    const ours = compareBytes(this.#shared.self, peer.id) < 0
    const surplus = ours ? inbound : dialled
    const kept = ours ? dialled : inbound
    if (peer.push === surplus) this.#pushOn(peer, kept)
    if (peer.pull === surplus) peer.pull = kept
    surplus.sayClose('SURPLUS')
  }

  synced(session: Session): void {
    session.unlock()
    const { peer, received } = session
    this.#shared.fx.report({ type: 'synced', peer: peer.id, operations: received })
  }

  ended(session: Session, end: Ending): void {
    const { peer, outbound } = session
    const { counters, fx } = this.#shared
    this.#sessions.delete(session.link)
    if (session.failed) counters.failures.add()
    if (end.code === 'INCOMPATIBLE_PEER') counters.incompatible.add()
    fx.report({ type: 'ended', peer: peer.id, outbound, code: end.code, message: end.message })
    // One that was replaced before has nothing more to say about its peer.
    if (peer.outbound !== session && peer.inbound !== session) return
    const wasPull = peer.pull === session
    const wasPush = peer.push === session
    if (peer.outbound === session) peer.outbound = undefined
    else peer.inbound = undefined
    if (wasPull) peer.pull = undefined
    if (wasPush) peer.push = undefined
    if (this.#dropIdle(peer)) {
      this.#forgetHearsay()
      this.#links.keeper.ended(peer.id, isOrderly(end.code) || end.code === 'RESYNC')
      return
    }
    const other = peer.outbound ?? peer.inbound!
    const whole = isOrderly(end.code) && session.complete
    if (!whole && (wasPull || wasPush || session.engaged)) {
      // What was promised may not have arrived, and what was to be pulled was left to the other session.
      this.restart(peer, other)
      return
    }
    if (wasPull) peer.pull = other
    if (wasPush) this.#pushOn(peer, other)
    else peer.push?.pump()
  }

  #pushOn(peer: Peer, session: Session): void {
    peer.push = session.live && !session.closing ? session : undefined
    peer.fallBehind()
    peer.push?.pump()
  }

  /** Ends the sessions of a peer, so that a new one begins with what both really have. */
  restart(peer: Peer, session: Session, why: EndCode = 'RESYNC'): void {
    peer.pull = peer.push = undefined
    session.sayClose(why)
  }

  /** Begins all sessions anew, so that each peer says what it has. */
  refresh(): void {
    for (const peer of this.#peers.values()) if (!peer.idle) peer.lost = true
    this.resyncLost()
  }

  /** Something of these peers was lost here. @returns how many sessions are begun anew. */
  resyncLost(): number {
    let restarted = 0
    for (const peer of this.#peers.values()) {
      if (!peer.lost) continue
      peer.lost = false
      restarted++
      this.#shared.counters.resyncs.add()
      const { id, outbound, inbound } = peer
      if (!this.#links.keeper.wants(id)) this.#links.keeper.want(id, true)
      if (outbound) this.restart(peer, outbound)
      if (inbound) this.restart(peer, inbound)
    }
    return restarted
  }

  /** Offers a kept operation to all peers that may lack it; `pump` sends it. */
  forward(row: LogRow, operation: StoredOperation): void {
    // It takes the place of everything before it.
    if (operation.prune) row.tooLongAt = -1
    if (!row.pushed) return
    for (const peer of this.#peers.values()) {
      const next = peer.has[row.index]!
      if (next > operation.seq || next <= row.tooLongAt) continue
      if (!peer.push) peer.behind = true
      if (peer.behind) continue
      if (peer.queue.push({ row, operation }) === 'ok') continue
      this.#shared.counters.overflow.add()
      peer.fallBehind()
    }
  }

  pump(): void {
    for (const peer of this.#peers.values()) peer.push?.pump()
  }

  /** The session whose unfinished frame is the oldest. */
  get unfinished(): Session | undefined {
    let oldest: Session | undefined
    for (const session of this.#sessions.values()) {
      const since = session.unfinishedSince
      if (!session.closed && since < (oldest?.unfinishedSince ?? NEVER)) oldest = session
    }
    return oldest
  }

  /** Leaves to the store what waits for peers. @returns whether anything did. */
  shed(): boolean {
    let shed = false
    for (const peer of this.#peers.values()) {
      if (peer.queue.size === 0) continue
      peer.fallBehind()
      shed = true
    }
    return shed
  }

  /** A row has left the table, and its index will name another log. */
  rowGone(row: LogRow): void {
    for (const peer of this.#peers.values()) {
      peer.has[row.index] = 0
      if (peer.queue.size > 0) peer.fallBehind()
    }
    for (const session of this.#sessions.values()) session.rowGone(row)
  }

  /** Ends one peer's sessions, for good or until it is wanted again. */
  drop(id: NodeId): void {
    const peer = this.#peers.peek(idKey(id))
    if (!peer) return
    const { outbound, inbound } = peer
    outbound?.sayClose('CLOSED')
    inbound?.sayClose('CLOSED')
  }

  /** Asks all peers to end; no session begins any more. */
  close(): void {
    this.#closing = true
    for (const session of this.#sessions.values()) session.sayClose('CLOSED')
  }

  [Symbol.dispose](): void {
    for (const session of this.#sessions.values()) session[Symbol.dispose]()
    this.#sessions[Symbol.dispose]()
    for (const peer of this.#peers.values()) peer[Symbol.dispose]()
    this.#peers[Symbol.dispose]()
  }

  /** The next sequence number after all that is kept here or that a peer with a session has. */
  heightOf(row: LogRow | undefined): number {
    if (!row) return 0
    let next = row.ours
    for (const peer of this.#peers.values()) next = Math.max(next, peer.has[row.index]!)
    return next
  }

  /** Logs of which nobody here has anything, and that only a peer spoke of which is gone. */
  #forgetHearsay(): void {
    for (let row = this.#shared.table.first; row; ) {
      const { nextRow } = row
      if (row.ours === 0 && row.uses === 0 && !this.#spokenOf(row)) this.#shared.table.remove(row)
      row = nextRow
    }
  }

  #spokenOf(row: LogRow): boolean {
    for (const peer of this.#peers.values()) if (peer.has[row.index]! > 0) return true
    return false
  }
}
