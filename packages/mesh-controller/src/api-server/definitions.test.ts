import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CUSTOM_RESOURCE_DEFINITIONS, type JsonObject } from '../kube/index.ts'
import { ask, WIDGETS, WIDGETS_PATH, widget, widgetDefinition, withCluster } from './testing.ts'

test('tables have the columns of the definition', async () => {
  await withCluster(async (cluster) => {
    await cluster.client.create(WIDGETS, widget('w', { size: 3 }))
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io'
    const { body } = await ask(cluster, WIDGETS_PATH, { accept })
    assert.equal(body['kind'], 'Table')
    assert.deepEqual(
      (body['columnDefinitions'] as JsonObject[]).map((column) => column['name']),
      ['Name', 'Size', 'Color', 'Age'],
    )
    const [row] = body['rows'] as JsonObject[]
    assert.deepEqual((row!['cells'] as unknown[]).slice(0, 3), ['w', 3, 'red'])
    assert.equal((row!['object'] as JsonObject)['kind'], 'PartialObjectMetadata')
    const one = await ask(cluster, `${WIDGETS_PATH}/w?includeObject=Object`, { accept })
    assert.equal(((one.body['rows'] as JsonObject[])[0]!['object'] as JsonObject)['kind'], 'Widget')
    const none = await ask(cluster, `${WIDGETS_PATH}/w?includeObject=None`, { accept })
    assert.equal((none.body['rows'] as JsonObject[])[0]?.['object'], undefined)
    const partial = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io'
    assert.equal(
      (await ask(cluster, WIDGETS_PATH, { accept: partial })).body['kind'],
      'PartialObjectMetadataList',
    )
  })
})

test('definitions are checked, served at once, changed and removed with their objects', async () => {
  await withCluster(async (cluster) => {
    const { client } = cluster
    const gadget = (more: JsonObject = {}): JsonObject => {
      const definition = JSON.parse(
        JSON.stringify(widgetDefinition())
          .replaceAll('widget', 'gadget')
          .replaceAll('Widget', 'Gadget'),
      ) as JsonObject
      return { ...definition, spec: { ...(definition['spec'] as JsonObject), ...more } }
    }
    const create = (definition: JsonObject) =>
      client.create(CUSTOM_RESOURCE_DEFINITIONS, definition as never)
    const version = { name: 'v1', served: true, storage: true }
    const bad: readonly (readonly [JsonObject, RegExp])[] = [
      [{ ...gadget(), metadata: { name: 'other' } }, /must be spec.names.plural/],
      [gadget({ scope: 'Galaxy' }), /supported values: "Cluster", "Namespaced"/],
      [gadget({ versions: [] }), /spec\.versions: Required value/],
      [gadget({ versions: [version] }), /openAPIV3Schema: Required value/],
      [
        gadget({ versions: [{ ...version, schema: { openAPIV3Schema: { type: 'string' } } }] }),
        /must be object at the root/,
      ],
      [
        gadget({
          versions: [
            { ...version, storage: false, schema: { openAPIV3Schema: { type: 'object' } } },
          ],
        }),
        /exactly one version/,
      ],
      [
        gadget({
          versions: [
            {
              ...version,
              schema: {
                openAPIV3Schema: {
                  type: 'object',
                  properties: { a: { type: 'string', pattern: '(' } },
                },
              },
            },
          ],
        }),
        /openAPIV3Schema: Invalid value/,
      ],
      [gadget({ group: 'apiextensions.k8s.io' }), /group/],
    ]
    for (const [definition, message] of bad) {
      await assert.rejects(create(definition), (error: Error) => message.test(error.message))
    }
    const created = await create(gadget())
    const conditions = (created['status'] as { conditions: JsonObject[] }).conditions
    assert.deepEqual(
      conditions.map((one) => `${one['type']}=${one['status']}`),
      ['NamesAccepted=True', 'Established=True'],
    )
    const gadgets = await client.findResource('demo.weir.example', 'v1', 'Gadget')
    await client.create(gadgets, { ...widget('g', { size: 1 }), kind: 'Gadget' })
    const { text: cel } = await ask(
      cluster,
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gadgets.demo.weir.example',
      {
        method: 'PATCH',
        type: 'application/json-patch+json',
        body: [
          {
            op: 'add',
            path: '/spec/versions/0/schema/openAPIV3Schema/properties/spec/required',
            value: ['note'],
          },
        ],
      },
    )
    assert.match(cel, /"required":\["note"\]/)
    const missing = client.create(gadgets, { ...widget('h', { size: 1 }), kind: 'Gadget' })
    await assert.rejects(missing, { code: 'KUBE_INVALID' })
    await client.delete(CUSTOM_RESOURCE_DEFINITIONS, undefined, 'gadgets.demo.weir.example')
    await assert.rejects(client.findResource('demo.weir.example', 'v1', 'Gadget'), {
      code: 'KUBE_KIND_UNKNOWN',
    })
    await create(gadget())
    assert.deepEqual((await client.list(gadgets)).items, [])
  })
})

test('a definition may serve several versions of the same objects', async () => {
  await withCluster(async ({ client, server }) => {
    const definition = widgetDefinition()
    const spec = definition['spec'] as { versions: JsonObject[] }
    spec.versions.push({ ...spec.versions[0], name: 'v2', storage: false })
    server.define(definition)
    await client.create(WIDGETS, widget('w', { size: 1 }))
    const second = { ...WIDGETS, version: 'v2' }
    const read = await client.get(second, 'default', 'w')
    assert.equal(read.apiVersion, 'demo.weir.example/v2')
    await client.mergePatch(second, 'default', 'w', { spec: { size: 2 } })
    const first = await client.get(WIDGETS, 'default', 'w')
    assert.equal(first.apiVersion, 'demo.weir.example/v1')
    assert.deepEqual(first['spec'], { size: 2, color: 'red' })
    assert.equal(first.metadata.generation, 2)
  })
})
