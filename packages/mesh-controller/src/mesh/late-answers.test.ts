/** How answers to writes and the watch of the same objects overtake each other. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytes, item, named, setUp } from './machine.fixture.ts'
import { encodeEnd, encodePut } from './protocol.ts'
import type { Outcome } from './replication-machine.ts'

test('an answer that comes after the watch has told of the deletion brings nothing back', () => {
  const world = setUp()
  world.begin(1)
  world.operation(encodePut('zone-b', item('w', 1)))
  const row = world.machine.row('g/Widget default w')!
  const written = { uid: 'u', version: '5', owner: 'zone-b', cluster: 'cb', hash: 'h' }
  // Made by us, and deleted by hand before the answer to the create was read.
  world.handle({ type: 'observed', name: named('w'), observed: written, content: undefined })
  world.handle({ type: 'gone', name: named('w'), version: '6' })
  const outcome: Outcome = { type: 'written', observed: written, sent: row.desired! }
  world.handle({ type: 'applied', row, outcome })
  assert.deepEqual(world.done, ['create w', 'create w'])
  assert.equal(row.observed, undefined)
  row.state = 'idle'
  world.close()
})

test('the answer to a delete does not hide the object that was made anew since', () => {
  const world = setUp()
  world.handle({ type: 'snapshot-begin', cluster: 'ca', count: 0 })
  world.handle({ type: 'snapshot-end' })
  world.observed('w', { uid: 'u', version: '4', owner: 'zone-b', cluster: 'cb' })
  world.begin(1)
  world.operation(encodeEnd('zone-b', 1, 0))
  const row = world.machine.row('g/Widget default w')!
  world.handle({ type: 'gone', name: named('w'), version: '5' })
  world.observed('w', { uid: 'v', version: '6' })
  world.handle({ type: 'applied', row, outcome: { type: 'gone', uid: 'u' } })
  assert.equal(row.local, true)
  world.handle({ type: 'snapshot-begin', cluster: 'ca', count: 1 })
  world.handle({
    type: 'snapshot-item',
    name: named('w'),
    version: '6',
    hash: row.observed!.hash,
    content: bytes(1),
  })
  world.handle({ type: 'snapshot-end' })
  const sent = world.published.slice(2).map(({ kind, name }) => `${kind} ${name}`)
  assert.deepEqual(sent, ['put w', 'begin ', 'chunk w', 'end '])
  world.close()
})
