import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { type JsonObject, NAMESPACES } from '../kube/index.ts'
import { ask, type TestCluster, WIDGETS, WIDGETS_PATH, widget, withCluster } from './testing.ts'

test('without the token nothing is told but version and health', async () => {
  await withCluster(async (cluster) => {
    for (const token of [undefined, '', 'wrong', `${cluster.server.token}x`]) {
      const answer = await ask(cluster, WIDGETS_PATH, { token })
      assert.equal(answer.status, 401)
      assert.equal(answer.body['reason'], 'Unauthorized')
    }
    for (const path of ['/healthz', '/livez', '/readyz', '/readyz?verbose']) {
      const answer = await ask(cluster, path, { token: undefined })
      assert.equal(answer.status, 200)
      assert.equal(answer.text, 'ok')
    }
    assert.equal((await ask(cluster, '/version', { token: undefined })).body['major'], '1')
    assert.equal((await ask(cluster, '/api', { token: undefined })).status, 401)
  })
})

test('discovery names every kind, in both forms', async () => {
  await withCluster(async (cluster) => {
    const groups = await ask(cluster, '/apis')
    assert.deepEqual(
      (groups.body['groups'] as JsonObject[]).map((group) => group['name']),
      ['apiextensions.k8s.io', 'demo.weir.example'],
    )
    assert.equal((await ask(cluster, '/apis/demo.weir.example')).body['kind'], 'APIGroup')
    const list = await ask(cluster, '/apis/demo.weir.example/v1')
    assert.deepEqual(
      (list.body['resources'] as JsonObject[]).map((resource) => resource['name']),
      ['widgets', 'widgets/status'],
    )
    for (const version of ['v2', 'v2beta1']) {
      const accept = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList,application/json`
      const answer = await ask(cluster, '/apis', { accept })
      assert.equal(answer.body['kind'], 'APIGroupDiscoveryList')
      assert.equal(answer.body['apiVersion'], `apidiscovery.k8s.io/${version}`)
      assert.match(
        String(answer.headers['content-type']),
        new RegExp(`v=${version};as=APIGroupDiscoveryList`),
      )
    }
    const core = await ask(cluster, '/api/v1')
    assert.deepEqual(
      (core.body['resources'] as JsonObject[]).map((resource) => resource['name']),
      ['namespaces', 'events'],
    )
    const index = (await ask(cluster, '/openapi/v3')).body['paths'] as JsonObject
    const { serverRelativeURL } = index['apis/demo.weir.example/v1'] as JsonObject
    const document = await ask(cluster, String(serverRelativeURL))
    assert.match(document.text, /"fieldValidation"/)
    const stub = await ask(cluster, '/openapi/v2', {
      accept: 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf',
    })
    assert.equal(Buffer.from(stub.text).toString('hex'), '0a03322e30120612016d1a0131')
    assert.equal((await ask(cluster, '/openapi/v2')).body['swagger'], '2.0')
  })
})

test('a path that is none is a page, and a resource that is none a Status', async () => {
  await withCluster(async (cluster) => {
    for (const path of [
      '/nonsense',
      '/apis/none.example',
      '/apis/none.example/v1/x',
      '/apis/demo.weir.example/v9/widgets',
    ]) {
      const answer = await ask(cluster, path)
      assert.equal(answer.status, 404, path)
      assert.equal(answer.text, '404 page not found\n')
    }
    const unknown = await ask(cluster, '/apis/demo.weir.example/v1/gadgets')
    assert.equal(unknown.body['message'], 'the server could not find the requested resource')
    assert.equal((await ask(cluster, `${WIDGETS_PATH}/w/scale`)).status, 404)
    assert.equal((await ask(cluster, WIDGETS_PATH, { method: 'PUT', body: {} })).status, 405)
    assert.equal((await ask(cluster, '/version', { method: 'POST', body: {} })).status, 405)
  })
})

test('the same token, certificate and port after a restart, and another cluster behind them', async () => {
  let uid = ''
  let listen = ''
  let kept: { token: string; identity: TestCluster['server']['identity'] } | undefined
  await withCluster(async ({ client, server }) => {
    uid = (await client.get(NAMESPACES, undefined, 'kube-system')).metadata.uid ?? ''
    listen = new URL(server.url).host
    kept = { token: server.token, identity: server.identity }
  })
  assert.ok(kept)
  const { token, identity } = kept
  await withCluster(
    async (cluster) => {
      assert.equal(new URL(cluster.server.url).host, listen)
      const system = await cluster.client.get(NAMESPACES, undefined, 'kube-system')
      assert.notEqual(system.metadata.uid, uid)
      await assert.rejects(
        withCluster(async () => {}, { listen }),
        { code: 'API_LISTEN' },
      )
    },
    { listen, token, identity },
  )
})

test('garbage on the port harms nobody', async () => {
  await withCluster(async (cluster) => {
    const { port } = new URL(cluster.server.url)
    for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01\xff\xff', '']) {
      const socket = connect(Number(port), '127.0.0.1')
      await new Promise<void>((resolve) => {
        socket.on('error', () => {})
        socket.on('close', () => resolve())
        socket.on('data', () => {})
        socket.end(bytes)
      })
    }
    await cluster.client.create(WIDGETS, widget('w'))
  })
})
