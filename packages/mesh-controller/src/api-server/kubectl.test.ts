import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stringifyJson } from '../kube/index.ts'
import { findKubectls, type Kubectl, KubectlRun } from './kubectl.fixture.ts'
import { until, WIDGETS, widget, widgetDefinition, withCluster } from './testing.ts'

const found = await findKubectls()

/** What Debian 12 has; it is the oldest that is promised. */
const OLDEST = '1.20'

test(`kubectl of this machine: ${found.map((one) => one.version).join(', ') || 'none'}`, (t) => {
  if (found.length === 0) t.skip('no kubectl is on PATH, in WEIR_KUBECTL or in the cache')
})

test(`kubectl ${OLDEST}`, (t) => {
  if (found.some((one) => one.version === OLDEST)) return
  t.skip(`kubectl ${OLDEST} is not on this machine: package kubernetes-client of Debian 12 has it`)
})

for (const kubectl of found) {
  test(`kubectl ${kubectl.version}: get, create, apply, patch, delete, watch`, () =>
    basics(kubectl))
  test(`kubectl ${kubectl.version}: what is refused is refused in words`, () => refusals(kubectl))
}

async function basics(kubectl: Kubectl): Promise<void> {
  await withCluster(async (cluster) => {
    await using run = await KubectlRun.open(kubectl, cluster.server)
    const ok = async (args: readonly string[], input?: string) => {
      const result = await run.run(args, input)
      assert.equal(result.code, 0, `${args.join(' ')}: ${result.err}`)
      return result.out
    }
    const gadgets = stringifyJson(widgetDefinition())
      .replaceAll('widget', 'gadget')
      .replaceAll('Widget', 'Gadget')
      .replace('"wd"', '"gd"')
    assert.match(await ok(['apply', '-f', '-'], gadgets), /gadgets\.demo\.weir\.example created/)
    assert.match(await ok(['get', 'crd']), /gadgets\.demo\.weir\.example/)
    const watching = run.start(['get', 'widgets', '-w'])
    await until('the watch is open', () => cluster.server.watchers === 1)
    const yaml = (size: number) =>
      `apiVersion: demo.weir.example/v1\nkind: Widget\nmetadata:\n  name: w1\nspec:\n  size: ${size}\n`
    assert.match(
      await ok(['create', '-f', '-'], stringifyJson(widget('w0', { size: 7 }))),
      /created/,
    )
    assert.match(await ok(['apply', '-f', '-'], yaml(1)), /w1 created/)
    assert.match(await ok(['apply', '-f', '-'], yaml(1)), /w1 unchanged/)
    assert.match(await ok(['apply', '-f', '-'], yaml(2)), /w1 configured/)
    assert.match(
      await ok(['get', 'wd']),
      /NAME\s+SIZE\s+COLOR\s+AGE\nw0\s+7\s+red\s+\d+s\nw1\s+2\s+red/,
    )
    const patch = '{"spec":{"color":"blue"}}'
    assert.match(await ok(['patch', 'widget', 'w1', '--type', 'merge', '-p', patch]), /patched/)
    const spec = [
      'get',
      'widget',
      'w1',
      '-o',
      'jsonpath={.spec.size} {.spec.color} {.metadata.generation}',
    ]
    assert.equal(await ok(spec), '2 blue 3')
    assert.match(await ok(['describe', 'widget', 'w1']), /Color:\s+blue[\s\S]*Events:\s+<none>/)
    assert.match(
      await ok(['get', 'widgets', '-A', '-o', 'name']),
      /widget\.demo\.weir\.example\/w0\n.*\/w1/,
    )
    const namespace = '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"other"}}'
    assert.match(await ok(['apply', '-f', '-'], namespace), /namespace\/other created/)
    assert.match(await ok(['get', 'ns']), /other\s+Active/)
    assert.match(await ok(['delete', 'ns', 'other']), /deleted/)
    assert.match(await ok(['delete', 'widget', 'w1']), /"w1" deleted/)
    assert.match(await ok(['delete', 'widgets', '--all']), /"w0" deleted/)
    await until('the watch has shown all', () =>
      /w0[\s\S]*w1\s+1[\s\S]*w1\s+2[\s\S]*w1\s+2\s+blue/.test(watching.text()),
    )
    await watching.end()
    assert.deepEqual((await cluster.client.list(WIDGETS)).items, [])
  })
}

async function refusals(kubectl: Kubectl): Promise<void> {
  await withCluster(async (cluster) => {
    await using run = await KubectlRun.open(kubectl, cluster.server)
    const fails = async (args: readonly string[], message: RegExp, input?: string) => {
      const result = await run.run(args, input)
      assert.notEqual(result.code, 0, args.join(' '))
      assert.match(result.err, message, args.join(' '))
    }
    await cluster.client.create(WIDGETS, widget('w', { size: 1 }))
    const json = (object: unknown) => stringifyJson(object)
    await fails(['get', 'widget', 'none'], /widgets\.demo\.weir\.example "none" not found/)
    await fails(['create', '-f', '-'], /already exists/, json(widget('w')))
    await fails(
      ['create', '-f', '-'],
      /spec\.size: Invalid value: -1/,
      json(widget('x', { size: -1 })),
    )
    await fails(
      ['patch', 'widget', 'w', '-p', '{"spec":{"size":2}}'],
      /unknown format|not supported/,
    )
    await fails(
      ['apply', '--server-side', '-f', '-'],
      /[Ss]erver-side apply|unknown format/,
      json(widget('w')),
    )
    await fails(['get', 'widgets', '-l', 'a=b'], /label selectors are not supported/)
    await fails(['get', 'gadgets'], /the server doesn't have a resource type "gadgets"/)
    await fails(['--token', 'wrong', 'get', 'widgets'], /Unauthorized|must be logged in/)
  })
}
