import assert from 'node:assert/strict'
import { request as httpsRequest } from 'node:https'
import { test } from 'node:test'
import type { JsonObject } from '../kube/index.ts'
import {
  ask,
  type TestCluster,
  until,
  WIDGETS,
  WIDGETS_PATH,
  widget,
  withCluster,
} from './testing.ts'

test('a list is in the order of names, in pages, under one version', async () => {
  await withCluster(async ({ client }) => {
    for (const name of ['c', 'a', 'e', 'b', 'd']) await client.create(WIDGETS, widget(name))
    const first = await client.list(WIDGETS, { namespace: 'default', limit: 2 })
    assert.deepEqual(
      first.items.map((item) => item.metadata.name),
      ['a', 'b'],
    )
    await client.create(WIDGETS, widget('bb'))
    await client.delete(WIDGETS, 'default', 'c')
    const names: string[] = []
    let token = first.continue
    while (token !== undefined) {
      const page = await client.list(WIDGETS, { namespace: 'default', limit: 2, continue: token })
      assert.equal(page.resourceVersion, first.resourceVersion)
      names.push(...page.items.map((item) => item.metadata.name))
      token = page.continue
    }
    assert.deepEqual(names, ['bb', 'd', 'e'])
    await assert.rejects(client.list(WIDGETS, { continue: 'nonsense' }), {
      code: 'KUBE_BAD_REQUEST',
    })
  })
})

test('a page that the history does not reach is 410', async () => {
  await withCluster(async ({ client, server }) => {
    for (const name of ['a', 'b', 'c']) await client.create(WIDGETS, widget(name))
    const first = await client.list(WIDGETS, { namespace: 'default', limit: 2 })
    await client.create(WIDGETS, widget('d'))
    server.compact()
    const next = client.list(WIDGETS, { namespace: 'default', continue: first.continue as string })
    await assert.rejects(next, { code: 'KUBE_GONE' })
  })
})

test('field selectors select, and selectors that are not carried out are refused', async () => {
  await withCluster(async (cluster) => {
    const { client } = cluster
    for (const name of ['a', 'b']) await client.create(WIDGETS, widget(name))
    const names = async (fieldSelector: string) =>
      (await client.list(WIDGETS, { fieldSelector })).items.map((item) => item.metadata.name)
    assert.deepEqual(await names('metadata.name=a'), ['a'])
    assert.deepEqual(await names('metadata.name!=a,metadata.namespace==default'), ['b'])
    assert.deepEqual(await names('metadata.namespace=other'), [])
    const refused: readonly (readonly [string, RegExp])[] = [
      ['?fieldSelector=spec.size%3D1', /^field label not supported: spec\.size$/],
      ['?fieldSelector=nonsense', /invalid selector/],
      ['?labelSelector=a%3Db', /label selectors are not supported/],
      ['?watch=true&labelSelector=a%3Db', /label selectors are not supported/],
      ['?limit=-1', /limit/],
      ['?resourceVersion=abc', /invalid resource version/],
      ['?watch=true&sendInitialEvents=true', /sendInitialEvents/],
    ]
    for (const [query, message] of refused) {
      const answer = await ask(cluster, WIDGETS_PATH + query)
      assert.equal(answer.status, 400, query)
      assert.match(String(answer.body['message']), message)
    }
    const future = await ask(cluster, `${WIDGETS_PATH}?resourceVersion=999999999999999`)
    assert.equal(future.status, 504)
    assert.match(future.text, /ResourceVersionTooLarge/)
    assert.equal((await ask(cluster, WIDGETS_PATH, { accept: 'application/yaml' })).status, 406)
  })
})

test('a watch brings what exists, what changes, and how far it has come', async () => {
  await withCluster(async (cluster) => {
    const { client } = cluster
    await client.create(WIDGETS, widget('a'))
    await client.create(WIDGETS, widget('b'))
    const lines = async (query: string, accept?: string) => {
      const answer = await ask(
        cluster,
        `${WIDGETS_PATH}?watch=true&timeoutSeconds=1${query}`,
        accept ? { accept } : {},
      )
      return answer.text
        .trim()
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as JsonObject)
    }
    const types = (events: JsonObject[]) => events.map((event) => event['type'])
    const [all, named, fresh, initial, table] = await Promise.all([
      lines(''),
      lines('&fieldSelector=metadata.name%3Da'),
      client
        .list(WIDGETS)
        .then(({ resourceVersion }) =>
          lines(`&allowWatchBookmarks=true&resourceVersion=${resourceVersion}`),
        ),
      lines('&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true'),
      lines('', 'application/json;as=Table;v=v1;g=meta.k8s.io'),
      new Promise((resolve) => setTimeout(resolve, 400)).then(async () => {
        await client.mergePatch(WIDGETS, 'default', 'a', { spec: { size: 2 } })
        await client.delete(WIDGETS, 'default', 'b')
      }),
    ])
    assert.deepEqual(types(all), ['ADDED', 'ADDED', 'MODIFIED', 'DELETED'])
    assert.deepEqual(types(named), ['ADDED', 'MODIFIED'])
    assert.deepEqual(
      types(fresh).filter((type) => type !== 'BOOKMARK'),
      ['MODIFIED', 'DELETED'],
    )
    assert.equal(types(fresh).at(-1), 'BOOKMARK')
    const end = initial[2]?.['object'] as { metadata: { annotations: JsonObject } }
    assert.deepEqual(types(initial).slice(0, 3), ['ADDED', 'ADDED', 'BOOKMARK'])
    assert.deepEqual(end.metadata.annotations, { 'k8s.io/initial-events-end': 'true' })
    const columns = table.map(
      (event) => ((event['object'] as JsonObject)['columnDefinitions'] as unknown[]).length,
    )
    assert.deepEqual(columns, [4, 0, 0, 0])
    const deleted = all[3]?.['object'] as { metadata: { resourceVersion: string } }
    const changed = all[2]?.['object'] as { metadata: { resourceVersion: string } }
    assert.ok(deleted.metadata.resourceVersion > changed.metadata.resourceVersion)
  })
})

test('a watch from a version that is forgotten gets 410 as an event', async () => {
  await withCluster(async (cluster) => {
    const { resourceVersion } = await cluster.client.list(WIDGETS)
    await cluster.client.create(WIDGETS, widget('a'))
    cluster.server.compact()
    const answer = await ask(
      cluster,
      `${WIDGETS_PATH}?watch=true&resourceVersion=${resourceVersion}`,
    )
    assert.equal(answer.status, 200)
    assert.match(answer.text, /"type":"ERROR".*"reason":"Expired".*"code":410/)
  })
})

/** A watch whose client takes nothing until it is told to; resolves with the lines that it got until it ended. */
function slowWatch(cluster: TestCluster) {
  const request = httpsRequest(new URL(`${WIDGETS_PATH}?watch=true`, cluster.server.url), {
    ca: cluster.server.identity.certificate,
    agent: false,
    headers: { authorization: `Bearer ${cluster.server.token}` },
  })
  let text = ''
  let resume = () => {}
  const ended = new Promise<JsonObject[]>((resolve) => {
    const end = () => {
      const lines = text.split('\n').filter((line) => line.endsWith('}'))
      resolve(lines.map((line) => JSON.parse(line) as JsonObject))
    }
    request.on('error', end)
    request.on('response', (response) => {
      response.on('error', () => {})
      response.on('close', end)
      response.pause()
      resume = () => {
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.resume() // a listener alone does not undo a pause
      }
    })
  })
  request.end()
  return { ended, resume: () => resume(), text: () => text, destroy: () => request.destroy() }
}

test('a slow client gets each object once in its last state, with what changed meanwhile', async () => {
  await withCluster(async (cluster) => {
    const note = 'x'.repeat(500_000)
    for (let count = 10; count < 40; count++) {
      await cluster.client.create(WIDGETS, widget(`w${count}`, { note }))
    }
    const slow = slowWatch(cluster)
    await until('the watch is open', () => cluster.server.watchers === 1)
    await new Promise((resolve) => setTimeout(resolve, 50))
    await cluster.client.mergePatch(WIDGETS, 'default', 'w39', { spec: { size: 1 } })
    slow.resume()
    await until('all came', () => slow.text().includes('"size":1'))
    cluster.server.endWatches()
    const events = await slow.ended
    const names = events.map(
      (event) => (event['object'] as { metadata: { name: string } }).metadata.name,
    )
    assert.equal(names.filter((name) => name === 'w39').length, 1)
    assert.equal(new Set(names).size, 30)
  })
})

test('a client that falls behind the history is told so', async () => {
  await withCluster(
    async (cluster) => {
      const slow = slowWatch(cluster)
      await until('the watch is open', () => cluster.server.watchers === 1)
      const note = 'x'.repeat(500_000)
      for (let count = 10; count < 40; count++) {
        await cluster.client.create(WIDGETS, widget(`w${count}`, { note }))
      }
      slow.resume()
      const events = await slow.ended
      assert.equal(events.at(-1)?.['type'], 'ERROR')
      assert.equal((events.at(-1)!['object'] as JsonObject)['code'], 410)
      assert.ok(events.length < 30)
    },
    { api: { historyMax: 8 } },
  )
})

test('a client that takes nothing is cut, and the others go on', async () => {
  await withCluster(
    async (cluster) => {
      const note = 'x'.repeat(500_000)
      for (let count = 0; count < 4; count++) {
        await cluster.client.create(WIDGETS, widget(`w${count}`, { note }))
      }
      const slow = slowWatch(cluster)
      await until('the watch is open', () => cluster.server.watchers === 1)
      for (let count = 0; count < 40; count++) {
        await cluster.client.mergePatch(WIDGETS, 'default', 'w0', { spec: { note: note + count } })
      }
      await until('it was cut', () => cluster.server.watchers === 0)
      assert.equal(cluster.counters.value('api_answers_cut_total'), 1)
      slow.destroy()
      await slow.ended
    },
    { stuckMs: 300 },
  )
})
