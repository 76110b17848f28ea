import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EVENTS, type JsonObject, NAMESPACES } from '../kube/index.ts'
import { type Ask, ask, WIDGETS, WIDGETS_PATH, widget, withCluster } from './testing.ts'

test('each refusal of a write has the code and the words of an API server', async () => {
  await withCluster(async (cluster) => {
    await cluster.client.create(WIDGETS, widget('w', { size: 1 }))
    const cases: readonly (readonly [Ask & { readonly path?: string }, number, string, RegExp])[] =
      [
        [
          { body: widget('w') },
          409,
          'AlreadyExists',
          /^widgets\.demo\.weir\.example "w" already exists$/,
        ],
        [
          { body: widget('W') },
          422,
          'Invalid',
          /^Widget\.demo\.weir\.example "W" is invalid: metadata\.name: Invalid value: "W": a lowercase RFC 1123 subdomain/,
        ],
        [{ body: { metadata: {} } }, 422, 'Invalid', /name or generateName is required/],
        [
          { body: widget('x', {}, 'other') },
          400,
          'BadRequest',
          /the namespace of the provided object does not match/,
        ],
        [
          { body: { ...widget('x'), kind: 'Gadget' } },
          400,
          'BadRequest',
          /cannot be handled as a Widget/,
        ],
        [
          { body: { ...widget('x'), apiVersion: 'v1' } },
          400,
          'BadRequest',
          /does not match the expected API version/,
        ],
        [
          { body: { metadata: { name: 'x', resourceVersion: '1' } } },
          400,
          'BadRequest',
          /resourceVersion should not be set/,
        ],
        [
          { body: { metadata: { name: 'x', labels: { a: 1 } } } },
          422,
          'Invalid',
          /metadata\.labels/,
        ],
        [
          { body: { metadata: { name: 'x', finalizers: 'f' } } },
          422,
          'Invalid',
          /metadata\.finalizers/,
        ],
        [{ body: { metadata: { name: 'a'.repeat(254) } } }, 422, 'Invalid', /no more than 253/],
        [{ body: '[]' }, 400, 'BadRequest', /not an object/],
        [{ body: '{"a":' }, 400, 'BadRequest', /not JSON/],
        [
          { body: '{"metadata":{"name":"x"},"spec":{"extra":{"__proto__":{"a":1}}}}' },
          400,
          'BadRequest',
          /__proto__/,
        ],
        [{ body: `${'[{"a":'.repeat(400)}1${'}]'.repeat(400)}` }, 400, 'BadRequest', /deeper/],
        [
          { body: 'a: 1', type: 'application/yaml' },
          415,
          'UnsupportedMediaType',
          /application\/json/,
        ],
        [
          { body: 'x', type: 'application/vnd.kubernetes.protobuf' },
          415,
          'UnsupportedMediaType',
          /apply -f/,
        ],
        [{ body: widget('x'), path: `${WIDGETS_PATH}?dryRun=Some` }, 400, 'BadRequest', /dryRun/],
        [
          { body: widget('x', {}, 'none'), path: WIDGETS_PATH.replace('default', 'none') },
          404,
          'NotFound',
          /^namespaces "none" not found$/,
        ],
        [
          { body: widget('v'), path: `${WIDGETS_PATH}/w`, method: 'PUT' },
          400,
          'BadRequest',
          /does not match the name on the URL/,
        ],
        [
          { body: widget('w'), path: `${WIDGETS_PATH}/w`, method: 'PUT' },
          422,
          'Invalid',
          /must be specified for an update/,
        ],
        [
          {
            body: { metadata: { name: 'v', resourceVersion: '1' } },
            path: `${WIDGETS_PATH}/v`,
            method: 'PUT',
          },
          404,
          'NotFound',
          /^widgets\.demo\.weir\.example "v" not found$/,
        ],
        [
          {
            body: { metadata: { name: 'w', resourceVersion: '1' } },
            path: `${WIDGETS_PATH}/w`,
            method: 'PUT',
          },
          409,
          'Conflict',
          /the object has been modified/,
        ],
        [
          {
            body: {},
            path: `${WIDGETS_PATH}/w`,
            method: 'PATCH',
            type: 'application/strategic-merge-patch+json',
          },
          415,
          'UnsupportedMediaType',
          /json-patch\+json, application\/merge-patch\+json$/,
        ],
        [
          {
            body: {},
            path: `${WIDGETS_PATH}/w`,
            method: 'PATCH',
            type: 'application/apply-patch+yaml',
          },
          415,
          'UnsupportedMediaType',
          /merge-patch/,
        ],
        [
          {
            body: { metadata: { uid: 'other' } },
            path: `${WIDGETS_PATH}/w`,
            method: 'PATCH',
            type: 'application/merge-patch+json',
          },
          409,
          'Conflict',
          /UID in precondition: other/,
        ],
        [
          {
            body: { metadata: { name: 'v' } },
            path: `${WIDGETS_PATH}/w`,
            method: 'PATCH',
            type: 'application/merge-patch+json',
          },
          400,
          'BadRequest',
          /cannot be changed/,
        ],
        [
          {
            body: 'null',
            path: `${WIDGETS_PATH}/w`,
            method: 'PATCH',
            type: 'application/merge-patch+json',
          },
          400,
          'BadRequest',
          /not leave an object/,
        ],
        [
          { body: {}, path: `${WIDGETS_PATH}/w`, method: 'DELETE', type: 'text/plain' },
          415,
          'UnsupportedMediaType',
          /json/,
        ],
        [
          { method: 'DELETE', path: '/api/v1/namespaces/default' },
          403,
          'Forbidden',
          /may not be deleted/,
        ],
      ]
    for (const [{ path = WIDGETS_PATH, ...options }, status, reason, message] of cases) {
      const answer = await ask(cluster, path, options)
      const shown = `${path} ${JSON.stringify(options).slice(0, 100)} ${answer.text.slice(0, 300)}`
      assert.equal(answer.status, status, shown)
      assert.equal(answer.body['reason'], reason, shown)
      assert.match(String(answer.body['message']), message, shown)
      assert.equal(answer.body['code'], status, shown)
    }
    assert.equal((await cluster.client.get(WIDGETS, 'default', 'w')).metadata.generation, 1)
    assert.equal(({} as { a?: unknown }).a, undefined)
  })
})

test('unknown fields are refused, warned of or dropped, as the client asks', async () => {
  await withCluster(async (cluster) => {
    const body = { metadata: { name: 'w' }, spec: { size: 1, bogus: 2 } }
    const strict = await ask(cluster, `${WIDGETS_PATH}?fieldValidation=Strict`, { body })
    assert.equal(strict.status, 400)
    assert.match(
      String(strict.body['message']),
      /strict decoding error: unknown field "spec\.bogus"$/,
    )
    const warn = await ask(cluster, `${WIDGETS_PATH}?dryRun=All`, { body })
    assert.equal(warn.headers['warning'], '299 - "unknown field \\"spec.bogus\\""')
    const ignore = await ask(cluster, `${WIDGETS_PATH}?fieldValidation=Ignore`, { body })
    assert.equal(ignore.headers['warning'], undefined)
    assert.deepEqual(ignore.body['spec'], { size: 1, color: 'red' })
  })
})

test('generations, versions and status follow the rules', async () => {
  await withCluster(async ({ client }) => {
    const created = await client.create(WIDGETS, {
      ...widget('w', { size: 1 }),
      status: { phase: 'Ignored' },
    })
    assert.equal(created['status'], undefined)
    const again = await client.mergePatch(WIDGETS, 'default', 'w', { spec: { size: 1 } })
    assert.equal(again.metadata.resourceVersion, created.metadata.resourceVersion)
    const labelled = await client.mergePatch(WIDGETS, 'default', 'w', {
      metadata: { labels: { a: 'b' } },
      status: { phase: 'Ignored' },
    })
    assert.equal(labelled.metadata.generation, 1)
    assert.equal(labelled['status'], undefined)
    assert.notEqual(labelled.metadata.resourceVersion, created.metadata.resourceVersion)
    const replaced = await client.replace(
      WIDGETS,
      { ...labelled, spec: { size: 5 }, status: { phase: 'Ready', count: 1 } },
      { subresource: 'status' },
    )
    assert.deepEqual(replaced['status'], { phase: 'Ready', count: 1 })
    assert.deepEqual(replaced['spec'], { size: 1, color: 'red' })
    const changed = await client.mergePatch(WIDGETS, 'default', 'w', { spec: { size: 2 } })
    assert.equal(changed.metadata.generation, 2)
    assert.deepEqual(changed['status'], { phase: 'Ready', count: 1 })
    for (const field of ['uid', 'creationTimestamp'] as const) {
      assert.equal(changed.metadata[field], created.metadata[field])
    }
  })
})

test('a finalizer keeps an object until it is taken away', async () => {
  await withCluster(async ({ client }) => {
    const object = widget('w')
    object.metadata['finalizers'] = ['demo.weir.example/keep']
    await client.create(WIDGETS, object)
    await client.delete(WIDGETS, 'default', 'w')
    const kept = await client.get(WIDGETS, 'default', 'w')
    assert.ok(kept.metadata.deletionTimestamp)
    assert.equal(kept.metadata.generation, 2)
    const more = client.mergePatch(WIDGETS, 'default', 'w', {
      metadata: { finalizers: ['a/b', 'demo.weir.example/keep'] },
    })
    await assert.rejects(more, { code: 'KUBE_INVALID' })
    await client.mergePatch(WIDGETS, 'default', 'w', { metadata: { finalizers: null } })
    await assert.rejects(client.get(WIDGETS, 'default', 'w'), { code: 'KUBE_NOT_FOUND' })
  })
})

test('a namespace goes with all that is in it', async () => {
  await withCluster(async ({ client }) => {
    await client.create(NAMESPACES, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'n' },
    })
    const made = await client.get(NAMESPACES, undefined, 'n')
    assert.deepEqual(made['status'], { phase: 'Active' })
    await client.create(WIDGETS, widget('w', {}, 'n'))
    await client.create(WIDGETS, widget('w'))
    await client.delete(NAMESPACES, undefined, 'n')
    const { items } = await client.list(WIDGETS)
    assert.deepEqual(
      items.map((item) => item.metadata.namespace),
      ['default'],
    )
    const system = await client.get(NAMESPACES, undefined, 'kube-system')
    assert.match(system.metadata.uid ?? '', /^[0-9a-f-]{36}$/)
  })
})

test('all objects of a collection are deleted at once, and no selector is overlooked', async () => {
  await withCluster(async (cluster) => {
    for (const name of ['a', 'b']) await cluster.client.create(WIDGETS, widget(name))
    for (const query of ['?labelSelector=a%3Db', '?fieldSelector=metadata.name%3Da']) {
      assert.equal((await ask(cluster, WIDGETS_PATH + query, { method: 'DELETE' })).status, 400)
    }
    assert.equal((await ask(cluster, WIDGETS_PATH, { method: 'DELETE' })).status, 200)
    assert.deepEqual((await cluster.client.list(WIDGETS)).items, [])
  })
})

test('a name is made from generateName', async () => {
  await withCluster(async ({ client }) => {
    const object = widget('')
    object.metadata = { name: '', generateName: 'w-', namespace: 'default' }
    const made = await client.create(WIDGETS, object)
    assert.match(made.metadata.name, /^w-[a-z0-9]{5}$/)
  })
})

test('an event must lie beside what it is about', async () => {
  await withCluster(async ({ client }) => {
    const event = (namespace: string, about: JsonObject) => ({
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: 'e', namespace },
      involvedObject: about,
    })
    await assert.rejects(client.create(EVENTS, event('default', { namespace: 'kube-system' })), {
      code: 'KUBE_INVALID',
    })
    await client.create(EVENTS, event('default', { namespace: 'default' }))
  })
})
