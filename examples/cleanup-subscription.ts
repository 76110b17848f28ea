/**
 * A subscriber leaves in each way that JavaScript has: the end of a block, a `break`, an error, an abort. The hub forgets it in
 * the same moment, and the ledger shows that nothing is held for it any more.
 *
 *     node tools/with-node.js examples/cleanup-subscription.ts
 */
import { BoundedMap, Channel, Ledger, MAP_NODE_BYTES, planMemory, term } from 'weir-mesh/bounds'
import { onAbort } from 'weir-mesh/runtime'

const index = term({
  name: 'example.index',
  why: 'subscribers by id',
  table: 'map',
  entriesMax: 4,
  shellBytes: MAP_NODE_BYTES,
})
const ring = { table: 'ring', entriesMax: 8, overflow: 'drop-old', instancesMax: 4 } as const
const queue = term({ name: 'example.queue', why: 'events of one subscriber', ...ring })
const ledger = new Ledger(planMemory([index, queue], { limitBytes: 64 * 1024 }))

let lastId = 0
const subscribers = new BoundedMap<number, Channel<string>>(ledger.require(index))

function subscribe(): Channel<string> {
  const account = ledger.require(queue)
  const id = ++lastId // never used again, so that a late call cannot hit somebody else
  const events = new Channel<string>(account, { onClose: () => subscribers.delete(id) })
  subscribers.set(id, events)
  return events
}

function publish(event: string): void {
  for (const events of subscribers.values()) events.push(event)
}

const show = (when: string) => console.log(`${when}: ${subscribers.size} in the index`)

{
  using events = subscribe()
  publish('one')
  console.log('read', events.shift())
}
show('end of the block')

const looping = subscribe()
publish('two')
for await (const event of looping) {
  console.log('read', event)
  break
}
show('break')

const aborted = subscribe()
const controller = new AbortController()
using _ = onAbort(controller.signal, () => aborted[Symbol.dispose]())
controller.abort()
show('abort')
subscribers[Symbol.dispose]()
ledger.assertEmpty()
console.log('the ledger is empty')
