/** Namespaces that may not be read: the rest is replicated, and nothing of them is deleted anywhere. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DirectMesh, type DirectZone } from '../../testing/direct-mesh.ts'
import { findWidget, until, WIDGETS, widget } from '../api-server/testing.ts'
import { NAMESPACES } from '../kube/index.ts'

const NAMED = Object.freeze(['default', 'closed'])

const has = async ({ cluster }: DirectZone, namespace: string, name: string) =>
  (await findWidget(cluster.client, name, namespace)) !== undefined

const make = ({ cluster }: DirectZone, namespace: string, name: string, note = '') =>
  cluster.client.create(WIDGETS, widget(name, { note }, namespace))

const remove = ({ cluster }: DirectZone, namespace: string, name: string) =>
  cluster.client.delete(WIDGETS, namespace, name)

/** From here on a zone may not read these namespaces. */
function close({ cluster }: DirectZone, ...namespaces: string[]): void {
  cluster.faults = ({ method, path }) =>
    method === 'GET' && namespaces.some((each) => path.endsWith(`/namespaces/${each}/widgets`))
      ? { status: 403 }
      : undefined
  cluster.server.cutWatches()
}

/** Two zones with two namespaces and an object in each, which both have. */
async function withTwo(run: (a: DirectZone, b: DirectZone) => Promise<void>): Promise<void> {
  const mesh = await DirectMesh.open(2, { namespaces: NAMED })
  try {
    const [a, b] = mesh.zones as [DirectZone, DirectZone]
    for (const { cluster } of [a, b]) {
      await cluster.client.create(NAMESPACES, {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name: 'closed' },
      })
    }
    for (const name of ['kept', 'gone']) {
      for (const namespace of NAMED) await make(a, namespace, name)
      for (const namespace of NAMED)
        await until(`${namespace} ${name}`, () => has(b, namespace, name))
    }
    await until('both are well', () => !a.replication.problem && !b.replication.problem)
    await run(a, b)
  } finally {
    await mesh.close()
  }
}

const TOLD =
  /^widgets in the namespace closed cannot be read \(KUBE_FORBIDDEN: .*no role here\): give .* list and watch .* the rest is replicated/

test('a namespace that is refused at the start holds up no other, and is not deleted in other zones', () =>
  withTwo(async (a, b) => {
    await a.stop()
    await remove(a, 'closed', 'gone')
    close(a, 'closed')
    a.restart()
    await until('it is told', () => TOLD.test(a.replication.problem ?? ''))
    assert.deepEqual(a.replication.status.refused, ['widgets in the namespace closed'])
    await make(a, 'default', 'new')
    await make(b, 'default', 'of-b')
    await until('made', async () => (await has(b, 'default', 'new')) && has(a, 'default', 'of-b'))
    // Said by name, so it need not wait for the end of the snapshot.
    await remove(a, 'default', 'gone')
    await remove(b, 'default', 'of-b')
    await until(
      'deleted',
      async () => !(await has(b, 'default', 'gone')) && !(await has(a, 'default', 'of-b')),
    )
    assert.equal(b.replication.status.zones[0]!.complete, false)
    assert.equal(a.replication.status.snapshots, 0)
    for (const name of ['kept', 'gone']) assert.ok(await has(b, 'closed', name), name)
    assert.match(a.replication.problem ?? '', TOLD)
    assert.ok(a.lines.some((line) => line.includes('a snapshot cannot end yet')))
    const told = a.lines.filter((line) => line.includes('a kind or namespace is refused'))
    assert.equal(told.length, 1)
    assert.match(told[0]!, /"error".*widgets in the namespace closed cannot be read/)
    a.cluster.faults = undefined
    await until('it is well', () => a.replication.problem === undefined)
    await until('what went is gone', async () => !(await has(b, 'closed', 'gone')))
    for (const namespace of NAMED) assert.ok(await has(b, namespace, 'kept'), namespace)
    assert.deepEqual(a.replication.status.refused, [])
    assert.equal(b.replication.status.zones[0]!.complete, true)
  }))

test('a namespace that is refused later holds up no other, and the log is still made short', () =>
  withTwo(async (a, b) => {
    close(a, 'closed')
    await until('it is told', () => TOLD.test(a.replication.problem ?? ''))
    const text = 'x'.repeat(20_000)
    for (let at = 0; at < 20; at++) await make(a, 'default', `w${at}`, text)
    for (let at = 0; at < 20; at++) await remove(a, 'default', `w${at}`)
    await remove(a, 'closed', 'gone')
    await until('deleted', async () => !(await has(b, 'default', 'w19')))
    const kept = ({ ledger }: DirectZone) =>
      [...ledger.rows()].find(({ term }) => term.name === 'store.bytes')!.bytes
    assert.ok(kept(b) > 400_000)
    const { ownSequence } = a.replication.status
    a.replication.shortenLog()
    await until('it is short', () => kept(b) < 100_000)
    // The begin and one chunk, and then the end waits without writing the rest again and again.
    await until('it is written', () => a.replication.status.ownSequence === ownSequence + 2)
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    assert.equal(a.replication.status.ownSequence, ownSequence + 2)
    assert.equal(a.replication.status.snapshots, 1)
    for (const name of ['kept', 'gone']) assert.ok(await has(b, 'closed', name), name)
    // Another one begins in its place when there is reason.
    for (let at = 0; at < 20; at++) await make(a, 'default', `v${at}`, text)
    for (let at = 0; at < 20; at++) await remove(a, 'default', `v${at}`)
    await until('deleted', async () => !(await has(b, 'default', 'v19')))
    a.replication.shortenLog()
    await until('it is short again', () => kept(b) < 100_000)
    a.cluster.faults = undefined
    await until('it is well', () => a.replication.problem === undefined)
    await until('it was ended', () => a.replication.status.snapshots === 2)
    await until('what went is gone', async () => !(await has(b, 'closed', 'gone')))
    for (const namespace of NAMED) assert.ok(await has(b, namespace, 'kept'), namespace)
  }))

test('a permission to list that is taken while the watch goes on is told by the next snapshot', () =>
  withTwo(async (a, b) => {
    a.cluster.faults = ({ method, path, watch }) =>
      method === 'GET' && !watch && path.endsWith('/namespaces/closed/widgets')
        ? { status: 403 }
        : undefined
    const text = 'x'.repeat(20_000)
    for (let at = 0; at < 20; at++) await make(a, 'default', `w${at}`, text)
    for (let at = 0; at < 20; at++) await remove(a, 'default', `w${at}`)
    await until('deleted', async () => !(await has(b, 'default', 'w19')))
    a.replication.shortenLog()
    await until('it is told', () => TOLD.test(a.replication.problem ?? ''))
    assert.deepEqual(a.replication.status.refused, ['widgets in the namespace closed'])
    // The watch goes on, so what it tells is replicated.
    await remove(a, 'closed', 'gone')
    await until('deleted', async () => !(await has(b, 'closed', 'gone')))
    a.cluster.faults = undefined
    await until('it is well', () => a.replication.problem === undefined)
    await until('it has ended', () => a.replication.status.snapshots === 2)
    assert.ok(await has(b, 'closed', 'kept'))
  }))

test('a zone that may read nothing says nothing', () =>
  withTwo(async (a, b) => {
    await a.stop()
    close(a, ...NAMED)
    a.restart()
    await until('both are refused', () => a.replication.status.refused.length === 2)
    const failures = () => a.counters.value('kube_watch_failures_total')
    await until('they were asked again', () => failures() > 3)
    assert.equal(a.replication.status.ownSequence, 0)
    assert.equal(b.replication.status.zones[0]!.incarnation, 1)
    a.cluster.faults = undefined
    await until('it is well', () => a.replication.problem === undefined)
    for (const namespace of NAMED) assert.ok(await has(b, namespace, 'kept'), namespace)
  }))
