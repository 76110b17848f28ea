/**
 * One open watch. It owns no queue: it walks the shared history at the pace of its client, and one that falls behind
 * what the history still has is told so with 410 and closed.
 *
 * Memory: a cursor; what was written and not taken is charged by the Sender.
 */
import type { Scope } from 'weir-mesh/runtime'
import { stringifyJson } from '../kube/index.ts'
import { collectionOf } from './kind.ts'
import { type RenderOptions, renderBookmark, renderChange } from './render.ts'
import type { Selector } from './selectors.ts'
import type { Sender } from './sender.ts'
import { expired } from './status.ts'
import type { Store } from './store.ts'

export interface WatcherOptions {
  readonly store: Store
  readonly scope: Scope
  readonly sender: Sender
  readonly render: RenderOptions
  readonly selector: Selector
  /** Prefix of the keys that are watched. */
  readonly prefix: string
  /** Changes after this revision are sent; undefined: first all that exists, then what changes. */
  readonly from: number | undefined
  readonly bookmarks: boolean
  /** Whether the end of what exists is marked by a bookmark. */
  readonly marksInitialEnd: boolean
  /** For tests: whether the watch is silent, and after how many events it is cut. */
  readonly fault: { readonly stall?: boolean; readonly cutAfter?: number } | undefined
}

const RETRY_MS = 100

export class Watcher {
  readonly #options: WatcherOptions
  readonly #prefix: string
  #cursor: number
  #initialAt: string | undefined
  #first = true
  #waiting = false
  #ended = false
  #sent = 0
  #stalled: boolean

  constructor(options: WatcherOptions) {
    this.#options = options
    this.#prefix = options.prefix
    this.#stalled = options.fault?.stall ?? false
    this.#cursor = options.from ?? options.store.revision
    this.#initialAt = options.from === undefined ? options.prefix : undefined
  }

  get ended(): boolean {
    return this.#ended
  }

  /** For tests: says nothing more, and keeps the connection open. */
  stall(): void {
    this.#stalled = true
  }

  /** Sends all that there is to send and the client takes. */
  pump(): void {
    if (this.#waiting || this.#stalled || this.#options.scope.closed) return
    while (!this.#ended && this.#step()) {
      if (this.#options.sender.ready) continue
      this.#wait()
      return
    }
  }

  /** Tells the client how far it has come, when it has taken all. */
  bookmark(): void {
    this.pump()
    if (!this.#options.bookmarks || this.#waiting || this.#stalled || this.#ended) return
    if (this.#initialAt !== undefined) return
    this.#options.sender.write(this.#bookmarkLine(false))
  }

  /** Ends the watch in an orderly way, as after its timeout. */
  end(): void {
    if (this.#ended) return
    this.bookmark()
    this.#ended = true
    this.#options.sender.end()
  }

  /** The connection is gone, or is to go. */
  cut(): void {
    this.#ended = true
    this.#options.sender.destroy()
  }

  /** Sends one line. @returns whether it may go on. */
  #step(): boolean {
    const { store, sender } = this.#options
    if (sender.closed) {
      this.#ended = true
      return false
    }
    if (this.#initialAt !== undefined) return this.#stepInitial(this.#initialAt)
    if (this.#cursor < store.compacted) return this.#tooOld()
    const change = store.changeAfter(this.#cursor)
    if (!change) return false
    const { key, type, text } = change
    if (key.startsWith(this.#prefix) && this.#options.selector.matches(key, text)) {
      if (!this.#send(renderChange(this.#options.render, type, text, this.#first))) return false
    }
    this.#cursor = change.revision
    return true
  }

  #stepInitial(at: string): boolean {
    const { store, selector, marksInitialEnd } = this.#options
    for (const [key, stored] of store.range(this.#prefix, at)) {
      // What is newer than the start of the watch comes with its change.
      if (stored.revision <= this.#cursor && selector.matches(key, stored.text)) {
        const line = renderChange(this.#options.render, 'ADDED', stored.text, this.#first)
        if (!this.#send(line)) return false
      }
      this.#initialAt = key
      return true
    }
    if (marksInitialEnd && !this.#send(this.#bookmarkLine(true))) return false
    this.#initialAt = undefined
    return true
  }

  #tooOld(): boolean {
    const { store } = this.#options
    const error = expired(`too old resource version: ${this.#cursor} (${store.compacted + 1})`)
    this.#options.sender.write(`${stringifyJson({ type: 'ERROR', object: error.body() })}\n`)
    this.#ended = true
    this.#options.sender.end()
    return false
  }

  #send(line: string): boolean {
    const { sender, fault, scope } = this.#options
    if (fault?.cutAfter !== undefined && this.#sent >= fault.cutAfter) {
      this.cut()
      return false
    }
    if (!sender.write(line)) {
      // Others hold the shared memory: this watch looks again a little later.
      this.#waiting = true
      scope.timer('watch retry', RETRY_MS, () => {
        this.#waiting = false
        this.pump()
      })
      return false
    }
    this.#sent++
    this.#first = false
    return true
  }

  #wait(): void {
    this.#waiting = true
    this.#options.sender.whenReady(() => {
      this.#waiting = false
      this.pump()
    })
  }

  #bookmarkLine(endOfInitial: boolean): string {
    return renderBookmark(this.#options.render, String(this.#cursor), endOfInitial)
  }
}

/** The keys that a watch or list of a namespace is about. */
export function prefixOf(
  kind: { readonly group: string; readonly plural: string },
  namespace: string,
): string {
  return collectionOf(kind) + (namespace === '' ? '' : `${namespace}/`)
}
