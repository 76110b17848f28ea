import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from 'weir-mesh/runtime'
import type { FaultHook } from '../api-server/index.ts'
import { until, WIDGETS, widget, withCluster } from '../api-server/testing.ts'
import { expire, isWatch, type ReflectorTestOptions, watch } from './reflector.fixture.ts'
import { NAMESPACES } from './types.ts'

const hourAgo = Object.freeze({ ...systemClock, wallMs: () => Date.now() - 3_600_000 })

test('all objects are reported, then every change, in order', async () => {
  await withCluster(async (cluster) => {
    const { client } = cluster
    for (let size = 0; size < 7; size++) await client.create(WIDGETS, widget(`w${size}`, { size }))
    let syncedAt = -1
    const { reflector, log, events } = watch(cluster, {
      pageLimit: 3,
      onSynced: () => {
        syncedAt = log.length
      },
    })
    await until('it is synced', () => reflector.synced)
    assert.equal(syncedAt, 7)
    assert.deepEqual(
      log,
      [0, 1, 2, 3, 4, 5, 6].map((size) => `added w${size} ${size}`),
    )
    assert.equal(reflector.state.objects, 7)
    await client.mergePatch(WIDGETS, 'default', 'w1', { spec: { size: 11 } })
    await client.delete(WIDGETS, 'default', 'w2')
    await client.create(WIDGETS, widget('w2', { size: 22 }))
    await until('it has heard of all', () => log.length === 10)
    assert.deepEqual(log.slice(7), ['modified w1 11', 'deleted w2 was 2', 'added w2 22'])
    const deleted = events[8]
    assert.ok(deleted?.object && deleted.bytes > 100)
    assert.notEqual(deleted.uid, events[9]?.uid)
    assert.equal(reflector.get('default', 'w1')?.projection, 11)
    assert.equal([...reflector.values()].length, 7)
  })
})

test('a watch that is cut goes on where it was, and nothing comes twice', async () => {
  await withCluster(async (cluster) => {
    const { reflector, log } = watch(cluster)
    await until('it is synced', () => reflector.synced)
    for (let size = 0; size < 20; size++) {
      await cluster.client.create(WIDGETS, widget(`w${size}`, { size }))
      if (size % 5 === 0) cluster.server.cutWatches()
    }
    await until('it has heard of all', () => log.length >= 20)
    assert.deepEqual(
      log,
      Array.from({ length: 20 }, (_, size) => `added w${size} ${size}`),
    )
    assert.equal(reflector.state.lists, 1)
    assert.equal(reflector.state.problem, '')
  })
})

test('a watch that ends after its time goes on at once', async () => {
  await withCluster(async (cluster) => {
    const { reflector, log } = watch(cluster, { backoffMs: { first: 60_000, most: 60_000 } })
    await until('it is synced', () => reflector.synced)
    for (let size = 0; size < 5; size++) {
      await until('it watches', () => cluster.server.watchers === 1)
      await cluster.client.create(WIDGETS, widget(`w${size}`, { size }))
      cluster.server.endWatches()
    }
    await until('it has heard of all', () => log.length === 5)
    assert.equal(cluster.counters.value('kube_watch_failures_total'), 0)
    assert.equal(reflector.state.lists, 1)
  })
})

test('a server that ends every watch at once is not asked in a hurry', async () => {
  await withCluster(async (cluster) => {
    const { reflector } = watch(cluster, { backoffMs: { first: 60_000, most: 60_000 } })
    await until('it watches', () => cluster.server.watchers === 1)
    for (let count = 0; count < 30; count++) {
      cluster.server.stallWatches() // without a bookmark at the end, so without any progress
      cluster.server.endWatches()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    assert.equal(reflector.state.watches, 1)
  })
})

test('a server that fails, or says 410 to its own answer, is asked again only after a wait', async () => {
  for (const status of [500, 410] as const) {
    await withCluster(async (cluster) => {
      let asked = 0
      cluster.faults = (request) => {
        if (!request.path.endsWith('/widgets')) return undefined
        asked++
        return status === 500 ? { status } : request.watch ? { hangUp: true } : { status }
      }
      watch(cluster, { backoffMs: { first: 60_000, most: 60_000 } })
      await until('it has asked', () => asked === 1)
      await new Promise((resolve) => setTimeout(resolve, 200))
      assert.equal(asked, 1)
    })
  }
})

test('after a 410 a new list finds what was added, changed and deleted meanwhile', async () => {
  for (const how of ['event', 'status'] as const) {
    await withCluster(async (cluster) => {
      const { client } = cluster
      for (let size = 0; size < 4; size++)
        await client.create(WIDGETS, widget(`w${size}`, { size }))
      const { reflector, log, events } = watch(cluster)
      await until('it is synced', () => reflector.synced)
      await client.delete(WIDGETS, 'default', 'w1')
      await until('the delete was seen', () => log.length === 5)
      // Real servers send it as an event of the watch; as an HTTP status it must do the same.
      let left = 1
      cluster.faults = (request) =>
        how === 'status' && request.watch && left-- > 0 ? { status: 410 } : undefined
      await expire(cluster, async () => {
        await client.delete(WIDGETS, 'default', 'w0')
        await client.mergePatch(WIDGETS, 'default', 'w2', { spec: { size: 22 } })
        await client.create(WIDGETS, widget('w9', { size: 9 }))
      })
      await until('it was listed again', () => reflector.state.lists === 2 && log.length === 8)
      assert.deepEqual(log.slice(5).sort(), ['added w9 9', 'deleted w0 was 0', 'modified w2 22'])
      const deleted = events.find((event) => event.name === 'w0' && event.type === 'deleted')
      assert.equal(deleted?.object, undefined)
      await client.create(WIDGETS, widget('w10', { size: 10 }))
      await until('the watch goes on', () => log.length === 9)
      assert.equal(cluster.counters.value('kube_relists_total'), 1)
    })
  }
})

test('every kind of failure of list and watch is recovered', async () => {
  await withCluster(async (cluster) => {
    const kinds: readonly ReturnType<FaultHook>[] = [
      { status: 500 },
      { status: 503 },
      { status: 429, retryAfter: 0 },
      { status: 401 },
      { status: 409 },
      { status: 410 },
      { hangUp: true },
      { cutAfter: 0 },
    ]
    let at = 0
    const seen: (number | undefined)[] = []
    cluster.faults = (request) => {
      if (!request.path.endsWith('/widgets') || request.method !== 'GET') return undefined
      // Each failure twice: at a list or at a watch, whatever comes next.
      const fault = kinds[Math.floor(at / 2)]
      at++
      seen.push(fault?.status)
      return fault
    }
    await cluster.client.create(WIDGETS, widget('w', { size: 1 }))
    const { reflector, log } = watch(cluster)
    await until('it is synced', () => reflector.synced, 30_000)
    await until('all failures were had', () => {
      if (at < 2 * kinds.length) cluster.server.cutWatches()
      return at >= 2 * kinds.length
    })
    await cluster.client.mergePatch(WIDGETS, 'default', 'w', { spec: { size: 2 } })
    await until('the watch works', () => log.at(-1) === 'modified w 2')
    await until('all is well', () => reflector.state.problem === '')
    assert.ok(cluster.counters.value('kube_watch_failures_total') >= kinds.length)
  })
})

test('garbage on a watch ends the watch and not the reflector', async () => {
  await withCluster(async (cluster) => {
    const { reflector, log } = watch(cluster, {
      fault: (stage) => {
        if (stage !== 'event' || failures++ > 2) return
        throw new SyntaxError('as from a parser')
      },
    })
    let failures = 0
    await until('it is synced', () => reflector.synced)
    await cluster.client.create(WIDGETS, widget('w', { size: 1 }))
    await until('the event came in the end', () => log.length === 1)
    assert.ok(failures > 2)
  })
})

test('a watch that stalls makes the heartbeat fail until something comes again', async () => {
  await withCluster(async (cluster) => {
    const { reflector, log } = watch(cluster)
    const problem = () => [...cluster.heartbeats].map((beat) => beat.problem()).join()
    await until('it is synced', () => reflector.synced)
    // Two bookmarks tell how often they come; the server here sends one every 200 ms.
    await new Promise((resolve) => setTimeout(resolve, 700))
    assert.equal(problem(), '')
    cluster.faults = isWatch('/widgets', { stall: true })
    cluster.server.stallWatches()
    await until('the stall was noticed', () => problem().includes('silent'), 10_000)
    assert.equal(cluster.counters.value('kube_watch_stalls_total'), 1)
    assert.match(reflector.state.problem, /silent|nothing/)
    cluster.faults = undefined
    cluster.server.cutWatches()
    await until('it is well again', () => problem() === '')
    await cluster.client.create(WIDGETS, widget('w', { size: 1 }))
    await until('and works', () => log.length === 1)
  })
})

test('a watch that is silent leads to a list: what it did not tell is found', async () => {
  await withCluster(async (cluster) => {
    const { reflector, log } = watch(cluster, { silenceMsMax: 300 })
    await until('it watches', () => reflector.synced && cluster.server.watchers === 1)
    cluster.faults = isWatch('/widgets', { stall: true })
    cluster.server.stallWatches()
    await cluster.client.create(WIDGETS, widget('w', { size: 1 }))
    await until('it was found', () => log.length === 1)
    assert.ok(reflector.state.lists > 1)
    // A list that works does not make a silent watch well.
    assert.equal(reflector.state.problem, 'the watch is silent')
  })
})

test('what a cluster that was restored does not have is not taken for deleted', async () => {
  await withCluster(async (cluster) => {
    for (let size = 0; size < 9; size++)
      await cluster.client.create(WIDGETS, widget(`w${size}`, { size }))
    const { reflector, log } = watch(cluster)
    await until('it watches', () => reflector.synced && cluster.server.watchers === 1)
    const { url, token, identity } = cluster.server
    await cluster.server.close()
    await withCluster(
      async () => {
        await until('it is told', () => reflector.state.problem.includes('went back'))
        assert.match(reflector.state.problem, /KUBE_REWOUND.*from resourceVersion \d+ to \d+/)
        assert.ok(!log.some((line) => line.startsWith('deleted')))
        await reflector.close()
      },
      // Its versions begin at the time of day.
      { listen: new URL(url).host, token, identity, clock: hourAgo },
    )
  })
})

test('a list that is not the first waits for who wants to look before', async () => {
  await withCluster(async (cluster) => {
    let asked = 0
    const { reflector, log } = watch(cluster, {
      beforeRelist: async () => {
        asked++
        if (asked < 3) throw new Error('not yet')
      },
    })
    await until('it watches', () => reflector.synced && cluster.server.watchers === 1)
    assert.equal(asked, 0)
    await expire(cluster, async () => {
      await cluster.client.create(WIDGETS, widget('w', { size: 1 }))
    })
    await until('it was listed again', () => log.length === 1)
    assert.equal(reflector.state.lists, 4)
    await until('it was asked before what is missing counts as deleted', () => asked === 4)
  })
})

test('what a list lacks is not deleted when who looks then is in doubt', async () => {
  await withCluster(async (cluster) => {
    let asked = 0
    await cluster.client.create(WIDGETS, widget('w', { size: 1 }))
    const { reflector, log } = watch(cluster, {
      beforeRelist: async () => {
        asked++
        if (asked % 2 === 0 && asked < 6) throw new Error('another cluster')
      },
    })
    await until('it watches', () => reflector.synced && cluster.server.watchers === 1)
    const deletedAt: number[] = []
    await expire(cluster, () => cluster.client.delete(WIDGETS, 'default', 'w'))
    await until('it is deleted', () => {
      if (log.length === 2) deletedAt.push(asked)
      return log.length === 2
    })
    assert.deepEqual(deletedAt, [6])
    assert.equal(log[1], 'deleted w was 1')
  })
})

test('a namespace that is refused is told apart from the others, and comes back by itself', async () => {
  await withCluster(async (cluster) => {
    const failed: string[] = []
    cluster.faults = ({ path }) => (path.includes('/kube-system/') ? { status: 403 } : undefined)
    const { reflector, log } = watch(cluster, {
      namespaces: ['default', 'kube-system'],
      onFailed: (namespace, error) => void failed.push(`${namespace} ${(error as Error).message}`),
    })
    await cluster.client.create(WIDGETS, widget('w', { size: 1 }))
    await until('the other goes on', () => log.length === 1)
    await until('it is told', () => failed.length > 1)
    const [open, closed] = [...reflector.collections()]
    assert.deepEqual([open!.listed, open!.refused, open!.problem], [true, false, ''])
    assert.deepEqual([closed!.listed, closed!.refused, closed!.version], [false, true, ''])
    assert.match(closed!.problem, /KUBE_FORBIDDEN/)
    assert.ok(failed.every((each) => each.startsWith('kube-system GET ')))
    assert.equal(reflector.synced, false)
    cluster.faults = undefined
    await until('it is well', () => reflector.synced && reflector.state.problem === '')
    const { listed, refused, version } = reflector.collection('kube-system')
    assert.deepEqual([listed, refused, version !== ''], [true, false, true])
  })
})

test('before a watch goes on it is looked at the cluster, but not right after a list', async () => {
  await withCluster(async (cluster) => {
    let asked = 0
    const { reflector, log } = watch(cluster, {
      beforeWatch: async () => {
        asked++
        if (asked < 3) throw new Error('another cluster')
      },
    })
    await until('it watches', () => reflector.synced && cluster.server.watchers === 1)
    assert.equal(asked, 0)
    cluster.server.cutWatches()
    await cluster.client.create(WIDGETS, widget('w', { size: 1 }))
    await until('it goes on', () => log.length === 1)
    assert.equal(asked, 3)
    assert.equal(reflector.state.lists, 1)
    assert.equal(reflector.state.watches, 2)
  })
})

test('a handler that hangs makes the heartbeat fail', async (t) => {
  const { ManualClock } = await import('weir-mesh/runtime')
  const { Heartbeats } = await import('weir-mesh/runtime')
  const clock = new ManualClock()
  const heartbeats = new Heartbeats(clock)
  const { Pulse } = await import('./pulse.ts')
  using pulse = new Pulse({ clock, heartbeats, name: 'kube-watch w', silenceMsMax: 60_000 })
  const problem = () => [...heartbeats][0]?.problem()
  pulse.working()
  clock.advance(7_000)
  assert.equal(problem(), undefined)
  clock.advance(2_000)
  assert.match(problem() ?? '', /silent for 9000 ms/)
  pulse.waiting()
  clock.advance(59_000)
  assert.equal(problem(), undefined)
  assert.equal(pulse.silenceMs, 60_000)
  pulse.opened()
  for (let count = 0; count < 3; count++) {
    pulse.bookmark()
    clock.advance(3_000)
  }
  assert.equal(pulse.silenceMs, 7_000)
  pulse.silent()
  pulse.working()
  pulse.waiting()
  assert.match(problem() ?? '', /stopped/)
  pulse.received()
  assert.equal(problem(), undefined)
  t.diagnostic('a stall is noticed after two bookmarks and a second')
})

test('a slow handler holds the stream back and loses nothing', async () => {
  await withCluster(async (cluster) => {
    let running = 0
    let most = 0
    const seen: string[] = []
    const { reflector } = watch(cluster, {
      async onEvent(event) {
        running++
        most = Math.max(most, running)
        await new Promise((resolve) => setTimeout(resolve, 3))
        seen.push(event.name)
        running--
      },
    })
    await until('it is synced', () => reflector.synced)
    for (let size = 0; size < 60; size++) {
      await cluster.client.create(WIDGETS, widget(`w${size}`, { size }))
    }
    await until('it has heard of all', () => seen.length === 60)
    assert.equal(most, 1)
    assert.deepEqual(
      seen,
      Array.from({ length: 60 }, (_, size) => `w${size}`),
    )
  })
})

test('a handler that throws or rejects is counted, and the next event comes', async () => {
  await withCluster(async (cluster) => {
    let calls = 0
    const { reflector } = watch(cluster, {
      onEvent() {
        calls++
        if (calls === 1) throw new Error('thrown')
        if (calls === 2) return Promise.reject(new Error('rejected'))
        return undefined
      },
    })
    for (let size = 0; size < 3; size++) await cluster.client.create(WIDGETS, widget(`w${size}`))
    await until('all were delivered', () => calls === 3)
    assert.equal(cluster.counters.value('kube_handler_failures_total'), 2)
    assert.equal(reflector.state.objects, 3)
  })
})

test('several namespaces are watched apart, with one handler call at a time', async () => {
  await withCluster(async (cluster) => {
    const { client } = cluster
    await client.create(NAMESPACES, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'b' },
    })
    await client.create(NAMESPACES, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'c' },
    })
    for (const namespace of ['default', 'b', 'c']) {
      await client.create(WIDGETS, widget('w', { size: 1 }, namespace))
    }
    const seen: string[] = []
    let running = 0
    let most = 0
    const { reflector } = watch(cluster, {
      namespaces: ['default', 'b'],
      async onEvent(event) {
        running++
        most = Math.max(most, running)
        await new Promise((resolve) => setTimeout(resolve, 20))
        running--
        seen.push(`${event.type} ${event.namespace}`)
      },
    })
    await until('it is synced', () => reflector.synced && seen.length === 2)
    assert.equal(most, 1)
    assert.equal(reflector.state.watches <= 2, true)
    // A relist of one namespace says nothing of the other.
    await client.delete(WIDGETS, 'b', 'w')
    await until('the delete came', () => seen.includes('deleted b'))
    await expire(cluster)
    await client.create(WIDGETS, widget('v', { size: 2 }, 'b'))
    await until('the new one came', () => seen.includes('added b') && reflector.state.lists === 4)
    assert.ok(!seen.includes('deleted default'))
    assert.ok(!seen.some((line) => line.endsWith(' c')))
  })
})

test('all namespaces are watched at once when none is named', async () => {
  await withCluster(async (cluster) => {
    const { log, reflector } = watch(cluster, { resource: NAMESPACES })
    await until('it is synced', () => reflector.synced)
    assert.deepEqual(log, ['added default -1', 'added kube-system -1'])
  })
})

test('an empty list of namespaces is refused', async () => {
  await withCluster(async (cluster) => {
    assert.throws(() => watch(cluster, { namespaces: [] }), { code: 'KUBE_NO_NAMESPACE' })
  })
})

test('a reflector ends at any stage and leaves nothing', async () => {
  const stages: readonly (() => ReflectorTestOptions)[] = [
    () => ({}),
    () => ({ fault: (stage) => (stage === 'list' ? new Promise<void>(() => {}) : undefined) }),
    () => ({ fault: (stage) => (stage === 'watch' ? new Promise<void>(() => {}) : undefined) }),
    () => ({ fault: (stage) => (stage === 'event' ? new Promise<void>(() => {}) : undefined) }),
    () => ({ onEvent: () => new Promise<void>(() => {}) }),
  ]
  for (const options of stages) {
    for (const waitMs of [0, 1, 30, 300]) {
      await withCluster(async (cluster) => {
        await cluster.client.create(WIDGETS, widget('w'))
        const { reflector } = watch(cluster, options())
        await new Promise((resolve) => setTimeout(resolve, waitMs))
        await reflector.close()
        assert.equal([...cluster.heartbeats].length, 0)
        assert.equal(cluster.ledger.row(cluster.client.terms.cache).instances, 0)
        assert.equal(cluster.ledger.row(cluster.client.terms.streams).instances, 0)
      })
    }
  }
})
