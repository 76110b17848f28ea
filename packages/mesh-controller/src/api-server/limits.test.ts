import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { CUSTOM_RESOURCE_DEFINITIONS, EVENTS, type JsonObject } from '../kube/index.ts'
import { DEFAULT_API_LIMITS } from './memory.ts'
import {
  ask,
  until,
  WIDGETS,
  WIDGETS_PATH,
  widget,
  widgetDefinition,
  withCluster,
} from './testing.ts'

test('api.objects: one object more than the plan is refused in words, and a delete makes room', async () => {
  await withCluster(
    async ({ client }) => {
      // The namespaces and the definition are three objects.
      await client.create(WIDGETS, widget('a'))
      await client.create(WIDGETS, widget('b'))
      await assert.rejects(client.create(WIDGETS, widget('c')), {
        code: 'KUBE_SERVER_ERROR',
        message: /api\.objects is full .*delete objects/,
      })
      await client.mergePatch(WIDGETS, 'default', 'a', { spec: { size: 2 } })
      await client.delete(WIDGETS, 'default', 'a')
      await client.create(WIDGETS, widget('c'))
    },
    { api: { objectsMax: 5 } },
  )
})

test('api.objects: an object that grows beyond the bytes is refused and stays as it was', async () => {
  await withCluster(
    async ({ client }) => {
      await client.create(WIDGETS, widget('a', { note: 'short' }))
      const grown = client.mergePatch(WIDGETS, 'default', 'a', {
        spec: { note: 'x'.repeat(60_000) },
      })
      await assert.rejects(grown, { code: 'KUBE_SERVER_ERROR' })
      const { spec } = (await client.get(WIDGETS, 'default', 'a')) as unknown as {
        spec: JsonObject
      }
      assert.equal(spec['note'], 'short')
    },
    { api: { objectBytesMax: 50_000 } },
  )
})

test('api.kinds: one kind more than the plan is refused', async () => {
  await withCluster(
    async ({ client }) => {
      const other = JSON.parse(
        JSON.stringify(widgetDefinition())
          .replaceAll('widget', 'gadget')
          .replaceAll('Widget', 'Gadget'),
      ) as never
      await assert.rejects(client.create(CUSTOM_RESOURCE_DEFINITIONS, other, { deadlineMs: 500 }), {
        code: 'KUBE_FORBIDDEN',
      })
    },
    { api: { kindsMax: 4 } },
  )
})

test('api.kinds: a schema larger than the bytes is refused, and what was served stays', async () => {
  await withCluster(
    async ({ client }) => {
      const definition = widgetDefinition()
      const metadata = await client.get(
        CUSTOM_RESOURCE_DEFINITIONS,
        undefined,
        'widgets.demo.weir.example',
      )
      const grown = JSON.parse(
        JSON.stringify(definition).replace(
          '"note":{',
          `"note":{"description":"${'x'.repeat(5_000)}",`,
        ),
      )
      const replaced = client.replace(
        CUSTOM_RESOURCE_DEFINITIONS,
        { ...grown, metadata: metadata.metadata },
        { deadlineMs: 500 },
      )
      await assert.rejects(replaced, { code: 'KUBE_FORBIDDEN' })
      await client.create(WIDGETS, widget('w', { note: 'x' }))
    },
    { api: { schemaBytesMax: 4_000 } },
  )
})

test('api.history: more changes than the plan push the oldest out, and a watch from there is 410', async () => {
  await withCluster(
    async (cluster) => {
      const { resourceVersion } = await cluster.client.list(WIDGETS)
      for (let count = 0; count < 9; count++)
        await cluster.client.create(WIDGETS, widget(`w${count}`))
      const row = [...cluster.ledger.rows()].find(({ term }) => term.name === 'api.history')
      assert.equal(row?.entries, 8)
      const old = await ask(
        cluster,
        `${WIDGETS_PATH}?watch=true&resourceVersion=${resourceVersion}`,
      )
      assert.match(old.text, /"code":410/)
    },
    { api: { historyMax: 8 } },
  )
})

test('api.history: a change that never fits forgets the history and not the change', async () => {
  await withCluster(
    async ({ client }) => {
      const made = await client.create(WIDGETS, widget('big', { note: 'x'.repeat(30_000) }))
      assert.deepEqual(await client.get(WIDGETS, 'default', 'big'), made)
      await client.create(WIDGETS, widget('next'))
    },
    { api: { historyBytesMax: 20_000 } },
  )
})

test('api.watchers: one watch more than the plan is told to come later', async () => {
  await withCluster(
    async (cluster) => {
      const first = ask(cluster, `${WIDGETS_PATH}?watch=true&timeoutSeconds=1`)
      await until('the first watch is open', () => cluster.server.watchers === 1)
      const second = await ask(cluster, `${WIDGETS_PATH}?watch=true`)
      assert.equal(second.status, 429)
      assert.equal(second.headers['retry-after'], '1')
      assert.equal((await first).status, 200)
      await until('its place is free', () => cluster.server.watchers === 0)
    },
    { api: { watchersMax: 1 } },
  )
})

test('api.requests: one request more than the plan is told to come later', async () => {
  await withCluster(
    async (cluster) => {
      cluster.faults = () => ({ delayMs: 300 })
      const first = ask(cluster, WIDGETS_PATH)
      await new Promise((resolve) => setTimeout(resolve, 100))
      assert.equal((await ask(cluster, WIDGETS_PATH)).status, 429)
      assert.equal((await first).status, 200)
    },
    { api: { requestsMax: 1 } },
  )
})

test('a body above the cap is 413, and the connection is of use afterwards', async () => {
  await withCluster(async (cluster) => {
    const note = 'x'.repeat(DEFAULT_API_LIMITS.requestBytesMax)
    await assert.rejects(cluster.client.create(WIDGETS, widget('a', { note })), {
      code: 'KUBE_TOO_LARGE',
    })
    await cluster.client.create(WIDGETS, widget('a'))
  })
})

test('api.requests: a body beyond Latin-1 is charged as what it becomes, and comes whole', async () => {
  const note = `€${'x'.repeat(19_000)}`
  await withCluster(
    async (cluster) => {
      const answer = await ask(cluster, WIDGETS_PATH, { body: widget('a', { note }) })
      assert.equal(answer.status, 429)
      const narrow = widget('b', { note: note.slice(1) })
      assert.equal((await ask(cluster, WIDGETS_PATH, { body: narrow })).status, 201)
    },
    { api: { incomingBytesMax: 24_000 } },
  )
  await withCluster(async (cluster) => {
    await cluster.client.create(WIDGETS, widget('a', { note }))
    const { spec } = await cluster.client.get(WIDGETS, 'default', 'a')
    assert.equal((spec as JsonObject)['note'], note)
  })
})

test('api.incoming: a body that finds the shared bytes used up is told to come later', async () => {
  await withCluster(
    async (cluster) => {
      const note = 'x'.repeat(60_000)
      const answer = await ask(cluster, WIDGETS_PATH, { body: widget('a', { note }) })
      assert.equal(answer.status, 429)
    },
    { api: { incomingBytesMax: 50_000 } },
  )
})

test('api.outgoing: an answer that does not fit is refused', async () => {
  await withCluster(
    async (cluster) => {
      await cluster.client
        .create(WIDGETS, widget('a', { note: 'x'.repeat(6_000) }), { dryRun: false })
        .catch(() => {})
      const answer = await ask(cluster, `${WIDGETS_PATH}/a`)
      assert.equal(answer.status, 429)
    },
    { api: { outgoingBytesMax: 5_000 } },
  )
})

test('api.connections: one connection more than the plan is closed', async () => {
  await withCluster(
    async (cluster) => {
      const { port } = new URL(cluster.server.url)
      const sockets = [1, 2].map(() => connect(Number(port), '127.0.0.1'))
      await Promise.all(
        sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))),
      )
      const third = connect(Number(port), '127.0.0.1')
      await new Promise<void>((resolve) => {
        third.on('error', () => {})
        third.on('close', () => resolve())
        third.resume()
      })
      for (const socket of sockets) socket.destroy()
    },
    { api: { connectionsMax: 2 } },
  )
})

test('the oldest core event goes for a new one', async () => {
  await withCluster(async ({ client, server }) => {
    const about = { apiVersion: 'v1', kind: 'Namespace', name: 'default' }
    const text = { type: 'Normal', reason: 'Test', message: '' } as const
    const first = await client.createEvent(about, text)
    const before = server.size
    const all: Promise<unknown>[] = []
    for (let count = 0; count < 1_024; count++) {
      all.push(client.createEvent(about, text))
      if (all.length % 32 === 0) await Promise.all(all.splice(0))
    }
    await Promise.all(all)
    assert.equal(server.size, before + 1_023)
    await assert.rejects(client.get(EVENTS, 'default', first.metadata.name), {
      code: 'KUBE_NOT_FOUND',
    })
  })
})

test('events that were refused take no room of those that come later', async () => {
  await withCluster(
    async ({ client, server }) => {
      const about = { apiVersion: 'v1', kind: 'Namespace', name: 'default' }
      const text = { type: 'Normal', reason: 'Test', message: '' } as const
      for (let count = server.size; count < 5; count++) {
        await client.create(WIDGETS, widget(`w${count}`))
      }
      const refused = () => client.createEvent(about, text).catch((error) => error.code)
      for (let count = 0; count < 1_030; count += 10) {
        const codes = await Promise.all(Array.from({ length: 10 }, refused))
        assert.deepEqual(new Set(codes), new Set(['KUBE_SERVER_ERROR']))
      }
      await client.delete(WIDGETS, 'default', 'w3')
      await client.delete(WIDGETS, 'default', 'w4')
      const first = await client.createEvent(about, text)
      await client.createEvent(about, text)
      await client.get(EVENTS, 'default', first.metadata.name)
    },
    { api: { objectsMax: 5 } },
  )
})
