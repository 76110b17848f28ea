/** One zone of the replication world: its API server with a watch, its log, and the machine between them. */
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { blake3, idKey, type LogId, type NodeId, zoneLogId } from 'weir-mesh/core'
import { instant } from 'weir-mesh/runtime'
import { contentHash, encodeContent } from '../src/mesh/content.ts'
import type { Action } from '../src/mesh/decide.ts'
import { meshTerms } from '../src/mesh/memory.ts'
import { objectKey } from '../src/mesh/names.ts'
import { isAfter, type Position } from '../src/mesh/position.ts'
import { decodeBody } from '../src/mesh/protocol.ts'
import {
  type Outcome,
  type ReplicationEffects,
  ReplicationMachine,
} from '../src/mesh/replication-machine.ts'
import type { Desired, Observed, Row } from '../src/mesh/row.ts'
import type { ReplicationWorld } from './replication-world.ts'

/** What a zone can do with an object of its own: send it, read it and not send it, or know it by name alone. */
type Size = 'small' | 'large' | 'unread'

interface ApiObject {
  readonly uid: string
  readonly version: string
  readonly owner: string
  readonly cluster: string
  readonly content: Uint8Array
  readonly size: Size
  readonly made: Position | undefined
}

type WatchItem = { readonly key: string; readonly object?: ApiObject; readonly version: string }

interface Log {
  readonly author: NodeId
  readonly logId: LogId
  readonly bodies: { readonly seq: number; readonly body: Uint8Array }[]
}

const RESOURCE = 'demo.weir.example/Widget'
const nameOf = (key: string) => {
  const [resource, namespace, name] = key.split(' ') as [string, string, string]
  return { resource, namespace, name }
}

export class ZoneWorld {
  readonly name: string
  readonly author: NodeId
  readonly api = new Map<string, ApiObject>()
  machine!: ReplicationMachine
  ledger!: Ledger
  #world: ReplicationWorld
  #index: number
  #objectsMax: number
  #versions = 1
  #cluster: string
  #incarnation = 0
  #watch: WatchItem[] = []
  #listing: string[] | undefined
  #log!: Log
  /** Of the life before. */
  #formerLog: Log | undefined
  #synced = false
  /** Operations of the others that this zone has read: per author and log, the next sequence number. */
  #read = new Map<string, number>()
  #applies: { row: Row; action: Exclude<Action, { type: 'none' }> }[] = []
  /** How writes ended, on their way back to the zone: each on a connection of its own, and so in any order. */
  #answers: { row: Row; outcome: Outcome }[] = []
  #refetch: Row[] = []
  #cut = new Set<number>()
  #serial = 0
  /** Objects born here that were deleted once. */
  #removed = new Set<string>()

  constructor(world: ReplicationWorld, index: number, objectsMax: number) {
    this.#world = world
    this.#index = index
    this.#objectsMax = objectsMax
    this.name = `zone-${String.fromCharCode(97 + index)}`
    this.author = blake3(Uint8Array.of(index)) as Uint8Array as NodeId
    this.#cluster = `cluster-${this.name}`
  }

  /** The log of this life, and before it that of the one before. */
  get logs(): Log[] {
    return this.#formerLog ? [this.#formerLog, this.#log] : [this.#log]
  }

  start(): void {
    this.#incarnation++
    const terms = meshTerms({
      objectsMax: this.#objectsMax,
      zonesMax: 8,
      publishBytesMax: 1 << 20,
      logBytesMax: 1 << 24,
      appliesMax: 4,
      pendingMax: 64,
    })
    this.ledger = new Ledger(planMemory(Object.values(terms), { limitBytes: 1 << 28 }))
    this.machine = new ReplicationMachine({
      zone: this.name,
      incarnation: this.#incarnation,
      topic: this.#world.topic,
      appliesMax: 4,
      accounts: {
        objects: this.ledger.require(terms.objects),
        zones: this.ledger.require(terms.zones),
        chunk: this.ledger.require(terms.chunk),
      },
    })
    const logId = zoneLogId(this.#world.topic, this.name, this.#incarnation)
    this.#formerLog = this.#log
    this.#log = { author: this.author, logId, bodies: [] }
    for (const zone of this.#world.zones)
      if (zone !== this) this.machine.bind(zone.name, zone.author)
    // The others may have been made later than this one.
    for (const zone of this.#world.zones)
      if (zone !== this) zone.machine?.bind(this.name, this.author)
    this.#watch = [...this.api].map(([key, object]) => ({ key, object, version: object.version }))
    this.#synced = false
    this.#listing = undefined
    this.#read.clear()
    this.#applies = []
    this.#answers = []
    this.#refetch = []
  }

  stop(): void {
    this.machine[Symbol.dispose]()
    this.ledger.assertEmpty()
  }

  restart(): void {
    this.stop()
    this.start()
  }

  /** One thing that can happen in this zone does. */
  step(): void {
    const choice = this.#world.random.below(5)
    if (choice === 0) this.#observe()
    else if (choice === 1) this.#readOthers()
    else if (choice === 2) this.#write()
    else if (choice === 3) this.#answer()
    else this.#list()
    this.wake()
  }

  /** As `step`, everything once; whether anything happened. */
  progress(): boolean {
    const steps = [
      () => this.#observe(),
      () => this.#readOthers(),
      () => this.#write(),
      () => this.#answer(),
      () => this.#list(),
    ]
    return steps.map((step) => step()).some(Boolean)
  }

  wake(): void {
    this.machine.wake(instant(this.#world.nowMs * 1000), this.#effects)
  }

  snapshot(): void {
    if (!this.#synced || this.#listing) return
    this.#handle({ type: 'snapshot-begin', cluster: this.#cluster, count: this.api.size })
    this.#listing = [...this.api.keys()]
  }

  toggleLink(other: number): void {
    if (this.#cut.has(other)) this.#cut.delete(other)
    else if (other !== this.#index) this.#cut.add(other)
  }

  healLinks(): void {
    this.#cut.clear()
  }

  userPut(name: string, value: number): void {
    const key = objectKey({ resource: RESOURCE, namespace: 'default', name })
    const present = this.api.get(key)
    if (present && present.owner !== '') return
    this.#store(key, present?.uid, '', '', encodeContent({ spec: { value } }))
  }

  /** An object of this zone grows too large to travel, or to be read; or it is born so. */
  userGrow(name: string, value: number): void {
    const key = objectKey({ resource: RESOURCE, namespace: 'default', name })
    const present = this.api.get(key)
    if (present && present.owner !== '') return
    const size = this.#world.random.below(2) === 0 ? 'large' : 'unread'
    this.#store(key, present?.uid, '', '', encodeContent({ spec: { grown: value } }), size)
  }

  /** Names of the objects that were born here. */
  *own(which: 'all' | 'grown' = 'all'): IterableIterator<string> {
    for (const [key, { owner, size }] of this.api) {
      if (owner === '' && (which === 'all' || size !== 'small')) yield nameOf(key).name
    }
  }

  userDelete(name: string): void {
    const key = objectKey({ resource: RESOURCE, namespace: 'default', name })
    if (this.api.get(key)?.owner === '') this.#remove(key)
  }

  /** Whether an object that was born here is there, and was so all the time. */
  alwaysHad(key: string): boolean {
    return this.api.get(key)?.owner === '' && !this.#removed.has(key)
  }

  userEditAnything(value: number): void {
    const [key, object] = this.#any()
    if (key && object) {
      const { uid, owner, cluster, made } = object
      this.#store(key, uid, owner, cluster, encodeContent({ spec: { value } }), 'small', made)
    }
  }

  userDeleteAnything(): void {
    const [key] = this.#any()
    if (key) this.#remove(key)
  }

  #any(): [string?, ApiObject?] {
    const all = [...this.api]
    return all[this.#world.random.below(all.length)] ?? []
  }

  #store(
    key: string,
    uid: string | undefined,
    owner: string,
    cluster: string,
    content: Uint8Array,
    size: Size = 'small',
    made?: Position,
  ): ApiObject {
    const version = String(++this.#versions)
    const object = {
      uid: uid ?? `${this.name}-${++this.#serial}`,
      version,
      owner,
      cluster,
      content,
      size,
      made,
    }
    this.api.set(key, object)
    this.#watch.push({ key, object, version })
    return object
  }

  #remove(key: string): void {
    if (this.api.get(key)?.owner === '') this.#removed.add(key)
    this.api.delete(key)
    this.#watch.push({ key, version: String(++this.#versions) })
  }

  #observe(): boolean {
    const item = this.#watch.shift()
    if (!item) {
      if (this.#synced) return false
      this.#synced = true
      this.snapshot()
      return true
    }
    const name = nameOf(item.key)
    if (!item.object) this.#handle({ type: 'gone', name, version: item.version })
    else if (item.object.size === 'unread') this.#handle({ type: 'unread', name })
    else {
      const { content, size } = item.object
      const observed = seen(item.object)
      this.#handle({
        type: 'observed',
        name,
        observed,
        content: size === 'small' ? content : undefined,
      })
    }
    return true
  }

  #readOthers(): boolean {
    let moved = false
    for (const [index, zone] of this.#world.zones.entries()) {
      if (zone === this || this.#cut.has(index)) continue
      const logs = zone.logs
      if (this.#world.random.below(2) === 0) logs.reverse()
      if (logs.some((log) => this.#readLog(log))) moved = true
    }
    return moved
  }

  #readLog({ author, logId, bodies }: Log): boolean {
    const key = idKey(author) + idKey(logId)
    const next = this.#read.get(key) ?? bodies[0]?.seq ?? 0
    const entry = bodies.find((each) => each.seq >= next)
    if (!entry) return false
    this.#read.set(key, entry.seq + 1)
    const height = bodies.at(-1)!.seq + 1
    this.#handle({ type: 'operation', author, logId, height, ...entry })
    return true
  }

  #list(): boolean {
    const refetched = this.#refetch.shift()
    if (refetched) {
      const object = this.api.get(refetched.key)
      if (object && this.machine.outgoing.snapshotOpen) this.#item(refetched.key, object)
      return true
    }
    if (!this.#listing) return false
    const key = this.#listing.shift()
    if (key === undefined) {
      this.#listing = undefined
      for (const name of this.machine.unsent()) this.#handle({ type: 'snapshot-held', name })
      this.#handle({ type: 'snapshot-end' })
      return true
    }
    const object = this.api.get(key)
    if (object?.owner === '') this.#item(key, object)
    return true
  }

  #item(key: string, object: ApiObject): void {
    if (object.size !== 'small') return
    this.#handle({
      type: 'snapshot-item',
      name: nameOf(key),
      version: object.version,
      hash: contentHash(object.content),
      content: object.content,
    })
  }

  #write(): boolean {
    const apply = this.#applies.shift()
    if (!apply) return false
    const { row, action } = apply
    const failed = this.#world.random.below(100) < this.#world.failurePercent
    this.#answers.push({ row, outcome: failed ? { type: 'failed' } : this.#outcome(row, action) })
    return true
  }

  /** The answer to a write arrives: before what the watch says of it, or after much that has come since. */
  #answer(): boolean {
    const { length } = this.#answers
    if (length === 0) return false
    const [answer] = this.#answers.splice(this.#world.random.below(length), 1)
    this.#handle({ type: 'applied', ...answer! })
    return true
  }

  #outcome(row: Row, action: Exclude<Action, { type: 'none' }>): Outcome {
    const present = this.api.get(row.key)
    if (action.type === 'delete') {
      if (present && present.uid !== action.uid)
        return { type: 'conflict' as const, observed: seen(present) }
      if (present) {
        const owner = this.#world.zones.find(({ name }) => name === present.owner)
        if (owner?.alwaysHad(row.key)) throw new Error('a replica of what is there is deleted')
        this.#remove(row.key)
      }
      return { type: 'gone' as const, uid: action.uid }
    }
    const { desired, made } = action
    const content = this.#contentOf(desired.zone.author, desired.logKey, desired.seq, desired.part)
    if (!content) return { type: 'missing' as const }
    if (action.type === 'create' ? present !== undefined : present?.uid !== action.uid) {
      return { type: 'conflict' as const, observed: present && seen(present) }
    }
    if (present) {
      if (row.givenSeq >= 0 && row.observed?.version !== present.version) {
        return { type: 'conflict' as const, observed: undefined }
      }
      this.#checkGiven(row, desired, present)
    }
    const { zone } = desired
    if (present?.owner === zone.name && isAfter(present.made!, made)) {
      throw new Error('a replica is turned back')
    }
    const object = this.#store(
      row.key,
      present?.uid,
      zone.name,
      zone.cluster,
      content,
      'small',
      made,
    )
    return { type: 'written' as const, observed: seen(object), sent: desired }
  }

  /** What a patch would be made from is what the API server has. */
  #checkGiven(row: Row, desired: Desired, present: ApiObject): void {
    if (row.givenSeq < 0) return
    const { author } = desired.zone
    const given = this.#contentOf(author, row.givenLog, row.givenSeq, row.givenPart)
    if (given && contentHash(given) !== contentHash(present.content)) {
      throw new Error('a patch would be made from a past')
    }
  }

  #contentOf(author: NodeId, logKey: string, seq: number, part: number): Uint8Array | undefined {
    const zone = this.#world.zones.find((each) => idKey(each.author) === idKey(author))!
    const log = zone.logs.find(({ logId }) => idKey(logId) === logKey)
    const body = log?.bodies.find((each) => each.seq === seq)?.body
    if (!body) return undefined
    const decoded = decodeBody(body)
    if (decoded.kind === 'put') return decoded.item.content
    return decoded.kind === 'chunk' ? decoded.items[part]?.content : undefined
  }

  #handle(event: Parameters<ReplicationMachine['handle']>[0]): void {
    this.machine.handle(event, instant(this.#world.nowMs * 1000), this.#effects)
    if (this.ledger.costBytes > this.ledger.plan.accountBytes) throw new Error('over the plan')
  }

  readonly #effects: ReplicationEffects = {
    publish: (seq, body, prune) => {
      if (prune) this.#log.bodies.splice(0)
      this.#log.bodies.push({ seq, body })
    },
    apply: (row, action) => void this.#applies.push({ row, action }),
    refetch: (row) => void this.#refetch.push(row),
    conflict: () => this.#world.problem('conflict'),
    dropLog: () => this.#world.problem('dropped-log'),
    problem: (problem) => this.#world.problem(problem),
    snapshotApplied: () => this.#world.problem('snapshot-applied'),
  }
}

function seen(object: ApiObject): Observed {
  return {
    uid: object.uid,
    version: object.version,
    owner: object.owner,
    cluster: object.cluster,
    hash: contentHash(object.content),
    made: object.made,
  }
}
