/**
 * List, then watch, for ever: one collection of one namespace. The one rule: whatever fails, the loop goes on, and
 * after it every object that exists was reported and every one that went was reported as deleted.
 *
 * 410 leads to a new list and a comparison with the cache; every other error to another try after a jittered wait.
 *
 * Memory: one incomplete object, charged to `kube.streams`.
 */
import type { Account } from 'weir-mesh/bounds'
import {
  abortable,
  Backoff,
  describeError,
  type Instant,
  instant,
  isCloseError,
  msBetween,
  type Scope,
  WeirError,
} from 'weir-mesh/runtime'
import { checkObject } from './check-object.ts'
import { readChunks } from './chunks.ts'
import { type KubeClient, queryOf } from './client.ts'
import { errorOfStatus, isRefusal, KubeError } from './errors.ts'
import { isJsonObject, type JsonObject, parseJson } from './json.ts'
import { LineSplitter, type Piece } from './line-splitter.ts'
import { ListSplitter } from './list-splitter.ts'
import type { LargeObject } from './metadata-scanner.ts'
import { PageTurns } from './page-turns.ts'
import type { Pulse } from './pulse.ts'
import { compareResourceVersions } from './resource-version.ts'
import type { StreamedBody } from './streamed-body.ts'
import { type KubeObject, pathOf, type ResourceRef } from './types.ts'

/** What a loop tells its reflector; a returned promise holds the stream back. */
export interface WatchSink {
  /** What it throws ends the attempt before anything was listed. */
  listBegins(): Promise<void> | void
  listed(object: KubeObject, bytes: number): Promise<void> | void
  /** What was not listed was gone at this version. */
  listEnds(version: string): Promise<void> | void
  watched(
    type: 'ADDED' | 'MODIFIED' | 'DELETED',
    object: KubeObject,
    bytes: number,
  ): Promise<void> | void
  large(large: LargeObject, listing: boolean): Promise<void> | void
  /** Before a watch that does not follow its own list. What it throws ends the attempt. */
  watchBegins(): Promise<void> | void
  /** An attempt has ended with this. */
  failed(error: unknown): void
}

/** Lets a test hold or fail the loop at a stage. */
export type WatchFault = (stage: 'list' | 'watch' | 'event') => Promise<void> | void

export interface WatchLoopOptions {
  readonly client: KubeClient
  /** Closing it ends the loop. */
  readonly scope: Scope
  readonly resource: ResourceRef
  readonly namespace: string | undefined
  readonly account: Account
  readonly pulse: Pulse
  readonly sink: WatchSink
  readonly pageLimit: number
  readonly watchSeconds: { readonly min: number; readonly max: number }
  readonly backoffMs: { readonly first: number; readonly most: number }
  readonly fault: WatchFault | undefined
}

const HEADER_DEADLINE_MS = 30_000
const PAGE_SILENCE_MS = 30_000
/** A bookmark that comes sooner after the opening says nothing about whether the next watch will bring more. */
const SOON_MS = 1_000

export class WatchLoop {
  readonly #options: WatchLoopOptions
  readonly #backoff: Backoff
  #resourceVersion = ''
  /** The last version that was known before a new list. */
  #reached = ''
  #problem = ''
  #refused = false
  #rewound: KubeError | undefined
  #justListed = false
  #lists = 0
  #watches = 0
  /** This attempt brought something new. */
  #progress = false
  /** This watch brought nothing new, but it lasted. */
  #lasted = false
  #openedAt: Instant = instant(0)
  /** Of the list that is being read. */
  #pages = new PageTurns()
  /** A watch that followed its own list brought nothing but the wish for another list. */
  #vain = false

  constructor(options: WatchLoopOptions) {
    this.#options = options
    this.#backoff = new Backoff(options.client.random, {
      firstMs: options.backoffMs.first,
      mostMs: options.backoffMs.most,
    })
  }

  /** What went wrong last, empty when the last step went well. */
  get problem(): string {
    return this.#problem
  }

  /** Whether the last step was refused by the server: what a person has to mend. */
  get refused(): boolean {
    return this.#refused
  }

  /** The version that was seen last; empty before the first list. */
  get version(): string {
    return this.#resourceVersion || this.#reached
  }

  get lists(): number {
    return this.#lists
  }

  get watches(): number {
    return this.#watches
  }

  /** Runs until the signal is aborted; ends only with `CLOSED`. */
  async run(signal: AbortSignal): Promise<void> {
    const { scope, pulse } = this.#options
    while (!signal.aborted) {
      this.#progress = false
      this.#lasted = false
      try {
        pulse.working()
        if (this.#resourceVersion === '') await this.#list(signal)
        else await this.#watch(signal)
        if (this.#progress || this.#lasted) this.#succeeded()
        else await this.#wait(undefined)
      } catch (error) {
        if (signal.aborted && isCloseError(error)) throw error
        const code = error instanceof KubeError ? error.code : ''
        const relist = asksForList(error)
        // A server that says 410 to its own answer is asked again only after a wait.
        const waits = !(relist && this.#progress)
        if (this.#progress) this.#backoff.reset()
        else if (relist) this.#vain = true
        else if (this.#lasted) this.#backoff.reset()
        this.#failed(error, code)
        if (relist && this.#resourceVersion !== '') {
          this.#reached = this.#resourceVersion
          this.#resourceVersion = ''
        }
        if (waits) await this.#wait(error)
      }
    }
    throw new WeirError('CLOSED', `${scope.name} is closed`)
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { resource, namespace, pageLimit, sink, fault } = this.#options
    await hold(fault, 'list', signal)
    // Its versions grow past the old ones in time; what is missing in it is still not deleted.
    if (this.#rewound) throw this.#rewound
    this.#lists++
    await settle(sink.listBegins(), signal)
    let token = ''
    let version = ''
    this.#pages = new PageTurns()
    do {
      const query = queryOf({ limit: pageLimit, continue: token })
      const page = await this.#page(pathOf(resource, namespace) + query, signal)
      const metadata = isJsonObject(page['metadata']) ? page['metadata'] : {}
      const next = metadata['continue']
      token = typeof next === 'string' ? next : ''
      const listed = metadata['resourceVersion']
      if (typeof listed !== 'string' || listed === '') {
        throw new KubeError('KUBE_RESPONSE_INVALID', 'a list has no resourceVersion')
      }
      version = listed
      this.#pages.turn(token)
    } while (token !== '')
    this.#checkOrder(version)
    await settle(sink.listEnds(version), signal)
    this.#resourceVersion = version
    this.#justListed = true
    this.#progress = true
  }

  /**
   * Versions of one cluster only grow. One that was restored from a copy has lost what came after it: to take that for
   * deleted would delete it in other clusters too, and what was changed back looks older than what is known.
   */
  #checkOrder(version: string): void {
    if (this.#reached === '' || compareResourceVersions(version, this.#reached) >= 0) return
    this.#rewound = rewound(this.#reached, version)
    throw this.#rewound
  }

  async #page(path: string, signal: AbortSignal): Promise<JsonObject> {
    const { account } = this.#options
    const answer = await this.#open(path, signal)
    using splitter = new ListSplitter(account)
    await this.#read(
      answer,
      signal,
      () => PAGE_SILENCE_MS,
      () => {},
      splitter,
      (piece) => this.#item(piece),
    )
    return splitter.end()
  }

  #item(piece: Piece): Promise<void> | void {
    const { sink, resource } = this.#options
    if (!Buffer.isBuffer(piece)) return sink.large(piece, true)
    const object = checkObject(parseJson(piece.toString('utf8')))
    // The items of a list of a built-in kind come without their kind.
    if (object.kind === undefined) object.kind = resource.kind
    this.#pages.object(object.metadata)
    return sink.listed(object, piece.length)
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { client, resource, namespace, watchSeconds, account, pulse, fault, sink } = this.#options
    await hold(fault, 'watch', signal)
    if (this.#justListed) this.#justListed = false
    else await settle(sink.watchBegins(), signal)
    this.#watches++
    const spread = Math.max(watchSeconds.max - watchSeconds.min, 0)
    const query = queryOf({
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: this.#resourceVersion,
      timeoutSeconds: watchSeconds.min + client.random.below(spread + 1),
    })
    const answer = await this.#open(pathOf(resource, namespace) + query, signal)
    this.#openedAt = client.scope.clock.now()
    pulse.opened()
    pulse.waiting()
    using splitter = new LineSplitter(account)
    await this.#read(
      answer,
      signal,
      () => pulse.silenceMs,
      // Not for a list: a server that lists and lets its watches be silent is still a problem.
      () => pulse.received(),
      splitter,
      (piece) => this.#line(piece),
    )
  }

  #line(piece: Piece): Promise<void> | void {
    const { fault, scope } = this.#options
    if (fault) return hold(fault, 'event', scope.signal).then(() => this.#event(piece))
    return this.#event(piece)
  }

  /** Without a promise where the handler needs none: there may be a hundred thousand lines a second. */
  #event(piece: Piece): Promise<void> | void {
    const { sink } = this.#options
    if (!Buffer.isBuffer(piece)) {
      return after(sink.large(piece, false), () => this.#came(piece.resourceVersion))
    }
    const event = parseJson(piece.toString('utf8'))
    const type = isJsonObject(event) ? event['type'] : undefined
    const object = isJsonObject(event) ? event['object'] : undefined
    if (!isJsonObject(object)) {
      throw new KubeError('KUBE_RESPONSE_INVALID', 'a line of a watch is not an event', {
        retryable: true,
      })
    }
    if (type === 'ERROR') throw errorOfStatus('watch', 0, object)
    const version = isJsonObject(object['metadata'])
      ? object['metadata']['resourceVersion']
      : undefined
    if (type === 'BOOKMARK') return this.#marked(version)
    if (type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED') {
      const taken = sink.watched(type, checkObject(object), piece.length)
      return after(taken, () => this.#came(version))
    }
    this.#came(version)
  }

  /**
   * A bookmark is a sign of life and nothing new, also with another version. As progress it would let a server that
   * ends each watch after one, or says 410 then, be asked again without a pause.
   */
  #marked(version: unknown): void {
    const { client, pulse } = this.#options
    pulse.bookmark()
    this.#well()
    if (msBetween(this.#openedAt, client.scope.clock.now()) >= SOON_MS) this.#lasted = true
    if (isVersion(version)) this.#resourceVersion = version
  }

  /** Only when it was taken: an event that was not is asked for again, and must not count as progress. */
  #came(version: unknown): void {
    this.#well()
    if (!isVersion(version) || version === this.#resourceVersion) return
    this.#resourceVersion = version
    this.#progress = true
    this.#vain = false
  }

  async #open(path: string, signal: AbortSignal): Promise<StreamedBody> {
    const call = { method: 'GET', path, signal, deadlineMs: HEADER_DEADLINE_MS } as const
    return this.#options.client.stream(call, this.#options.account)
  }

  async #read(
    answer: StreamedBody,
    signal: AbortSignal,
    silenceMs: () => number,
    received: () => void,
    splitter: LineSplitter | ListSplitter,
    take: (piece: Piece) => Promise<void> | void,
  ): Promise<void> {
    const { client, pulse } = this.#options
    await readChunks(answer, {
      clock: client.scope.clock,
      scopeSignal: client.scope.signal,
      signal,
      silenceMs,
      onChunk: async (chunk) => {
        received()
        pulse.working()
        for (const piece of splitter.push(chunk)) {
          const result = take(piece)
          if (result) await abortable(result, signal)
          pulse.working()
        }
        pulse.waiting()
      },
    })
  }

  #succeeded(): void {
    if (this.#lasted) this.#vain = false
    if (!this.#vain) this.#backoff.reset()
    this.#well()
  }

  #well(): void {
    this.#problem = ''
    this.#refused = false
  }

  #failed(error: unknown, code: string): void {
    const { client, resource, namespace, pulse, sink } = this.#options
    const expired = code === 'KUBE_GONE'
    if (code === 'KUBE_SILENT') {
      pulse.silent()
      counter(client, 'kube_watch_stalls_total', 'Watches that were silent for too long.')
    }
    counter(client, 'kube_watch_failures_total', 'Lists and watches that ended with an error.')
    if (expired) counter(client, 'kube_relists_total', 'Lists that a 410 made necessary.')
    this.#problem = describeError(error)
    this.#refused = isRefusal(error)
    sink.failed(error)
    client.log.warn(expired ? 'the watch is too old, listing again' : 'the watch ended', {
      resource: resource.plural,
      namespace,
      error: this.#problem,
    })
  }

  async #wait(error: unknown): Promise<void> {
    const asked = error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0
    await this.#options.scope.sleep(Math.max(this.#backoff.next(), asked))
  }
}

/** The error for a list that is older than what was seen before. */
export function rewound(reached: string, version: string): KubeError {
  return new KubeError(
    'KUBE_REWOUND',
    `the cluster went back from resourceVersion ${reached} to ${version}, as one that was restored from a copy: nothing more is taken from it. A restart of this program makes it count, and deletes in the other zones what is missing in it: first bring back from them what has to stay`,
  )
}

function isVersion(version: unknown): version is string {
  return typeof version === 'string' && version !== ''
}

/**
 * Whether only a list can tell what happened: the version is too old, or the cluster has not reached it, as after it was
 * restored. That one may be told by silence, too: no change after such a version is due.
 */
function asksForList(error: unknown): boolean {
  if (!(error instanceof KubeError)) return false
  if (error.code === 'KUBE_GONE' || error.code === 'KUBE_SILENT') return true
  return error.status === 504 && error.message.includes('Too large resource version')
}

async function hold(
  fault: WatchFault | undefined,
  stage: 'list' | 'watch' | 'event',
  signal: AbortSignal,
): Promise<void> {
  const held = fault?.(stage)
  if (held) await abortable(held, signal)
}

function after(result: Promise<void> | void, then: () => void): Promise<void> | void {
  if (result) return result.then(then)
  then()
}

async function settle(result: Promise<void> | void, signal: AbortSignal): Promise<void> {
  if (result) await abortable(result, signal)
}

function counter(client: KubeClient, name: string, help: string): void {
  client.scope.counters.counter(name, help).add()
}
