import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DirectMesh, type DirectZone } from '../../testing/direct-mesh.ts'
import { findWidget, openCluster, until, WIDGETS, widget } from '../api-server/testing.ts'
import type { KubeClient, KubeObject } from '../kube/index.ts'
import { OWNER_CLUSTER_ANNOTATION, OWNER_ZONE_LABEL } from './markers.ts'

async function withMesh(run: (mesh: DirectMesh) => Promise<void>, count = 2): Promise<void> {
  const mesh = await DirectMesh.open(count)
  try {
    await run(mesh)
  } finally {
    await mesh.close()
  }
}

test('a resource that is created, edited and deleted in one zone is so in the others', () =>
  withMesh(async (mesh) => {
    const [a, b, c] = mesh.zones.map((zone) => zone.cluster.client) as [
      KubeClient,
      KubeClient,
      KubeClient,
    ]
    await a.create(WIDGETS, widget('w1', { size: 1 }))
    for (const zone of [b, c])
      await until('created', async () => (await findWidget(zone, 'w1')) !== undefined)
    assert.equal((await findWidget(b, 'w1'))?.metadata.labels?.[OWNER_ZONE_LABEL], 'zone-a')
    assert.equal((await findWidget(a, 'w1'))?.metadata.labels, undefined)
    await a.mergePatch(WIDGETS, 'default', 'w1', { spec: { size: 2, note: 'n' } })
    await a.patchStatus(WIDGETS, 'default', 'w1', { phase: 'Ready' })
    for (const zone of [b, c]) {
      await until('edited', async () => {
        const object = (await findWidget(zone, 'w1')) as
          | { spec?: { size?: number }; status?: { phase?: string } }
          | undefined
        return object?.spec?.size === 2 && object.status?.phase === 'Ready'
      })
    }
    await a.delete(WIDGETS, 'default', 'w1')
    for (const zone of [b, c])
      await until('deleted', async () => (await findWidget(zone, 'w1')) === undefined)
  }, 3))

test('an edit of the owner is one request to the other API server, and removes what the owner removed', () =>
  withMesh(async (mesh) => {
    const [a, b] = mesh.zones as [(typeof mesh.zones)[0], (typeof mesh.zones)[0]]
    await a.cluster.client.create(WIDGETS, widget('w1', { size: 1, note: 'n' }))
    await until('created', async () => (await findWidget(b.cluster.client, 'w1')) !== undefined)
    await until('written', () => b.replication.status.pending === 0)
    const requests: string[] = []
    b.cluster.faults = ({ method, path }) =>
      void requests.push(`${method} ${path.split('/').at(-1)}`)
    await a.cluster.client.mergePatch(WIDGETS, 'default', 'w1', { spec: { size: 2, note: null } })
    await until('patched', () => requests.length > 0 && b.replication.status.pending === 0)
    assert.deepEqual(requests, ['PATCH w1'])
    b.cluster.faults = undefined
    const object = (await findWidget(b.cluster.client, 'w1')) as unknown as { spec: object }
    assert.deepEqual({ ...object.spec }, { size: 2, color: 'red' })
  }))

test('an edit that meets one made by hand at the same time is written again from what is there', () =>
  withMesh(async (mesh) => {
    const [a, b] = mesh.zones as [(typeof mesh.zones)[0], (typeof mesh.zones)[0]]
    await a.cluster.client.create(WIDGETS, widget('w1', { size: 1 }))
    await until('created', async () => (await findWidget(b.cluster.client, 'w1')) !== undefined)
    await until('written', () => b.replication.status.pending === 0)
    const requests: string[] = []
    b.cluster.faults = ({ method, watch }) => {
      if (!watch) requests.push(method)
      return requests.length === 1 ? { status: 409 } : undefined
    }
    await a.cluster.client.mergePatch(WIDGETS, 'default', 'w1', { spec: { size: 2 } })
    await until('patched', () => requests.length > 2 && b.replication.status.pending === 0)
    assert.deepEqual(requests, ['PATCH', 'GET', 'PATCH'])
    b.cluster.faults = undefined
    const object = (await findWidget(b.cluster.client, 'w1')) as unknown as { spec: object }
    assert.deepEqual({ ...object.spec }, { size: 2, color: 'red' })
  }))

test('a replica that is edited or deleted by hand is put back', () =>
  withMesh(async (mesh) => {
    const [a, b] = mesh.zones.map((zone) => zone.cluster.client) as [KubeClient, KubeClient]
    await a.create(WIDGETS, widget('w1', { size: 1 }))
    await until('created', async () => (await findWidget(b, 'w1')) !== undefined)
    await b.mergePatch(WIDGETS, 'default', 'w1', {
      spec: { size: 9 },
      metadata: { labels: { [OWNER_ZONE_LABEL]: null } },
    })
    await until('put back', async () => {
      const object = (await findWidget(b, 'w1')) as
        | { spec?: { size?: number }; metadata: KubeObject['metadata'] }
        | undefined
      return object?.spec?.size === 1 && object.metadata.labels?.[OWNER_ZONE_LABEL] === 'zone-a'
    })
    await b.delete(WIDGETS, 'default', 'w1')
    await until('made again', async () => (await findWidget(b, 'w1')) !== undefined)
  }))

test('a zone that was away learns of what was made and deleted meanwhile, and the restart deletes nothing else', () =>
  withMesh(async (mesh) => {
    const [a, b] = mesh.zones.map((zone) => zone.cluster.client) as [KubeClient, KubeClient]
    for (const name of ['w1', 'w2', 'w3']) await a.create(WIDGETS, widget(name))
    await b.create(WIDGETS, widget('own'))
    await until('w3 in b', async () => (await findWidget(b, 'w3')) !== undefined)
    await until('own in a', async () => (await findWidget(a, 'own')) !== undefined)
    await mesh.zones[1]!.stop()
    await a.delete(WIDGETS, 'default', 'w2')
    await a.create(WIDGETS, widget('w4'))
    mesh.zones[1]!.restart()
    await until('w4 in b', async () => (await findWidget(b, 'w4')) !== undefined)
    await until('w2 gone from b', async () => (await findWidget(b, 'w2')) === undefined)
    for (const name of ['w1', 'w3', 'own']) assert.ok(await findWidget(b, name), name)
    await until(
      'zone-b complete in a',
      async () =>
        mesh.zones[0]!.replication.status.zones[0]!.incarnation === 2 &&
        mesh.zones[0]!.replication.status.zones[0]!.complete,
    )
    assert.ok(await findWidget(a, 'own'))
  }))

test('an owner that restarts takes what was deleted meanwhile away from the others', () =>
  withMesh(async (mesh) => {
    const [a, b] = mesh.zones.map((zone) => zone.cluster.client) as [KubeClient, KubeClient]
    for (const name of ['w1', 'w2']) await a.create(WIDGETS, widget(name))
    await until('w2 in b', async () => (await findWidget(b, 'w2')) !== undefined)
    await mesh.zones[0]!.stop()
    await a.delete(WIDGETS, 'default', 'w1')
    assert.ok(await findWidget(b, 'w1'))
    mesh.zones[0]!.restart()
    await until('w1 gone', async () => (await findWidget(b, 'w1')) === undefined)
    assert.ok(await findWidget(b, 'w2'))
  }))

test('an API server that fails for a while loses nothing', () =>
  withMesh(async (mesh) => {
    const [a, b] = mesh.zones as [(typeof mesh.zones)[0], (typeof mesh.zones)[0]]
    let failures = 0
    b.cluster.faults = (request) =>
      request.method === 'GET' || ++failures > 12 ? undefined : { status: failures % 2 ? 500 : 409 }
    for (const name of ['w1', 'w2', 'w3', 'w4'])
      await a.cluster.client.create(WIDGETS, widget(name))
    for (const name of ['w1', 'w2', 'w3', 'w4']) {
      await until(name, async () => (await findWidget(b.cluster.client, name)) !== undefined)
    }
    assert.ok(failures > 12)
  }))

test('an object above 1 MiB stays, with an Event, a counter and a row in the status, and all else goes on', () =>
  withMesh(async (mesh) => {
    const [a, b] = mesh.zones as [(typeof mesh.zones)[0], (typeof mesh.zones)[0]]
    const big = (size: number) => widget('big', { extra: { text: 'x'.repeat(size) } })
    await a.cluster.client.create(WIDGETS, big(1024 * 1024 + 10))
    await a.cluster.client.create(WIDGETS, widget('small'))
    await until('small', async () => (await findWidget(b.cluster.client, 'small')) !== undefined)
    assert.equal(await findWidget(b.cluster.client, 'big'), undefined)
    assert.equal(a.replication.status.tooLarge.length, 1)
    assert.equal(a.counters.value('mesh_too_large_total'), 1)
    await until('Event', async () => {
      const events = await a.cluster.client.list(
        { group: '', version: 'v1', kind: 'Event', plural: 'events', namespaced: true },
        { namespace: 'default' },
      )
      return events.items.some((event) => event['reason'] === 'TooLarge')
    })
    await a.cluster.client.mergePatch(WIDGETS, 'default', 'big', {
      spec: { extra: { text: 'x'.repeat(1000 * 1000) } },
    })
    await until(
      'big fits now',
      async () => (await findWidget(b.cluster.client, 'big')) !== undefined,
    )
    assert.equal(a.replication.status.tooLarge.length, 0)
  }))

// With 3 MiB the log is shortened in time; 1 MiB is full before that, and the snapshot has to make the room.
for (const storeBytesMax of [3 * 1024 * 1024, 1024 * 1024]) {
  test(`a log that would outgrow a store of ${storeBytesMax} bytes is made short, and nothing is lost`, async () => {
    const mesh = await DirectMesh.open(2, { storeBytesMax })
    try {
      const [a, b] = mesh.zones.map((zone) => zone.cluster.client) as [KubeClient, KubeClient]
      const text = 'x'.repeat(20_000)
      for (let round = 0; round < 25; round++) {
        for (let at = 0; at < 10; at++) {
          const name = `w${at}`
          const note = `${round} ${text}`
          if (round === 0) await a.create(WIDGETS, widget(name, { note }))
          else await a.mergePatch(WIDGETS, 'default', name, { spec: { note } })
        }
      }
      for (let at = 0; at < 10; at++) {
        await until(`w${at}`, async () => {
          const object = (await findWidget(b, `w${at}`)) as { spec?: { note?: string } } | undefined
          return object?.spec?.note?.startsWith('24 ') === true
        })
      }
      assert.ok(mesh.zones[0]!.replication.status.snapshots > 1)
    } finally {
      await mesh.close()
    }
  })
}

test('at a quiet moment a log of which half is superseded is made short in every zone, and a lively one is left', () =>
  withMesh(async (mesh) => {
    const [a, b] = mesh.zones as [DirectZone, DirectZone]
    const { client } = a.cluster
    const kept = () =>
      mesh.zones.map(
        ({ ledger }) => [...ledger.rows()].find(({ term }) => term.name === 'store.bytes')!.bytes,
      )
    const text = 'x'.repeat(20_000)
    await client.create(WIDGETS, widget('w1', { note: text }))
    for (let at = 0; at < 20; at++)
      await client.create(WIDGETS, widget(`gone-${at}`, { note: text }))
    await until(
      'created',
      async () => (await findWidget(b.cluster.client, 'gone-19')) !== undefined,
    )
    a.replication.shortenLog()
    await new Promise((resolve) => setTimeout(resolve, 50))
    assert.equal(a.replication.status.snapshots, 1)
    for (let at = 0; at < 20; at++) await client.delete(WIDGETS, 'default', `gone-${at}`)
    await until(
      'deleted',
      async () => (await findWidget(b.cluster.client, 'gone-19')) === undefined,
    )
    assert.ok(kept().every((bytes) => bytes > 400_000))
    a.replication.shortenLog()
    await until('made short', async () => a.replication.status.snapshots === 2)
    assert.ok(kept().every((bytes) => bytes < 100_000))
    a.replication.shortenLog()
    await new Promise((resolve) => setTimeout(resolve, 50))
    assert.equal(a.replication.status.snapshots, 2)
    assert.notEqual(await findWidget(b.cluster.client, 'w1'), undefined)
  }))

test('an apply queue, a watch and an own log that stall are named by their heartbeats', async () => {
  const never = () => new Promise<void>(() => {})
  for (const [part, faults] of [
    ['apply-queue', { apply: never }],
    ['own-log', { ownLog: never }],
  ] as const) {
    const mesh = await DirectMesh.open(2)
    try {
      const zone = mesh.zones[1]!
      await until('both ready', () =>
        mesh.zones.every((each) => each.replication.problem === undefined),
      )
      await zone.stop()
      zone.restart(faults)
      await mesh.zones[0]!.cluster.client.create(WIDGETS, widget('w1'))
      await until(`${part} stalls`, () =>
        [...zone.heartbeats].some((each) => each.name === part && each.problem() !== undefined),
      )
    } finally {
      await mesh.close().catch(() => {})
    }
  }
})

test('another cluster at the same address is told, and takes nothing away', () =>
  withMesh(async (mesh) => {
    const [a, b] = mesh.zones as [(typeof mesh.zones)[0], (typeof mesh.zones)[0]]
    await a.cluster.client.create(WIDGETS, widget('w1', { size: 1 }))
    await until('created', async () => (await findWidget(b.cluster.client, 'w1')) !== undefined)
    const { url, token, identity } = a.cluster.server
    await a.cluster.server.close()
    const anew = await openCluster({ listen: new URL(url).host, token, identity })
    try {
      await anew.client.create(WIDGETS, widget('w2', { size: 2 }))
      await until('it is told', () =>
        /KUBE_CLUSTER_REPLACED.*restart/.test(a.replication.problem ?? ''),
      )
      assert.equal(a.replication.status.ownObjects, 1)
      assert.ok(await findWidget(b.cluster.client, 'w1'))
      assert.equal(await findWidget(b.cluster.client, 'w2'), undefined)
    } finally {
      await anew.close()
    }
  }))

test('markers that are taken from a replica by hand are put back', () =>
  withMesh(async (mesh) => {
    const [a, b] = mesh.zones as [(typeof mesh.zones)[0], (typeof mesh.zones)[0]]
    await a.cluster.client.create(WIDGETS, widget('w1', { size: 1 }))
    await until('created', async () => (await findWidget(b.cluster.client, 'w1')) !== undefined)
    await until('written', () => b.replication.status.pending === 0)
    const marker = (name: 'labels' | 'annotations', key: string) => async () =>
      (await findWidget(b.cluster.client, 'w1'))?.metadata[name]?.[key] !== undefined
    for (const [name, key] of [
      ['labels', OWNER_ZONE_LABEL],
      ['annotations', OWNER_CLUSTER_ANNOTATION],
    ] as const) {
      const patch = { metadata: { [name]: { [key]: null } } }
      await b.cluster.client.mergePatch(WIDGETS, 'default', 'w1', patch)
      await until(`${key} is back`, marker(name, key))
    }
  }))

test('a write that is refused is told with the words of the API server, until it works', () =>
  withMesh(async (mesh) => {
    const [a, b] = mesh.zones as [(typeof mesh.zones)[0], (typeof mesh.zones)[0]]
    b.cluster.faults = ({ method }) => (method === 'POST' ? { status: 500 } : undefined)
    await a.cluster.client.create(WIDGETS, widget('w1', { size: 1 }))
    await until('it is told', () => b.replication.status.failing !== '')
    assert.match(
      b.replication.status.failing,
      /^Widget default\/w1: KUBE_SERVER_ERROR: POST .* a fault that a test asked for$/,
    )
    b.cluster.faults = undefined
    await until('created', async () => (await findWidget(b.cluster.client, 'w1')) !== undefined)
    await until('all is well', () => b.replication.status.failing === '')
  }))
