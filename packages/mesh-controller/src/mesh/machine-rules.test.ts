import assert from 'node:assert/strict'
import { test } from 'node:test'
import { zoneLogId } from 'weir-mesh/core'
import { instant } from 'weir-mesh/machine'
import { contentHash, encodeContent } from './content.ts'
import { bytes, item, named, other, setUp, stranger, topic } from './machine.fixture.ts'
import {
  encodeBegin,
  encodeChunk,
  encodeDelete,
  encodeEnd,
  encodeItem,
  encodePut,
} from './protocol.ts'
import type { Outcome } from './replication-machine.ts'
import { CHUNK_BYTES_MAX } from './sizes.ts'

test('a complete snapshot deletes the replica that it does not name', () => {
  const world = setUp()
  world.observed('gone', { owner: 'zone-b', cluster: 'cb' })
  world.begin(1)
  assert.deepEqual(world.done, [])
  world.operation(encodeEnd('zone-b', 1, 0))
  assert.deepEqual(world.done.sort(), ['applied zone-b', 'delete gone'])
  world.close()
})

test('a snapshot that lacks objects deletes nothing', () => {
  const world = setUp()
  world.observed('kept', { owner: 'zone-b', cluster: 'cb' })
  world.begin(1)
  world.operation(encodeEnd('zone-b', 1, 3))
  assert.deepEqual(world.done, ['problem snapshot-partial zone-b'])
  world.close()
})

test('a rebuilt cluster deletes nothing and is reported', () => {
  const world = setUp()
  world.observed('kept', { owner: 'zone-b', cluster: 'old' })
  world.begin(1, { cluster: 'old' })
  world.operation(encodeChunk('zone-b', 1, [encodeItem(item('kept', 1))]))
  world.operation(encodeEnd('zone-b', 1, 1))
  world.begin(2, { cluster: 'new' })
  world.operation(encodeEnd('zone-b', 2, 0))
  assert.deepEqual(world.done, [
    'applied zone-b',
    'problem cluster-rebuilt zone-b',
    'applied zone-b',
  ])
  world.close()
})

test('a restarted zone deletes nothing before its first complete snapshot, then what it lost', () => {
  const world = setUp()
  world.observed('w', { owner: 'zone-b', cluster: 'cb' }, 1)
  world.begin(1)
  world.operation(encodeChunk('zone-b', 1, [encodeItem(item('w', 1))]))
  world.operation(encodeEnd('zone-b', 1, 1))
  world.begin(1, { incarnation: 2 })
  assert.deepEqual(world.done, ['applied zone-b'])
  world.operation(encodeEnd('zone-b', 1, 0), { incarnation: 2 })
  const old = Buffer.from(zoneLogId(topic, 'zone-b', 1).subarray(0, 2)).toString('hex')
  assert.deepEqual(world.done.slice(1).sort(), ['applied zone-b', 'delete w', `drop ${old}`].sort())
  world.close()
})

test('a deletion by name counts before the first snapshot is complete, if it is of the cluster the replica is from', () => {
  const world = setUp()
  world.observed('gone', { owner: 'zone-b', cluster: 'cb' })
  world.observed('other', { owner: 'zone-b', cluster: 'old' })
  world.observed('anew', { owner: 'zone-b', cluster: 'cb' })
  world.begin(1)
  for (const name of ['gone', 'other', 'anew'])
    world.operation(encodeDelete('zone-b', named(name), '9'))
  assert.deepEqual(world.done, ['delete gone', 'delete anew'])
  world.observed('anew', { owner: 'zone-b', cluster: 'cb', uid: 'another', version: '6' })
  const row = [...world.machine.rows()].find(({ name }) => name === 'anew')!
  world.handle({ type: 'applied', row, outcome: { type: 'conflict', observed: undefined } })
  world.machine.wake(instant(60_000_000), world.effects)
  assert.deepEqual(world.done, ['delete gone', 'delete anew'])
  world.close()
})

test('a replica that was wanted again after its deletion is kept when another cluster speaks', () => {
  const world = setUp()
  world.observed('w', { owner: 'zone-b', cluster: 'old' }, 1)
  world.begin(1, { cluster: 'old' })
  world.operation(encodeDelete('zone-b', named('w'), '9'))
  world.operation(encodePut('zone-b', item('w', 1)))
  world.operation(encodeEnd('zone-b', 1, 0))
  world.begin(1, { incarnation: 2, cluster: 'new' })
  world.operation(encodeEnd('zone-b', 1, 0), { incarnation: 2 })
  const row = [...world.machine.rows()][0]!
  world.handle({ type: 'applied', row, outcome: { type: 'failed' } })
  world.machine.wake(instant(60_000_000), world.effects)
  assert.equal(row.desired, undefined)
  assert.deepEqual(
    world.done.filter((each) => each.includes(' w')),
    ['delete w'],
  )
  world.close()
})

test('a key that speaks for no zone, and one that claims another zone, change nothing', () => {
  const world = setUp()
  world.operation(encodePut('zone-b', item('x', 1)), { author: stranger })
  world.operation(encodePut('zone-c', item('x', 1)))
  world.operation(Uint8Array.of(0xff))
  assert.deepEqual(world.done, [
    'problem author-unknown ',
    'problem zone-claimed zone-b',
    'problem body-undecodable zone-b',
  ])
  assert.equal(world.machine.objects, 0)
  world.close()
})

test('a log without a begin, with a wrong id, or of an earlier life is not read', () => {
  const world = setUp()
  world.operation(encodePut('zone-b', item('x', 1)))
  world.begin(1, { incarnation: 2 })
  world.operation(encodeBegin('zone-b', { incarnation: 9, snapshot: 1, cluster: 'cb', count: 0 }), {
    incarnation: 8,
  })
  world.begin(1, { incarnation: 1 })
  assert.deepEqual(
    world.done
      .map((each) => each.split(' ').slice(0, 2).join(' '))
      .map((each) => each.replace(/drop .*/, 'drop')),
    ['problem log-unknown', 'problem log-unknown', 'problem log-outdated', 'drop'],
  )
  world.close()
})

test('an object born here stays when another zone has one of the same name, and the conflict is told once', () => {
  const world = setUp()
  world.begin(1)
  world.operation(encodePut('zone-b', item('both', 2)))
  assert.deepEqual(world.done, ['create both'])
  world.observed('both', { version: '6' }, 1)
  world.observed('both', { version: '7' }, 3)
  assert.deepEqual(world.done, ['create both', 'conflict both zone-b'])
  world.machine.row('g/Widget default both')!.state = 'idle'
  world.close()
})

test('the conflict is told too when the object of the other zone becomes known last', () => {
  const world = setUp()
  world.observed('both', { version: '6' }, 1)
  world.begin(1)
  world.operation(encodePut('zone-b', item('both', 2)))
  world.operation(encodePut('zone-b', item('both', 3)))
  assert.deepEqual(world.done, ['conflict both zone-b'])
  world.close()
})

test('when the table is full nothing is deleted and it is said', () => {
  const world = setUp(4)
  world.begin(1)
  world.operation(
    encodeChunk(
      'zone-b',
      1,
      [0, 1, 2, 3, 4, 5].map((at) => encodeItem(item(`w${at}`, at))),
    ),
  )
  assert.equal(world.done.filter((each) => each === 'problem objects-full zone-b').length, 2)
  world.operation(encodeEnd('zone-b', 1, 6))
  assert.ok(world.done.includes('problem snapshot-partial zone-b'))
  assert.ok(!world.machine.zoneOf(other)!.complete)
  world.close()
})

test('a put does not overtake the same object in a chunk that is being filled', () => {
  const world = setUp()
  world.observed('w', { version: '5' }, 1)
  world.handle({ type: 'snapshot-begin', cluster: 'ca', count: 1 })
  const hash = contentHash(bytes(1))
  world.handle({ type: 'snapshot-item', name: named('w'), version: '5', hash, content: bytes(1) })
  world.observed('w', { version: '6' }, 2)
  world.handle({ type: 'snapshot-end' })
  assert.deepEqual(
    world.published.map(({ kind, name, prune }) => `${kind} ${name} ${prune}`),
    ['begin  true', 'chunk w false', 'put w false', 'end  false'],
  )
  world.close()
})

test('an item that is older than what was published has to be read again', () => {
  const world = setUp()
  world.handle({ type: 'snapshot-begin', cluster: 'ca', count: 0 })
  world.handle({ type: 'snapshot-end' })
  world.observed('w', { version: '9' }, 2)
  world.handle({ type: 'snapshot-begin', cluster: 'ca', count: 1 })
  world.handle({
    type: 'snapshot-item',
    name: named('w'),
    version: '5',
    hash: 'x',
    content: bytes(1),
  })
  assert.deepEqual(world.done, ['refetch w'])
  world.close()
})

test('chunks hold at most 64 KiB, or one object', () => {
  const world = setUp(256)
  const content = encodeContent({ spec: { text: 'x'.repeat(9000) } })
  const large = encodeContent({ spec: { text: 'x'.repeat(200_000) } })
  const all = [...Array(40).keys()].map((at) => ({
    name: `w${at}`,
    content: at === 20 ? large : content,
  }))
  for (const { name, content } of all) {
    world.handle({
      type: 'observed',
      name: named(name),
      observed: { uid: name, version: '1', owner: '', cluster: '', hash: contentHash(content) },
      content,
    })
  }
  world.handle({ type: 'snapshot-begin', cluster: 'ca', count: all.length })
  for (const { name, content } of all) {
    world.handle({
      type: 'snapshot-item',
      name: named(name),
      version: '1',
      hash: contentHash(content),
      content,
    })
  }
  world.handle({ type: 'snapshot-end' })
  const chunks = world.published.filter(({ kind }) => kind === 'chunk')
  assert.equal(chunks.flatMap(({ name }) => name.split(' ')).length, 40)
  for (const { name, bytes } of chunks)
    assert.ok(bytes <= CHUNK_BYTES_MAX || name === 'w20', `${name}: ${bytes}`)
  world.close()
})

test('a delete travels only when the others know the object', () => {
  const world = setUp()
  world.handle({ type: 'snapshot-begin', cluster: 'ca', count: 0 })
  world.handle({ type: 'snapshot-end' })
  world.handle({ type: 'gone', name: named('never'), version: '3' })
  world.observed('w', { version: '4' })
  world.handle({ type: 'gone', name: named('w'), version: '5' })
  assert.deepEqual(
    world.published.slice(2).map(({ kind, name }) => `${kind} ${name}`),
    ['put w', 'delete w'],
  )
  assert.equal(world.machine.objects, 0)
  world.close()
})

test('a replica whose markers were removed by hand is still a replica, and is put back', () => {
  const world = setUp()
  world.begin(1)
  world.operation(encodePut('zone-b', item('w', 1)))
  const row = world.machine.row('g/Widget default w')!
  world.handle({
    type: 'applied',
    row,
    outcome: {
      type: 'written',
      observed: {
        uid: 'u',
        version: '5',
        owner: 'zone-b',
        cluster: 'cb',
        hash: contentHash(bytes(1)),
      },
      sent: row.desired!,
    },
  })
  world.observed('w', { uid: 'u', version: '6', owner: '', cluster: '' }, 1)
  assert.deepEqual(world.done, ['create w', 'update w'])
  assert.equal(world.published.length, 0)
  row.state = 'idle'
  world.close()
})

test('what the API server was given is remembered until its object changes or a write fails', () => {
  const world = setUp()
  world.begin(1)
  world.operation(encodePut('zone-b', item('w', 1)))
  const row = world.machine.row('g/Widget default w')!
  const sent = row.desired!
  const given = () => [row.givenLog, row.givenSeq, row.givenPart]
  const written = { uid: 'u', version: '5', owner: 'zone-b', cluster: 'cb', hash: sent.hash }
  const apply = (outcome: Outcome) => world.handle({ type: 'applied', row, outcome })
  assert.deepEqual(given(), ['', -1, 0])
  apply({ type: 'written', observed: written, sent })
  assert.deepEqual(given(), [sent.logKey, sent.seq, sent.part])
  // A status that somebody else wrote to a field that does not travel.
  world.handle({
    type: 'observed',
    name: named('w'),
    observed: { ...written, version: '6' },
    content: undefined,
  })
  assert.deepEqual(given(), [sent.logKey, sent.seq, sent.part])
  world.operation(encodePut('zone-b', item('w', 2)))
  assert.equal(row.givenSeq, sent.seq)
  apply({ type: 'conflict', observed: undefined })
  assert.deepEqual(given(), ['', -1, 0])
  row.given(sent)
  world.handle({
    type: 'observed',
    name: named('w'),
    observed: { ...written, version: '7', hash: 'edited' },
    content: undefined,
  })
  assert.deepEqual(given(), ['', -1, 0])
  row.state = 'idle'
  world.close()
})

test('what the API server makes of a content counts as equal to it', () => {
  const world = setUp()
  world.begin(1)
  world.operation(encodePut('zone-b', item('w', 1)))
  const row = world.machine.row('g/Widget default w')!
  const defaulted = { uid: 'u', version: '5', owner: 'zone-b', cluster: 'cb', hash: 'defaulted' }
  world.handle({
    type: 'applied',
    row,
    outcome: { type: 'written', observed: defaulted, sent: row.desired! },
  })
  assert.deepEqual(world.done, ['create w'])
  world.handle({
    type: 'observed',
    name: named('w'),
    observed: { ...defaulted, version: '6', hash: 'edited' },
    content: undefined,
  })
  assert.deepEqual(world.done, ['create w', 'update w'])
  row.state = 'idle'
  world.close()
})

test('it counts as equal too when the watch is faster than the answer', () => {
  const world = setUp()
  world.begin(1)
  world.operation(encodePut('zone-b', item('w', 1)))
  const row = world.machine.row('g/Widget default w')!
  const defaulted = { uid: 'u', version: '5', owner: 'zone-b', cluster: 'cb', hash: 'defaulted' }
  world.handle({ type: 'observed', name: named('w'), observed: defaulted, content: undefined })
  assert.equal(world.machine.knows(named('w'), 'u', '5'), true)
  assert.equal(world.machine.knows(named('w'), 'u', '6'), false)
  assert.equal(world.machine.knows(named('w'), 'v', '5'), false)
  assert.equal(world.machine.knows(named('x'), 'u', '5'), false)
  world.handle({
    type: 'applied',
    row,
    outcome: { type: 'written', observed: defaulted, sent: row.desired! },
  })
  assert.deepEqual(world.done, ['create w'])
  assert.equal(world.machine.pending, 0)
  world.close()
})

test('a failed write is tried again after a delay that grows, and a delete of the owner overtakes it', () => {
  const world = setUp()
  world.begin(1)
  world.operation(encodeEnd('zone-b', 1, 0))
  world.operation(encodePut('zone-b', item('w', 1)))
  const row = world.machine.row('g/Widget default w')!
  world.handle({ type: 'applied', row, outcome: { type: 'failed' } })
  assert.equal(world.machine.retrying, 1)
  assert.equal(world.machine.wakeAt, (world.clock.ms + 100) * 1000)
  world.operation(encodeDelete('zone-b', named('w'), '2'))
  assert.equal(world.machine.pending, 0)
  assert.equal(world.machine.objects, 0)
  world.close()
})

// They were taken for smaller than their names: the log looked long right after a snapshot, and another one followed at
// each quiet moment, for ever.
test('the bytes of a snapshot are known, of many small objects too', () => {
  const { handle, observed, machine, published, close } = setUp(64)
  handle({ type: 'snapshot-begin', cluster: 'ca', count: 0 })
  handle({ type: 'snapshot-end' })
  for (let at = 0; at < 64; at++)
    observed(`a-name-of-a-usual-length-${at}`, { version: `${at + 1}` })
  const puts = machine.outgoing.liveBytes
  published.length = 0
  handle({ type: 'snapshot-begin', cluster: 'ca', count: 64 })
  for (let at = 0; at < 64; at++) {
    const content = bytes(1)
    const name = named(`a-name-of-a-usual-length-${at}`)
    const hash = contentHash(content)
    handle({ type: 'snapshot-item', name, version: `${at + 1}`, hash, content })
  }
  handle({ type: 'snapshot-end' })
  const written = published.reduce((sum, each) => sum + each.bytes, 0)
  for (const known of [puts, machine.outgoing.liveBytes]) {
    assert.ok(known > 0.8 * written && known < 1.2 * written, `${known} of ${written}`)
  }
  close()
})
