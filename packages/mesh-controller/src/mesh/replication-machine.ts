/**
 * Replication as a synchronous machine: observations of our API server and operations of the other zones go in, own
 * operations and writes to our API server come out.
 *
 * It is driven by levels, not edges: a row that changed is compared with what is wanted, whatever the order in which
 * things became known. So a restart, a lost watch or an operation that comes before the first list end the same way.
 *
 * Memory: the rows, the zones and one open chunk, each with a term of its own; a place for each write under way.
 */
import type { Account } from 'weir-mesh/bounds'
import type { NodeId, TopicId } from 'weir-mesh/core'
import { type Fold, type Instant, instant, type Machine, NEVER, Reentry } from 'weir-mesh/machine'
import { assert } from 'weir-mesh/runtime'
import { compareResourceVersions } from '../kube/index.ts'
import { failsOn, hasToCalm, isPutBack, notePutBack } from './calm.ts'
import { CatchingUp } from './catching-up.ts'
import { type Action, decide } from './decide.ts'
import { Incoming, type IncomingEffects, type RemoteOperation } from './incoming.ts'
import { describeObject, type ObjectName } from './names.ts'
import { Outgoing, type PublishEffects } from './outgoing.ts'
import { type Desired, HELD, isState, type Observed, type Row } from './row.ts'
import { RowQueue } from './row-queue.ts'
import { RowTable } from './row-table.ts'
import type { Zone } from './zone.ts'

export type ReplicationEvent =
  /** An object as the API server has it. `content` is valid during the call and needed for objects born here. */
  | {
      readonly type: 'observed'
      readonly name: ObjectName
      readonly observed: Observed
      readonly content: Uint8Array | undefined
    }
  /** An object that is too large to be read. */
  | { readonly type: 'unread'; readonly name: ObjectName }
  | { readonly type: 'gone'; readonly name: ObjectName; readonly version: string }
  | ({ readonly type: 'operation' } & RemoteOperation)
  | { readonly type: 'applied'; readonly row: Row; readonly outcome: Outcome }
  | { readonly type: 'snapshot-begin'; readonly cluster: string; readonly count: number }
  | {
      readonly type: 'snapshot-item'
      readonly name: ObjectName
      readonly version: string
      readonly hash: string
      readonly content: Uint8Array
    }
  /** See `unsent`. */
  | { readonly type: 'snapshot-held'; readonly name: ObjectName }
  | { readonly type: 'snapshot-flush' }
  | { readonly type: 'snapshot-end' }
  | { readonly type: 'snapshot-abort' }

/** How a write ended. */
export type Outcome =
  /** The object is now as given. `sent` is what it was made of. */
  | { readonly type: 'written'; readonly observed: Observed; readonly sent?: Desired }
  /** The object that the write was for is gone; there may be another one of its name. */
  | { readonly type: 'gone'; readonly uid: string }
  /** Somebody was faster; with what is there now, when that is known. */
  | { readonly type: 'conflict'; readonly observed: Observed | undefined }
  /** The content is not in the log any more: a newer operation is under way and brings it. */
  | { readonly type: 'missing' }
  | { readonly type: 'failed'; readonly reason?: string }

export interface ReplicationEffects
  extends PublishEffects,
    Omit<IncomingEffects, 'touched' | 'logBegun' | 'logRead'> {
  /** Writes to the API server; the answer comes back as `applied` for this row. */
  apply(row: Row, action: Exclude<Action, { type: 'none' }>): void
  /** An own object has to be read again, because what was listed is older than what was published. */
  refetch(row: Row): void
  /** Two zones gave birth to one name: the object born here stays. */
  conflict(row: Row, zone: Zone): void
}

export interface ReplicationOptions {
  readonly zone: string
  readonly incarnation: number
  readonly topic: TopicId
  /** Writes under way at once. */
  readonly appliesMax: number
  readonly accounts: { readonly objects: Account; readonly zones: Account; readonly chunk: Account }
}

export class ReplicationMachine implements Machine<ReplicationEvent, ReplicationEffects> {
  readonly #rows: RowTable
  readonly #queue = new RowQueue()
  readonly #incoming: Incoming
  readonly #outgoing: Outgoing
  readonly #appliesMax: number
  readonly #reentry = new Reentry()
  readonly #catchingUp = new CatchingUp()
  #applying = 0
  /** Objects of this zone found no place: what is not known here may exist. */
  #overflowed = false
  /**
   * Rows whose object went, as the watch says, while a write to it was under way. An answer has a connection of its own:
   * it may come after all that the watch says of what happened since.
   */
  readonly #outrun = new Set<Row>() // tidy: containers: at most appliesMax rows, in the shells of mesh.applies

  constructor(options: ReplicationOptions) {
    this.#rows = new RowTable(options.accounts.objects)
    this.#incoming = new Incoming(options.zone, options.topic, this.#rows, options.accounts.zones)
    this.#outgoing = new Outgoing(options.zone, options.incarnation, options.accounts.chunk)
    this.#appliesMax = options.appliesMax
  }

  get outgoing(): Omit<
    Outgoing,
    'changed' | 'gone' | 'begin' | 'item' | 'hold' | 'flush' | 'end' | 'abort'
  > {
    return this.#outgoing
  }

  /** Objects that wait for a write, a retry included. */
  get pending(): number {
    return this.active + this.retrying + this.contested
  }

  /** Objects that are written now or as soon as there is a place. */
  get active(): number {
    return this.#queue.ready + this.#applying
  }

  /** Objects whose last write failed and that wait for another attempt. */
  get retrying(): number {
    return this.#queue.waiting
  }

  /** Objects that somebody else changes again and again, and that wait to be put back once more. */
  get contested(): number {
    return this.#queue.calming
  }

  get objects(): number {
    return this.#rows.size
  }

  /** See `Incoming.bind`. */
  bind(name: string, author: NodeId): ReturnType<Incoming['bind']> {
    return this.#incoming.bind(name, author)
  }

  zoneOf(author: NodeId): Zone | undefined {
    return this.#incoming.zoneOf(author)
  }

  zones(): IterableIterator<Zone> {
    return this.#incoming.zones()
  }

  rows(): IterableIterator<Row> {
    return this.#rows.all()
  }

  /** Objects that may be of this zone and that the open snapshot has not named, although its list came to the end. */
  *unsent(): IterableIterator<ObjectName> {
    for (const row of this.#rows.all()) if (this.#isUnsent(row)) yield row
  }

  row(key: string): Row | undefined {
    return this.#rows.get(key)
  }

  /** Whether this state of an object was seen before, so that it need not be looked at once more. */
  knows(name: ObjectName, uid: string, version: string): boolean {
    return isState(this.#rows.find(name)?.observed, uid, version)
  }

  handle(event: ReplicationEvent, now: Instant, effects: ReplicationEffects): void {
    this.#reentry.enter(() => {
      this.#handle(event, now, effects)
      this.#arrive(now)
      this.#reconcile(now, effects)
    })
  }

  wake(now: Instant, effects: ReplicationEffects): void {
    this.#reentry.enter(() => {
      this.#queue.wake(now / 1000)
      this.#arrive(now)
      this.#reconcile(now, effects)
    })
  }

  get wakeAt(): Instant {
    const atMs = this.#queue.wakeAtMs
    const queued = atMs === Infinity ? NEVER : instant(atMs * 1000)
    const { lookAt } = this.#catchingUp
    return Math.min(lookAt, queued) as Instant
  }

  digest(fold: Fold): void {
    fold(this.#outgoing.seq)
    fold(this.#applying)
    fold(this.#outrun.size)
    for (const row of this.#rows.all()) {
      foldText(fold, row.key)
      foldText(fold, row.observed ? row.observed.version + row.observed.hash : '')
      foldText(fold, row.publishedHash)
      for (let entry = row.desired; entry; entry = entry.next) {
        foldText(fold, entry.zone.name + entry.hash)
      }
    }
    for (const zone of this.#incoming.zones()) {
      foldText(fold, zone.name + zone.logKey)
      fold(zone.lastSeq)
      fold(zone.complete ? 1 : 0)
      fold(zone.catchingUp ? 1 : 0)
    }
  }

  [Symbol.dispose](): void {
    this.#outgoing[Symbol.dispose]()
    this.#incoming[Symbol.dispose]()
    this.#rows[Symbol.dispose]()
  }

  #handle(event: ReplicationEvent, now: Instant, effects: ReplicationEffects): void {
    switch (event.type) {
      case 'observed':
        return this.#observed(event.name, event.observed, event.content, effects)
      case 'unread':
        return this.#unread(event.name, effects)
      case 'gone':
        return this.#gone(event.name, event.version, effects)
      case 'operation':
        return this.#incoming.operation(event, {
          touched: (row) => {
            this.#tellConflict(row, effects)
            this.#touch(row)
          },
          logBegun: (zone, height) => this.#catchingUp.begin(zone, height, now),
          logRead: (zone) => this.#catchingUp.read(zone, now),
          dropLog: (author, logId) => effects.dropLog(author, logId),
          problem: (problem, zone, detail) => effects.problem(problem, zone, detail),
          snapshotApplied: (zone) => effects.snapshotApplied(zone),
        })
      case 'applied':
        return this.#applied(event.row, event.outcome, now, effects)
      case 'snapshot-begin':
        return this.#outgoing.begin(event.cluster, event.count, effects)
      case 'snapshot-item': {
        const row = this.#rows.find(event.name)
        // One that found no place is not known to be gone either.
        if (!row && this.#overflowed) return this.#outgoing.hold(event.name, row, effects)
        // Deleted since it was listed, or a replica: not ours to tell.
        if (!row?.local) return
        const result = this.#outgoing.item(row, event.version, event.hash, event.content, effects)
        if (result === 'stale') effects.refetch(row)
        return
      }
      case 'snapshot-held': {
        const row = this.#rows.find(event.name)
        if (row && this.#isUnsent(row)) this.#outgoing.hold(row, row, effects)
        return
      }
      case 'snapshot-flush':
        return this.#outgoing.flush(effects)
      case 'snapshot-end':
        return this.#outgoing.end(effects)
      case 'snapshot-abort':
        return this.#outgoing.abort()
    }
  }

  #observed(
    name: ObjectName,
    observed: Observed,
    content: Uint8Array | undefined,
    effects: ReplicationEffects,
  ): void {
    const row = this.#rows.findOrAdd(name)
    if (!row) return this.#noPlace(name, effects)
    row.unread = false
    if (!this.#see(row, observed)) return
    this.#withdraw(row, effects)
    if (row.local && content) this.#outgoing.changed(row, content, effects)
    this.#tellConflict(row, effects)
    this.#touchHere(row)
  }

  #unread(name: ObjectName, effects: ReplicationEffects): void {
    const row = this.#rows.findOrAdd(name)
    if (!row) return this.#noPlace(name, effects)
    row.unread = true
  }

  #noPlace(name: ObjectName, effects: ReplicationEffects): void {
    this.#overflowed = true
    effects.problem('objects-full', '', `${name.resource} ${name.name}`)
  }

  #isUnsent(row: Row): boolean {
    const ours = row.local || (row.unread && !row.observed)
    return ours && this.#outgoing.snapshotOpen && !this.#outgoing.names(row)
  }

  /** Whichever of the two is known first. */
  #tellConflict(row: Row, effects: ReplicationEffects): void {
    // What is held may have been too large to see whose it is.
    if (!row.local || !row.desired || row.desired.hash === HELD || row.reported) return
    row.reported = true
    effects.conflict(row, row.desired.zone)
  }

  #gone(name: ObjectName, version: string, effects: ReplicationEffects): void {
    const row = this.#rows.find(name)
    if (!row) return
    // A later object of the same name is no news of this deletion's past.
    if (row.observed && compareResourceVersions(row.observed.version, version) > 0) return
    row.observed = undefined
    row.unread = false
    row.reported = false
    if (row.state === 'busy') this.#outrun.add(row)
    this.#outgoing.gone(row, version, effects)
    this.#touchHere(row)
  }

  /** Takes an observation when it is newer than what is known. */
  #see(row: Row, observed: Observed): boolean {
    const known = row.observed
    if (known && compareResourceVersions(known.version, observed.version) >= 0) return false
    // The markers are no part of the hash.
    const { hash, uid, owner, cluster } = observed
    if (known?.hash !== hash || known.uid !== uid) row.forgetGiven()
    else if (known.owner !== owner || known.cluster !== cluster) row.forgetGiven()
    // Whose an object is was settled when it was first seen, or by our own write: somebody who edits the label of an
    // object born here does not give it away, and one who removes the label of a replica does not take it.
    const foreign = known !== undefined && known.owner !== '' && observed.owner === ''
    const born = known !== undefined && known.owner === ''
    if (known?.uid === observed.uid && (foreign || born)) {
      // A replica without its markers has to be patched, so it must not look as desired.
      row.observed = { ...observed, owner: known.owner, cluster: '' }
    } else row.observed = observed
    return true
  }

  #applied(row: Row, outcome: Outcome, now: Instant, effects: ReplicationEffects): void {
    assert(this.#applying > 0, 'a write ended that did not begin')
    this.#applying--
    // What an answer says may be what has gone since; if it is not, the watch says so too.
    const outrun = this.#outrun.delete(row)
    switch (outcome.type) {
      case 'written':
        if (outcome.sent?.hash === row.acceptedFor) this.#notePutBack(row, now, effects)
        if (!outrun) this.#written(row, outcome.observed, outcome.sent)
        // What was written may not be what is wanted by now.
        row.again = true
        this.#queue.done(row)
        break
      case 'gone':
        // The watch may have shown the next one of this name already.
        if (row.observed?.uid === outcome.uid) row.observed = undefined
        row.again ||= row.desired !== undefined
        this.#queue.done(row)
        break
      case 'conflict':
        if (row.desired?.hash === row.acceptedFor) this.#notePutBack(row, now, effects)
        row.forgetGiven()
        // An object born here comes by the watch, with the content that has to be published.
        if (outcome.observed && outcome.observed.owner !== '' && !outrun) {
          this.#see(row, outcome.observed)
        }
        this.#queue.retry(row, now / 1000)
        break
      case 'missing':
        this.#queue.done(row)
        break
      case 'failed':
        row.forgetGiven()
        this.#queue.retry(row, now / 1000)
        break
    }
    this.#withdraw(row, effects)
    this.#rows.removeIfEmpty(row)
  }

  #written(row: Row, observed: Observed, sent: Desired | undefined): void {
    this.#see(row, observed)
    // The watch may have been faster: then it is not news, and still the answer to what was sent.
    if (!sent || row.observed?.version !== observed.version) return
    row.acceptedFor = sent.hash
    row.acceptedHash = observed.hash
    row.given(sent)
  }

  /** A replica took the place of an object born here before its deletion was seen: the others have to know. */
  #withdraw(row: Row, effects: ReplicationEffects): void {
    if (row.observed && !row.local) this.#outgoing.gone(row, row.observed.version, effects)
  }

  #touch(row: Row): void {
    // The next edit of the same kind is no reason to be faster; what its owner says is.
    if (row.state === 'calming' && isPutBack(row, this.#decide(row))) return
    this.#queue.add(row)
  }

  /** As `#touch`, for what happened in our cluster: it does not hasten a write that has failed again and again. */
  #touchHere(row: Row): void {
    if (failsOn(row) && this.#decide(row).type !== 'none') return
    this.#touch(row)
  }

  /** What a zone wants is written from here on, when its log has come to the present. */
  #arrive(now: Instant): void {
    for (const zone of this.#catchingUp.arrived(now)) {
      for (const row of this.#rows.all()) if (row.desiredOf(zone)) this.#touch(row)
    }
  }

  #decide(row: Row): Action {
    return decide(row, (name) => this.#incoming.zone(name))
  }

  #notePutBack(row: Row, now: Instant, effects: ReplicationEffects): void {
    if (!notePutBack(row, now / 1000)) return
    effects.problem('contested', row.desired?.zone.name ?? '', describeObject(row))
  }

  #reconcile(now: Instant, effects: ReplicationEffects): void {
    while (this.#applying < this.#appliesMax) {
      const row = this.#queue.next()
      if (!row) return
      const action = this.#decide(row)
      if (action.type === 'none') {
        this.#queue.done(row)
        this.#rows.removeIfEmpty(row)
        continue
      }
      if (hasToCalm(row, action, now / 1000)) {
        this.#queue.calm(row, now / 1000)
        continue
      }
      this.#applying++
      effects.apply(row, action)
    }
  }
}

function foldText(fold: Fold, text: string): void {
  fold(text.length)
  for (let at = 0; at < text.length; at++) fold(text.charCodeAt(at))
}
