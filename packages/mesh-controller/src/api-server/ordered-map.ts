/**
 * A map that can be walked in the order of its keys, also while it changes: a treap (Seidel and Aragon, 1996).
 *
 * Walking goes from key to key and never holds a place in the tree, so a list may wait for its reader between two
 * objects.
 *
 * Memory: one node per entry, charged with the bytes of its value before it is kept.
 */
import type { Account, Admission, Exit } from 'weir-mesh/bounds'
import { assert, type Random } from 'weir-mesh/runtime'

interface Node<V> {
  readonly key: string
  value: V
  bytes: number
  readonly priority: number
  left: Node<V> | undefined
  right: Node<V> | undefined
}

export interface OrderedMapOptions<V> {
  /** Variable bytes of an entry, fixed when it enters. */
  bytesOf(key: string, value: V): number
  /** Shapes the tree; keys come from users, so its order must not. */
  readonly random: Random
}

export class OrderedMap<V> implements Disposable {
  readonly #account: Account
  readonly #options: OrderedMapOptions<V>
  #root: Node<V> | undefined
  #size = 0
  #closed = false

  constructor(account: Account, options: OrderedMapOptions<V>) {
    this.#account = account
    this.#options = options
  }

  get size(): number {
    return this.#size
  }

  get account(): Account {
    return this.#account
  }

  get(key: string): V | undefined {
    return this.#find(key)?.value
  }

  /** Sets an entry. @returns `ok`, or why it was not kept: the map is then as it was before. */
  set(key: string, value: V): Admission {
    assert(!this.#closed, `${this.#account.term.name}: set after close`)
    const bytes = this.#options.bytesOf(key, value)
    const present = this.#find(key)
    if (present) return this.#replace(present, value, bytes)
    const admission = this.#account.take(bytes, 1)
    if (admission !== 'ok') return admission
    const priority = this.#options.random.below(2 ** 31)
    const [left, right] = split(this.#root, key)
    const node: Node<V> = { key, value, bytes, priority, left: undefined, right: undefined }
    this.#root = merge(merge(left, node), right)
    this.#size++
    return 'ok'
  }

  delete(key: string, why: Exit = 'removed'): boolean {
    const node = this.#find(key)
    if (!node) return false
    this.#root = remove(this.#root, key)
    this.#size--
    this.#account.give(node.bytes, 1)
    this.#account.exit(why)
    return true
  }

  /** The first entry whose key is greater than `key`. */
  after(key: string): readonly [string, V] | undefined {
    let best: Node<V> | undefined
    for (let node = this.#root; node; ) {
      if (node.key > key) {
        best = node
        node = node.left
      } else node = node.right
    }
    return best && [best.key, best.value]
  }

  /** Entries whose key starts with `prefix`, from after `from` on; the map may change meanwhile. */
  *range(prefix: string, from = ''): IterableIterator<readonly [string, V]> {
    // A key that equals the prefix is not one of ours: keys go on after it.
    let entry = this.after(from > prefix ? from : prefix)
    while (entry?.[0].startsWith(prefix)) {
      yield entry
      entry = this.after(entry[0])
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return
    this.#closed = true
    const { bytes, entries } = this.#account
    this.#root = undefined
    this.#size = 0
    this.#account.give(bytes, entries)
    this.#account[Symbol.dispose]()
  }

  #find(key: string): Node<V> | undefined {
    let node = this.#root
    while (node && node.key !== key) node = key < node.key ? node.left : node.right
    return node
  }

  #replace(node: Node<V>, value: V, bytes: number): Admission {
    const more = bytes - node.bytes
    if (more > 0) {
      const admission = this.#account.take(more)
      if (admission !== 'ok') return admission
    } else this.#account.give(-more)
    node.value = value
    node.bytes = bytes
    this.#account.exit('replaced')
    return 'ok'
  }
}

type Tree<V> = Node<V> | undefined

function split<V>(node: Tree<V>, key: string): [Tree<V>, Tree<V>] {
  if (!node) return [undefined, undefined]
  if (node.key < key) {
    const [left, right] = split(node.right, key)
    node.right = left
    return [node, right]
  }
  const [left, right] = split(node.left, key)
  node.left = right
  return [left, node]
}

function merge<V>(left: Tree<V>, right: Tree<V>): Tree<V> {
  if (!left || !right) return left ?? right
  if (left.priority > right.priority) {
    left.right = merge(left.right, right)
    return left
  }
  right.left = merge(left, right.left)
  return right
}

function remove<V>(node: Tree<V>, key: string): Tree<V> {
  if (!node) return undefined
  if (node.key === key) return merge(node.left, node.right)
  if (key < node.key) node.left = remove(node.left, key)
  else node.right = remove(node.right, key)
  return node
}
