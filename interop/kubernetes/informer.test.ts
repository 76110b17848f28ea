/**
 * The official JavaScript client against the embedded API: what other programs of a cluster are written with. Skipped by
 * name when the client is not installed; `npm run interop` installs it.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  until,
  WIDGETS,
  widget,
  withCluster,
} from '../../packages/mesh-controller/src/api-server/testing.ts'

const CLIENT = join(import.meta.dirname, 'node_modules', '@kubernetes', 'client-node')
const skip = existsSync(CLIENT)
  ? false
  : '@kubernetes/client-node is not installed: npm run interop installs it'
const k8s = skip ? undefined : await import('@kubernetes/client-node')

type Cluster = Parameters<Parameters<typeof withCluster>[0]>[0]

function connect(cluster: Cluster) {
  const config = new k8s.KubeConfig()
  config.loadFromString(cluster.server.kubeconfig())
  return config
}

const GROUP = { group: 'demo.weir.example', version: 'v1', plural: 'widgets', namespace: 'default' }
const PATH = '/apis/demo.weir.example/v1/namespaces/default/widgets'

function informer(cluster: Cluster, config = connect(cluster)) {
  const api = config.makeApiClient(k8s.CustomObjectsApi)
  const made = k8s.makeInformer(config, PATH, () => api.listNamespacedCustomObject(GROUP))
  const log: string[] = []
  const errors: unknown[] = []
  for (const event of ['add', 'update', 'delete']) {
    made.on(event, (object: { metadata: { name: string } }) => {
      log.push(`${event} ${object.metadata.name}`)
    })
  }
  made.on('error', (error: unknown) => errors.push(error))
  return { made, log, errors }
}

test('an informer lists, follows, and lists again after a 410', { skip }, async () => {
  await withCluster(async (cluster) => {
    await cluster.client.create(WIDGETS, widget('a', { size: 1 }))
    await cluster.client.create(WIDGETS, widget('b', { size: 1 }))
    const { made, log, errors } = informer(cluster)
    await made.start()
    await until('it has listed', () => log.length === 2)
    assert.deepEqual(log.sort(), ['add a', 'add b'])
    await until('it watches', () => cluster.server.watchers === 1)
    await cluster.client.mergePatch(WIDGETS, 'default', 'a', { spec: { size: 2 } })
    await cluster.client.delete(WIDGETS, 'default', 'b')
    await cluster.client.create(WIDGETS, widget('c', { size: 3 }))
    await until('it has followed', () => log.length === 5)
    assert.deepEqual(log.slice(2), ['update a', 'delete b', 'add c'])
    // What it misses while it hears nothing comes with the new list.
    cluster.server.stallWatches()
    await cluster.client.delete(WIDGETS, 'default', 'a')
    await cluster.client.create(WIDGETS, widget('d', { size: 4 }))
    cluster.server.compact()
    cluster.server.endWatches()
    await until('it has listed again', () => log.includes('delete a') && log.includes('add d'))
    assert.deepEqual(errors, [])
    await made.stop()
    await until('its watch is gone', () => cluster.server.watchers === 0)
  })
})

test('a restarted informer goes on from its version and hears nothing twice', {
  skip,
}, async () => {
  await withCluster(async (cluster) => {
    const { made, log } = informer(cluster)
    await made.start()
    await until('it watches', () => cluster.server.watchers === 1)
    await cluster.client.create(WIDGETS, widget('a', { size: 1 }))
    await until('it heard', () => log.length === 1)
    cluster.server.cutWatches()
    await until('the watch is gone', () => cluster.server.watchers === 0)
    await cluster.client.create(WIDGETS, widget('b', { size: 1 }))
    await made.start()
    await until('it heard again', () => log.includes('add b'))
    assert.equal(log.filter((line) => line === 'add a').length, 1)
    await made.stop()
  })
})

test('objects are created, read, patched, listed and deleted', { skip }, async () => {
  await withCluster(async (cluster) => {
    const config = connect(cluster)
    const objects = k8s.KubernetesObjectApi.makeApiClient(config)
    const created = await objects.create(widget('w', { size: 1 }))
    assert.equal(created.spec.color, 'red')
    const merge = k8s.PatchStrategy.MergePatch
    const change = { ...widget('w'), spec: { size: 2 } }
    const patched = await objects.patch(change, undefined, undefined, undefined, undefined, merge)
    assert.equal(patched.spec.size, 2)
    const replaced = await objects.replace({ ...patched, spec: { size: 3 } })
    assert.equal(replaced.spec.size, 3)
    await assert.rejects(objects.replace({ ...patched, spec: { size: 4 } }), { code: 409 })
    await assert.rejects(objects.create(widget('w')), { code: 409 })
    await assert.rejects(objects.create(widget('x', { size: -1 })), { code: 422 })
    const list = await objects.list('demo.weir.example/v1', 'Widget', 'default')
    assert.equal(list.items.length, 1)
    await objects.delete(widget('w'))
    await assert.rejects(objects.read(widget('w')), { code: 404 })
    const core = config.makeApiClient(k8s.CoreV1Api)
    const namespaces = await core.listNamespace()
    assert.deepEqual(
      namespaces.items.map((item: { metadata?: { name?: string } }) => item.metadata?.name),
      ['default', 'kube-system'],
    )
  })
})
