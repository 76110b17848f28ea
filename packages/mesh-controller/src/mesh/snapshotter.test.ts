import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import {
  createLogger,
  Heartbeats,
  ManualClock,
  Scope,
  seededRandom,
  WeirError,
} from 'weir-mesh/runtime'
import { type TestCluster, until, WIDGETS, widget, withCluster } from '../api-server/testing.ts'
import { type JsonObject, type KubeClient, KubeError } from '../kube/index.ts'
import { ClusterIdentity } from './cluster-identity.ts'
import { Snapshotter, type SnapshotterOptions } from './snapshotter.ts'

/** A snapshotter of one widget. `collection` says what the watch knows. */
async function setUp(
  { client, scope, heartbeats }: TestCluster,
  identity: ClusterIdentity,
  collection: SnapshotterOptions['collection'],
) {
  await client.create(WIDGETS, widget('w1'))
  await identity.learn(scope.signal)
  const events: string[] = []
  const snapshotter = new Snapshotter({
    scope,
    client,
    random: seededRandom(1),
    heartbeat: scope.own('pulse', heartbeats.register('snapshot', { deadlineMs: 1_000 })),
    cluster: identity,
    resources: () => [{ name: 'demo.weir.example/Widget', ref: WIDGETS, namespaces: ['default'] }],
    collection,
    count: () => 1,
    bytes: () => 1,
    dispatch: ({ type }) => void events.push(type),
    inRoom: async (act) => act(),
    inRoomOfBegin: async (act) => act(),
    kept: async () => {},
    giveUp: () => {},
    unsent: () => [],
    takeStale: () => undefined,
  })
  snapshotter.request()
  return { snapshotter, events }
}

const known = (listed: boolean) => ({
  namespace: 'default',
  listed,
  problem: '',
  refused: false,
  version: '',
})

test('a snapshot does not end with what the watch has not listed yet, although it could be listed', () =>
  withCluster(async (cluster) => {
    let listed = false
    const identity = new ClusterIdentity(cluster.client, cluster.scope.log)
    const { snapshotter, events } = await setUp(cluster, identity, () => known(listed))
    await until('it waits', () => snapshotter.held !== '')
    assert.match(snapshotter.held, /^widgets in the namespace default are not listed yet/)
    assert.equal(snapshotter.running, false)
    assert.deepEqual(events, ['snapshot-begin', 'snapshot-flush'])
    listed = true
    snapshotter.listed()
    await until('it was written', () => snapshotter.written === 1)
    assert.deepEqual(events.slice(-2), ['snapshot-item', 'snapshot-end'])
    assert.equal(snapshotter.held, '')
    assert.deepEqual(snapshotter.missing, [])
  }))

test('a snapshot does not end when another cluster answers since it began', () =>
  withCluster(async (cluster) => {
    let asked = 0
    const uids = ['one', 'one', 'two', 'one', 'one']
    const client = { get: async () => ({ metadata: { name: 'kube-system', uid: uids[asked++] } }) }
    const identity = new ClusterIdentity(client as unknown as KubeClient, cluster.scope.log)
    const { snapshotter, events } = await setUp(cluster, identity, () => known(true))
    await until('it was written', () => snapshotter.written === 1)
    assert.deepEqual(events, [
      'snapshot-begin',
      'snapshot-item',
      'snapshot-abort',
      'snapshot-begin',
      'snapshot-item',
      'snapshot-end',
    ])
    assert.equal(asked, 5)
  }))

// The snapshot began anew for ever: one page is the least that can be asked for.
test('an object that is larger alone than an answer may be is passed over, and one that no zone could read is left out', () =>
  withCluster(
    async (cluster) => {
      const { client } = cluster
      let deep: JsonObject = {}
      for (let level = 0; level < 140; level++) deep = { deep }
      const many = Array.from({ length: 20_000 }, () => 0)
      for (const [name, extra] of [
        ['w0', { text: 'x'.repeat(200_000) }],
        ['w2', { text: 'x'.repeat(200_000) }],
        ['w3', deep],
        ['w4', { many }],
        ['w9', { text: 'x'.repeat(200_000) }],
      ] as const) {
        // The answer to it is too large as well.
        await client.create(WIDGETS, widget(name, { extra })).catch(() => {})
      }
      const identity = new ClusterIdentity(client, cluster.scope.log)
      const { snapshotter, events } = await setUp(cluster, identity, () => known(true))
      await until('it was written', () => snapshotter.written === 1)
      assert.deepEqual(events, ['snapshot-begin', 'snapshot-item', 'snapshot-end'])
    },
    { kube: { responseBytesMax: 100_000 } },
  ))

type Fault = NonNullable<ReturnType<NonNullable<TestCluster['faults']>>>

/** Pages of 128, 128 and 44 objects; `fault` is asked for each request of one, with how often it was asked for before. */
async function withPages(
  fault: (page: number, tries: number) => Fault | undefined,
  run: (snapshotter: Snapshotter, events: string[], asked: number[]) => Promise<void>,
): Promise<void> {
  await withCluster(async (cluster) => {
    for (let at = 0; at < 299; at++) await cluster.client.create(WIDGETS, widget(`p${at}`))
    const tokens: string[] = []
    const asked: number[] = []
    cluster.faults = ({ path, query, watch }) => {
      if (watch || !path.endsWith('/widgets') || !query.has('limit')) return undefined
      const token = query.get('continue') ?? ''
      if (!tokens.includes(token)) tokens.push(token)
      const page = tokens.indexOf(token)
      asked[page] = (asked[page] ?? 0) + 1
      return fault(page, asked[page]! - 1)
    }
    const identity = new ClusterIdentity(cluster.client, cluster.scope.log)
    const { snapshotter, events } = await setUp(cluster, identity, () => known(true))
    await run(snapshotter, events, asked)
  })
}

// With a hundred pages and some percent of failures it never came to the end.
test('a page that fails is asked for again, and the snapshot goes on', () =>
  withPages(
    (page, tries) =>
      tries < 2 ? ([{ status: 500 }, { hangUp: true }][(page + tries) % 2] as Fault) : undefined,
    async (snapshotter, events, asked) => {
      await until('it was written', () => snapshotter.written === 1)
      assert.deepEqual(asked.length, 3)
      assert.ok(asked.every((times) => times >= 3))
      assert.equal(events.filter((type) => type === 'snapshot-begin').length, 1)
      assert.equal(events.filter((type) => type === 'snapshot-item').length, 300)
    },
  ))

test('a token that has expired begins the snapshot anew, and so does a page that fails on', () =>
  withPages(
    (page, tries) =>
      page === 1 && tries === 0
        ? { status: 410 }
        : page === 2 && tries < 6
          ? { status: 500 }
          : undefined,
    async (snapshotter, events, asked) => {
      await until('it was written', () => snapshotter.written === 1)
      assert.deepEqual(
        events.filter((type) => type !== 'snapshot-item'),
        [
          'snapshot-begin',
          'snapshot-abort',
          'snapshot-begin',
          'snapshot-abort',
          'snapshot-begin',
          'snapshot-end',
        ],
      )
      assert.deepEqual(asked.slice(0, 2), [3, 3])
    },
  ))

const tooLarge = () => new KubeError('KUBE_RESPONSE_TOO_LARGE', 'a fault that a test asked for')

// It listed for ever, with a heartbeat that was well, and nothing told of it.
for (const [what, pageOf, most] of [
  ['has the same token', () => ({ names: [], next: 'again' }), 2],
  ['begins again', (asked: number) => ({ names: ['w1'], next: `token-${asked}` }), 2],
  ['has a token of long ago', (asked: number) => ({ names: [], next: `token-${asked % 5}` }), 13],
  ['is too large, and has the same token', () => ({ names: undefined, next: 'again' }), 11],
] as const) {
  test(`a list whose next page ${what} begins the snapshot anew after a wait, until it ends`, async () => {
    const lines: string[] = []
    const log = createLogger({ level: 'warn', write: (line) => void lines.push(line) })
    const run = async (cluster: TestCluster) => {
      let faulty = true
      let asked = 0
      const page = async () => {
        await setImmediate()
        return faulty ? pageOf(asked++) : { names: ['w1'], next: undefined }
      }
      const client = {
        create: async () => {},
        get: async () => ({ metadata: { name: 'kube-system', uid: 'one' } }),
        list: async () => {
          const { names, next } = await page()
          if (!names) throw tooLarge()
          const items = names.map((name) => widget(name))
          return { items, resourceVersion: '7', continue: next }
        },
        passOver: async () => (await page()).next,
      } as unknown as KubeClient
      const identity = new ClusterIdentity(client, log)
      const { snapshotter, events } = await setUp({ ...cluster, client }, identity, () =>
        known(true),
      )
      await until('it is given up', () => events.includes('snapshot-abort'), 2_000)
      assert.ok(asked <= most, `${asked} pages`)
      faulty = false
      assert.match(lines.join(), /begin again.*a page of a list leads back to itself/)
      await until('it was written', () => snapshotter.written === 1)
      assert.deepEqual(events.slice(-3), ['snapshot-begin', 'snapshot-item', 'snapshot-end'])
    }
    await withCluster(run, { log })
  })
}

test('a store without room is asked less and less while nothing changes, and soon when there is less', async () => {
  const clock = new ManualClock()
  const scope = new Scope('test', { clock })
  const at: number[] = []
  let bytes = 10
  let left = 100
  const client = {
    get: async () => ({ metadata: { name: 'kube-system', uid: 'one' } }),
    list: async () => ({ items: [], resourceVersion: '1' }),
  } as unknown as KubeClient
  const cluster = new ClusterIdentity(client, scope.log)
  await cluster.learn(scope.signal)
  const snapshotter = new Snapshotter({
    scope,
    client,
    random: seededRandom(1),
    heartbeat: new Heartbeats(clock).register('snapshot', { deadlineMs: 1_000 }),
    cluster,
    resources: () => [{ name: 'demo.weir.example/Widget', ref: WIDGETS, namespaces: ['default'] }],
    collection: () => known(true),
    bytes: () => bytes,
    count: () => 1,
    dispatch: ({ type }) => void (type === 'snapshot-begin' && at.push(clock.now() / 1000)),
    inRoom: async () => {
      if (left > 0) throw new WeirError('OWN_LOG_FULL', 'no room')
    },
    inRoomOfBegin: async (act) => act(),
    kept: async () => {},
    giveUp: () => void left--,
    unsent: () => [],
    takeStale: () => undefined,
  })
  const gaps = () => at.slice(1).map((ms, index) => ms - at[index]!)
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 500) await clock.advanceAsync(500)
  }
  snapshotter.request()
  await pass(3_600_000)
  assert.ok(
    gaps()
      .slice(0, 6)
      .every((ms) => ms <= 31_000),
    `${gaps()}`,
  )
  assert.ok(
    gaps()
      .slice(11)
      .every((ms) => ms >= 150_000 && ms <= 301_000),
    `${gaps()}`,
  )
  assert.ok(gaps().length > 20)
  assert.equal(left, 100 - at.length)
  // More of them is no reason; less is.
  await pass(31_000)
  const before = at.length
  bytes = 11
  snapshotter.changed()
  snapshotter.request()
  snapshotter.listed()
  await pass(1_000)
  assert.equal(at.length, before)
  bytes = 9
  snapshotter.changed()
  await pass(1_000)
  assert.equal(at.length, before + 1)
  // What became less while it was not to be woken counts too.
  bytes = 8
  snapshotter.changed()
  left = 0
  await pass(31_000)
  assert.equal(snapshotter.written, 1)
  assert.equal(snapshotter.full, '')
  await scope.close()
})
