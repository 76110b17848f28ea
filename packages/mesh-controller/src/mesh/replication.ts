/**
 * Runs replication for one zone: feeds watches and operations into the machine, carries out what it decides, and keeps
 * the one timer that it wants. All decisions are the machine's.
 *
 * Back-pressure: a watch event and a snapshot item wait for room in the own log, an operation of a peer waits while
 * more writes are pending than `pendingMax`.
 *
 * Memory: the terms of `meshTerms`.
 */
import type { Term } from 'weir-mesh/bounds'
import { copyBytes } from 'weir-mesh/codec'
import { logId, type NodeId, zoneLogId } from 'weir-mesh/core'
import { NEVER } from 'weir-mesh/machine'
import {
  Backoff,
  type Counter,
  describeError,
  type Heartbeat,
  isWeirError,
  msBetween,
  type Scope,
  TaskGroup,
  type Timer,
} from 'weir-mesh/runtime'
import type { StoredOperation } from 'weir-mesh/store'
import { Reflector, type ReflectorEvent } from '../kube/index.ts'
import { Applier } from './applier.ts'
import { ClusterIdentity } from './cluster-identity.ts'
import { Coverage } from './coverage.ts'
import type { ObjectName } from './names.ts'
import { observeWithContent } from './observation.ts'
import { OwnLog } from './own-log.ts'
import { decodeBody } from './protocol.ts'
import {
  type Outcome,
  type ReplicationEffects,
  type ReplicationEvent,
  ReplicationMachine,
} from './replication-machine.ts'
import type { ReplicationOptions, ZoneStatus } from './replication-options.ts'
import { Reporter } from './reporter.ts'
import { CONTENT_BYTES_MAX } from './sizes.ts'
import { Snapshotter, type WatchedResource } from './snapshotter.ts'
import type { Zone } from './zone.ts'

/** Log bytes that may be spent beyond the live content before a snapshot makes the log short again; less at rest. */
const SLACK_BYTES = 2 * 1024 * 1024
const SLACK_SHARE = 0.5
const FULL_SHARE = 0.9
const IDLE_SLACK_BYTES = 256 * 1024
const HEARTBEAT_MS = 8_000
const START_RETRY_MS = 500
const FAILED: Outcome = Object.freeze({ type: 'failed' })

export class Replication implements AsyncDisposable {
  readonly #options: ReplicationOptions
  readonly #scope: Scope
  readonly #machine: ReplicationMachine
  readonly #ownLog: OwnLog
  readonly #snapshotter: Snapshotter
  readonly #applier: Applier
  readonly #applies: TaskGroup
  readonly #reporter: Reporter
  readonly #pulse: Heartbeat
  readonly #applied: Counter
  readonly #received: Counter
  #resources: readonly WatchedResource[] = Object.freeze([])
  readonly #coverage: Coverage
  readonly #cluster: ClusterIdentity
  #problem = 'starting'
  #handled = 0
  #timer: Timer | undefined
  #timerAt = NEVER
  #stale: ObjectName | undefined
  #idle: (() => void) | undefined
  #listed = false
  readonly #listing = Promise.withResolvers<void>()

  constructor(options: ReplicationOptions) {
    const { ledger, terms, limits, heartbeats, zone, incarnation, topic } = options
    this.#options = options
    this.#scope = options.scope.child('replication')
    const scope = this.#scope
    this.#cluster = new ClusterIdentity(options.client, scope.log)
    this.#coverage = new Coverage(scope.log)
    const account = (term: Term) => ledger.require(term)
    this.#machine = scope.own(
      'machine',
      new ReplicationMachine({
        zone,
        incarnation,
        topic,
        appliesMax: limits.appliesMax,
        accounts: {
          objects: account(terms.objects),
          zones: account(terms.zones),
          chunk: account(terms.chunk),
        },
      }),
    )
    const applying = scope.own('applies', account(terms.applies))
    const pulse = (name: string) =>
      scope.own(
        name,
        heartbeats.register(name, { deadlineMs: options.heartbeatMs ?? HEARTBEAT_MS }),
      )
    this.#pulse = pulse('apply-queue')
    this.#pulse.idle()
    this.#reporter = scope.own(
      'reporter',
      new Reporter(scope, options.client, account(terms.tooLarge)),
    )
    this.#ownLog = scope.own(
      'own-log',
      new OwnLog({
        scope,
        key: options.key,
        logId: zoneLogId(topic, zone, incarnation),
        queue: account(terms.publish),
        heartbeat: pulse('own-log'),
        publish: options.publish,
        onFull: () => this.#snapshotter.request(),
        ...(options.faults?.ownLog ? { fault: options.faults.ownLog } : {}),
      }),
    )
    this.#snapshotter = new Snapshotter({
      scope,
      client: options.client,
      random: options.random,
      heartbeat: pulse('snapshot'),
      cluster: this.#cluster,
      resources: () => this.#resources,
      collection: (resource, namespace) => this.#coverage.collection(resource, namespace),
      bytes: () => this.#machine.outgoing.liveBytes,
      count: () => this.#machine.outgoing.liveObjects,
      dispatch: (event) => this.#dispatch(event),
      inRoom: (act) => this.#ownLog.inRoomOfSnapshot(act),
      inRoomOfBegin: (act) => this.#ownLog.inRoomOfBegin(act),
      kept: () => this.#ownLog.kept(this.#machine.outgoing.seq - 1),
      giveUp: () => this.#ownLog.giveUp(),
      unsent: () => this.#machine.unsent(),
      takeStale: () => {
        const stale = this.#stale
        this.#stale = undefined
        return stale
      },
    })
    // A write that ends starts the next one before its own task is gone.
    this.#applies = new TaskGroup(scope, 'apply', { tasksMax: 2 * limits.appliesMax })
    this.#applier = new Applier({
      client: options.client,
      store: options.store,
      account: applying,
      log: scope.log,
      resourceOf: (resource, namespace) => this.#watched(resource, namespace)?.ref,
      signal: scope.signal,
    })
    const counters = scope.counters
    this.#applied = counters.counter(
      'mesh_applied_total',
      'Writes to the API server that succeeded.',
    )
    this.#received = counters.counter(
      'mesh_operations_total',
      'Operations of other zones that were read.',
    )
  }

  /** Binds a zone to the key that speaks for it; see `Incoming.bind`. */
  bind(zone: string, author: NodeId) {
    return this.#machine.bind(zone, author)
  }

  zoneOf(author: NodeId): Zone | undefined {
    return this.#machine.zoneOf(author)
  }

  /** Why replication is not ready, or undefined when every kind is watched and the first snapshot is written. */
  get problem(): string | undefined {
    const { held, full } = this.#snapshotter
    const named = this.#cluster.doubt || this.#coverage.problem || held || full
    if (named) return named
    if (this.#problem !== '') return this.#problem
    return this.#snapshotter.written === 0 ? 'the first snapshot is not written yet' : undefined
  }

  /** Whether anything is being written, here or into the own log, or was since the last look. */
  wasBusy(): boolean {
    const handled = this.#handled
    this.#handled = 0
    return handled > 0 || this.#machine.pending > 0 || this.#ownLog.queued > 0
  }

  /** For a quiet moment: until a snapshot every zone keeps what was superseded, so one is due when that is half the log. */
  shortenLog(): void {
    const { liveBytes } = this.#machine.outgoing
    this.#limitLog(liveBytes + Math.max(liveBytes, IDLE_SLACK_BYTES))
  }

  get status() {
    const zones: ZoneStatus[] = []
    for (const zone of this.#machine.zones()) {
      zones.push({
        zone: zone.name,
        id: Buffer.from(zone.author).toString('hex'),
        objects: zone.objects,
        complete: zone.complete,
        catchingUp: zone.catchingUp,
        cluster: zone.cluster,
        incarnation: zone.incarnation,
        sequence: zone.lastSeq,
      })
    }
    const outgoing = this.#machine.outgoing
    return {
      zone: this.#options.zone,
      incarnation: this.#options.incarnation,
      cluster: this.#cluster.uid,
      problem: this.problem ?? '',
      believed: this.#cluster.doubt === '',
      refused: [...new Set([...this.#coverage.refused(), ...this.#snapshotter.missing])],
      objects: this.#machine.objects,
      ownObjects: outgoing.liveObjects,
      ownSequence: outgoing.seq,
      snapshots: this.#snapshotter.written,
      queued: this.#ownLog.queued,
      pending: this.#machine.pending,
      retrying: this.#machine.retrying,
      contested: this.#machine.contested,
      failing: this.#machine.retrying > 0 ? this.#reporter.failedWrite : '',
      zones,
      tooLarge: [...this.#reporter.oversized()],
    }
  }

  /** Finds the kinds and begins to watch them, for as long as it takes. */
  start(): void {
    this.#scope.spawn('start', (signal) => this.#start(signal))
  }

  /**
   * Takes an operation of another zone; settles when the next one may come. Before the own objects are listed it
   * waits: whether something has to be written depends on what is there.
   *
   * @param height The next sequence number of its log, as far as anybody is known to have it; it matters with a begin.
   *   Default: this is the last one.
   */
  async deliver(operation: StoredOperation, height = operation.seq + 1): Promise<void> {
    if (!this.#listed) await this.#listing.promise
    if (!operation.body || this.#scope.closed) return
    this.#received.add()
    const { author, seq, body } = operation
    if (this.#options.bindUnknown && !this.#machine.zoneOf(author)) this.#bindUnknown(author, body)
    this.#dispatch({ type: 'operation', author, logId: operation.logId, seq, height, body })
    const most = this.#options.limits.pendingMax
    while (this.#machine.active > most && !this.#scope.closed) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve
      })
    }
  }

  async close(): Promise<void> {
    const closing = this.#scope.close()
    this.#listing.resolve()
    this.#idle?.()
    await closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #start(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.#options.random, { firstMs: START_RETRY_MS })
    while (!signal.aborted) {
      try {
        await this.#find(signal)
        break
      } catch (error) {
        if (signal.aborted) return
        this.#problem = describeError(error)
        const delayMs = backoff.next()
        this.#scope.log.warn('the cluster is not ready for replication yet', { error, delayMs })
        await this.#scope.sleep(delayMs)
      }
    }
    this.#problem = 'the objects of this zone are being listed'
    this.#coverage.follow(
      this.#resources.map((resource) => ({ resource, reflector: this.#watch(resource) })),
    )
  }

  async #find(signal: AbortSignal): Promise<void> {
    const { client, resources } = this.#options
    await this.#cluster.learn(signal)
    const found: WatchedResource[] = []
    for (const { group, version, kind, namespaces } of resources) {
      const ref = await client.findResource(group, version, kind, { signal })
      found.push({
        name: `${group}/${kind}`,
        ref,
        namespaces: ref.namespaced ? namespaces : undefined,
      })
    }
    this.#resources = Object.freeze(found)
  }

  #watch(resource: WatchedResource): Reflector<undefined> {
    const { client, heartbeats, faults } = this.#options
    return this.#scope.own(
      `watch ${resource.name}`,
      new Reflector<undefined>({
        client,
        resource: resource.ref,
        heartbeats,
        project: () => undefined,
        onEvent: (event) => this.#observed(resource, event),
        beforeRelist: () => this.#cluster.check(this.#scope.signal),
        beforeWatch: () => this.#cluster.checkWatch(this.#scope.signal),
        onListed: () => this.#covered(),
        onFailed: (_namespace, error) => {
          this.#cluster.noteFailure(error)
          this.#covered()
        },
        // Known by name alone, so that a relist can show that it is gone.
        projectLarge: () => undefined,
        onLarge: ({ name, namespace, uid, bytes }) => {
          if (name === undefined) return
          const object = { resource: resource.name, namespace: namespace ?? '', name }
          this.#dispatch({ type: 'unread', name: object })
          this.#reporter.tooLarge(object, resource.ref, uid ?? '', bytes, CONTENT_BYTES_MAX)
        },
        ...(resource.namespaces ? { namespaces: resource.namespaces } : {}),
        ...(faults?.watch ? { fault: faults.watch } : {}),
      }),
    )
  }

  /** Something was listed or refused: begins when that is all, and lets the snapshot look again. */
  #covered(): void {
    this.#coverage.changed()
    if (this.#listed) return this.#snapshotter.listed()
    if (!this.#coverage.suffices) return
    this.#problem = ''
    this.#listed = true
    this.#listing.resolve()
    this.#snapshotter.request()
  }

  /** Called for one event after the other; the promise holds the watch back. */
  #observed(resource: WatchedResource, event: ReflectorEvent<undefined>): Promise<void> | void {
    if (this.#ownLog.hasRoom) return this.#observe(resource, event)
    return this.#ownLog
      .inRoom(() => this.#observe(resource, event))
      .catch((error: unknown) => {
        if (!this.#scope.closed) throw error
      })
  }

  #observe(resource: WatchedResource, event: ReflectorEvent<undefined>): void {
    const name = { resource: resource.name, namespace: event.namespace, name: event.name }
    if (event.type === 'deleted' || !event.object) {
      this.#reporter.fits(name)
      return this.#dispatch({ type: 'gone', name, version: event.resourceVersion })
    }
    // The echo of a write of ours, whose answer has said the same: encoding and hashing it again costs 35 us of CPU.
    if (this.#machine.knows(name, event.uid, event.resourceVersion)) return
    const { observed, content, bytes } = observeWithContent(event.object)
    if (content) this.#reporter.fits(name)
    else {
      const size = bytes || event.bytes
      this.#reporter.tooLarge(name, resource.ref, event.uid, size, CONTENT_BYTES_MAX)
    }
    this.#dispatch({ type: 'observed', name, observed, content })
    this.#compact()
  }

  /** Asks for a snapshot when the log has grown past what it has to hold, or nears what the store has for it. */
  #compact(): void {
    const { liveBytes } = this.#machine.outgoing
    const near = Math.max(
      this.#options.limits.logBytesMax * FULL_SHARE - liveBytes,
      SLACK_BYTES / 2,
    )
    this.#limitLog(liveBytes + Math.min(liveBytes * SLACK_SHARE + SLACK_BYTES, near))
  }

  #limitLog(bytesMax: number): void {
    if (this.#snapshotter.running || this.#ownLog.bytesSinceSnapshot <= bytesMax) return
    this.#snapshotter.request()
  }

  #watched(resource: string, namespace: string): WatchedResource | undefined {
    return this.#resources.find(
      (each) =>
        each.name === resource &&
        (each.namespaces === undefined || each.namespaces.includes(namespace)),
    )
  }

  #dispatch(event: ReplicationEvent): void {
    if (this.#scope.closed) return
    this.#handled++
    this.#machine.handle(event, this.#scope.clock.now(), this.#effects)
    this.#snapshotter.changed()
    this.#arm()
  }

  /** First come, first served: a key that begins a log gets the zone it names, unless that has a key. */
  #bindUnknown(author: NodeId, bytes: Uint8Array): void {
    try {
      const body = decodeBody(bytes)
      if (body.kind !== 'begin') return
      const answer = this.#machine.bind(body.zone, copyBytes(author) as NodeId)
      if (answer !== 'ok') this.#reporter.report('zone-claimed', body.zone, `not bound: ${answer}`)
    } catch (error) {
      // The machine reads it once more and says what is wrong.
      if (!isWeirError(error)) throw error
    }
  }

  /** A cluster that is not believed is not written to either: it may be somebody else's, and its answers say nothing. */
  #apply(...[row, action]: Parameters<Applier['apply']>): Promise<Outcome> | Outcome {
    const reason = this.#cluster.doubt
    return reason === '' ? this.#applier.apply(row, action) : { type: 'failed', reason }
  }

  /** Keeps the timer at the machine's deadline and tells the heartbeat whether there is work. */
  #arm(): void {
    const active = this.#machine.active
    if (active === 0) this.#pulse.idle()
    if (active <= this.#options.limits.pendingMax) {
      this.#idle?.()
      this.#idle = undefined
    }
    const wakeAt = this.#machine.wakeAt
    if (wakeAt === this.#timerAt) return
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerAt = wakeAt
    if (wakeAt === NEVER) return
    const delayMs = Math.max(msBetween(this.#scope.clock.now(), wakeAt), 0)
    this.#timer = this.#scope.timer('wake', delayMs, () => {
      this.#timerAt = NEVER
      this.#machine.wake(this.#scope.clock.now(), this.#effects)
      this.#arm()
    })
  }

  readonly #effects: ReplicationEffects = {
    publish: (seq, body, prune) => this.#ownLog.append(seq, body, prune),
    apply: (row, action) => {
      if (this.#applies.running === 0) this.#pulse.beat()
      this.#applies.run(action.type, async () => {
        let outcome: Outcome = FAILED
        try {
          await this.#options.faults?.apply?.()
          outcome = await this.#apply(row, action)
          if (outcome.type === 'written' || outcome.type === 'gone') this.#applied.add()
          else this.#reporter.writeFailed(row, outcome)
        } finally {
          // An answer of the server, whatever it says, is a sign of life of the queue.
          this.#pulse.beat()
          this.#dispatch({ type: 'applied', row, outcome })
        }
      })
    },
    refetch: (row) => {
      this.#stale = row
    },
    conflict: (row, zone) => {
      const ref = this.#watched(row.resource, row.namespace)?.ref
      const message = `also born in ${zone.name}: here the own one stays; delete one of the two`
      if (ref) this.#reporter.event('owner-conflict', row, ref, row.observed?.uid ?? '', message)
    },
    dropLog: (author, id) => {
      this.#scope.spawn('drop log', async () => {
        await this.#options.deleteLog({ author, logId: logId(id) })
      })
    },
    problem: (problem, zone, detail) => this.#reporter.report(problem, zone, detail),
    snapshotApplied: (zone) =>
      this.#scope.log.info('a snapshot was applied', { zone: zone.name, objects: zone.objects }),
  }
}
