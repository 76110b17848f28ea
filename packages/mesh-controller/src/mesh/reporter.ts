/**
 * Tells people what replication could not do: a counter for each kind, a line in the log, and for an object a core
 * Event. Log lines and Events have a rate, so that a peer or a user cannot fill the log or the cluster.
 *
 * Memory: the oversized objects by name, charged to `mesh.too-large`; the words of one failed write; a fixed number of
 * counters.
 */
import { type Account, BoundedMap, TokenBucket } from 'weir-mesh/bounds'
import { describeError, type Scope, TaskGroup } from 'weir-mesh/runtime'
import { apiVersionOf, type EventTarget, type KubeClient, type ResourceRef } from '../kube/index.ts'
import { describeObject, type ObjectName, objectKey } from './names.ts'
import type { Outcome } from './replication-machine.ts'
import { CONTENT_ITEMS_MAX } from './sizes.ts'

const HELP = Object.freeze({
  'author-unknown': 'Operations of a key that speaks for no zone.',
  'zone-claimed': 'Operations that claim a zone which is not that of their key.',
  'body-undecodable': 'Operations whose body is not of our protocol.',
  'body-unknown': 'Operations of a kind that only a newer controller knows.',
  'log-unknown': 'Operations of a log that has not begun.',
  'log-outdated': 'Logs of an earlier life of a zone.',
  'snapshot-partial': 'Snapshots that ended without all of their objects.',
  'cluster-rebuilt': 'Snapshots of a zone whose cluster was replaced.',
  'objects-full': 'Objects that do not fit into the table of objects.',
  contested:
    'Replicas that somebody else changes again and again; they are put back after growing delays.',
  'owner-conflict': 'Objects that were born in two zones under one name.',
  'too-large': 'Own objects that are too large to travel.',
} as const)

export type Report = keyof typeof HELP

const LINES_PER_SECOND = 2
const EVENTS_PER_SECOND = 1
const EVENTS_UNDER_WAY = 4

export class Reporter implements Disposable {
  readonly #scope: Scope
  readonly #client: KubeClient
  readonly #lines: TokenBucket
  readonly #events: TokenBucket
  readonly #tasks: TaskGroup
  readonly #tooLarge: BoundedMap<string, number>
  #failedWrite = ''

  constructor(scope: Scope, client: KubeClient, tooLarge: Account) {
    this.#scope = scope
    this.#client = client
    this.#lines = new TokenBucket(scope.clock, { perSecond: LINES_PER_SECOND, burst: 20 })
    this.#events = new TokenBucket(scope.clock, { perSecond: EVENTS_PER_SECOND, burst: 20 })
    this.#tasks = new TaskGroup(scope, 'events', { tasksMax: EVENTS_UNDER_WAY })
    this.#tooLarge = new BoundedMap(tooLarge, { evict: 'oldest', bytesOf: (key) => key.length })
    for (const report of Object.keys(HELP) as Report[]) this.#counter(report)
  }

  /** Counts and, within the rate, logs. */
  report(report: Report, zone: string, detail: string): void {
    this.#counter(report).add()
    if (this.#lines.take()) this.#scope.log.warn(HELP[report], { report, zone, detail })
  }

  /** As `report`, and a core Event on an object of this cluster. */
  event(
    report: Report,
    name: ObjectName,
    resource: ResourceRef,
    uid: string,
    message: string,
  ): void {
    this.report(report, '', `${describeObject(name)}: ${message}`)
    if (this.#tasks.full || !this.#events.take()) return
    const target: EventTarget = {
      apiVersion: apiVersionOf(resource),
      kind: resource.kind,
      name: name.name,
      ...(name.namespace === '' ? {} : { namespace: name.namespace }),
      uid,
    }
    const reason = { 'too-large': 'TooLarge', 'owner-conflict': 'OwnerConflict' }[
      report as 'too-large'
    ]
    this.#tasks.run('event', async (signal) => {
      try {
        const text = { type: 'Warning' as const, reason: reason ?? 'NotReplicated', message }
        await this.#client.createEvent(target, text, { signal })
      } catch (error) {
        this.#scope.log.debug('an Event could not be written', { error: describeError(error) })
      }
    })
  }

  /** The write that failed last, for /status: which object, and what the API server said. */
  get failedWrite(): string {
    return this.#failedWrite
  }

  writeFailed(name: ObjectName, outcome: Outcome): void {
    if (outcome.type === 'conflict') {
      this.#failedWrite = `${describeObject(name)}: it was changed, or is being deleted, by somebody else`
    } else if (outcome.type === 'failed') {
      this.#failedWrite = `${describeObject(name)}: ${outcome.reason ?? ''}`
    }
  }

  /** An own object is too large; it is told once per object until it shrinks. */
  tooLarge(
    name: ObjectName,
    resource: ResourceRef,
    uid: string,
    bytes: number,
    most: number,
  ): void {
    const key = objectKey(name)
    const known = this.#tooLarge.peek(key) !== undefined
    this.#tooLarge.set(key, bytes)
    if (known) return
    const message = `${bytes} bytes or their values are more than travel (${most} bytes, ${CONTENT_ITEMS_MAX} values); the object stays in this zone, make it smaller`
    this.event('too-large', name, resource, uid, message)
  }

  /** The object is small enough or gone. */
  fits(name: ObjectName): void {
    if (this.#tooLarge.size > 0) this.#tooLarge.delete(objectKey(name))
  }

  /** Rows of /status: the oversized objects and their bytes. */
  *oversized(): IterableIterator<{ object: string; bytes: number }> {
    for (const [object, bytes] of this.#tooLarge) yield { object, bytes }
  }

  [Symbol.dispose](): void {
    this.#tooLarge[Symbol.dispose]()
  }

  #counter(report: Report) {
    const name = `mesh_${report.replaceAll('-', '_')}_total`
    return this.#scope.counters.counter(name, HELP[report])
  }
}
