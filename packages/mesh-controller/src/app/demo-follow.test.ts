import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { follow } from './demo-follow.ts'
import { demoTerms } from './demo-memory.ts'
import type { Seen, SeenEvent, ZoneView } from './demo-view.ts'

/** A zone with one object, which a test changes. */
class View {
  readonly zone: string
  readonly #owner: string
  #seen: Seen | undefined
  #take: ((event: SeenEvent) => void) | undefined

  constructor(zone: string, owner: string) {
    this.zone = zone
    this.#owner = owner
  }

  get(): Seen | undefined {
    return this.#seen
  }

  listen(take: (event: SeenEvent) => void): Disposable {
    this.#take = take
    return { [Symbol.dispose]() {} }
  }

  /** Another size, in a version of the owner; none when it is gone. */
  change(size?: number, version = ''): void {
    const before = this.#seen
    this.#seen =
      size === undefined ? undefined : { size, color: 'red', owner: this.#owner, version }
    const type = before ? (this.#seen ? 'modified' : 'deleted') : 'added'
    const event = { type, namespace: 'default', name: 'it', projection: this.#seen }
    this.#take!({ ...event, previous: before && { projection: before } } as unknown as SeenEvent)
  }
}

test('a line says what came from the owner, what was done to a replica by hand, and what was put back', () => {
  const terms = demoTerms()
  const ledger = new Ledger(planMemory(Object.values(terms), { limitBytes: 2 ** 27 }))
  const lines: string[] = []
  const [a, b] = [new View('zone-a', 'zone-a'), new View('zone-b', 'zone-a')]
  const views = [a, b] as unknown as readonly ZoneView[]
  const following = follow(views, ledger.require(terms.changes), (line) => {
    lines.push(line.slice(13).replace(/\d+ ms/, 'N ms'))
  })
  a.change(1)
  b.change(1, '7')
  b.change(5, '7') // by hand
  b.change(1, '7')
  b.change() // by hand
  b.change(1, '7')
  a.change(2)
  a.change(3)
  b.change(2, '8') // late, and not by hand
  b.change(3, '9')
  b.change(6, '9') // by hand, and gone before it is put back
  a.change()
  b.change()
  a.change(1)
  b.change(1, '10')
  following[Symbol.dispose]()
  assert.deepEqual(lines, [
    'zone-a created it size 1, red',
    'zone-b created it size 1, red (from zone-a, N ms later)',
    'zone-b edited  it size 5, red (by hand; zone-a owns it)',
    'zone-b edited  it size 1, red (put back, N ms later)',
    'zone-b deleted it (by hand; zone-a owns it)',
    'zone-b created it size 1, red (put back, N ms later)',
    'zone-a edited  it size 2, red',
    'zone-a edited  it size 3, red',
    'zone-b edited  it size 2, red (from zone-a, N ms later)',
    'zone-b edited  it size 3, red (from zone-a, N ms later)',
    'zone-b edited  it size 6, red (by hand; zone-a owns it)',
    'zone-a deleted it',
    'zone-b deleted it (from zone-a, N ms later)',
    'zone-a created it size 1, red',
    'zone-b created it size 1, red (from zone-a, N ms later)',
  ])
  ledger.assertEmpty()
})
