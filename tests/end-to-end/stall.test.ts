/** A part that stands still makes /readyz fail, with a counter and a line in the log; the rest keeps answering. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createLogger } from 'weir-mesh/runtime'
import { WIDGETS, widget } from '../../packages/mesh-controller/src/api-server/testing.ts'
import {
  Controller,
  type ControllerOptions,
  planController,
  readConfig,
} from '../../packages/mesh-controller/src/app/index.ts'
import { MeshUnderTest } from '../mesh.ts'
import { until } from '../processes.ts'

type Faults = NonNullable<ControllerOptions['faults']>

/** What the readiness check promises; the machine that runs this may be slow. */
const FOUND_MS = 2 * 10_000

const PARTS = Object.freeze(['apply-queue', 'own-log', 'sync-delivery', 'kube-watch'] as const)

test('each part that stalls is found by the readiness check, counted and logged', async () => {
  const mesh = await MeshUnderTest.open(2)
  const [stalled, other] = mesh.zones as [(typeof mesh.zones)[0], (typeof mesh.zones)[0]]
  const held = new Set<string>()
  const log: string[] = []
  const release = Promise.withResolvers<void>()
  const hold = (part: (typeof PARTS)[number]) => () =>
    held.has(part) ? release.promise : Promise.resolve()
  const faults: Faults = {
    apply: hold('apply-queue'),
    ownLog: hold('own-log'),
    deliver: hold('sync-delivery'),
    watch: hold('kube-watch'),
  }
  const path = join(mesh.folder, 'stalled.yaml')
  writeFileSync(path, stalled.config(mesh.others(stalled)))
  const config = await readConfig(path)
  const controller = await Controller.open({
    config,
    planned: await planController(config),
    log: createLogger({ write: (line) => void log.push(line) }),
    faults,
  })
  try {
    mesh.start(other)
    await until('the other zone is ready', async () => (await other.readiness()) === 'ok')
    await until('this one is ready', async () => (await stalled.readiness()) === 'ok')
    await until('they are joined', async () => (await stalled.metric('sync_sessions')) > 0)

    // Each part gets work that the parts before it have let through.
    held.add('apply-queue').add('own-log')
    await other.cluster.client.create(WIDGETS, widget('other-1'))
    await stalled.cluster.client.create(WIDGETS, widget('own-1'))
    await until('a write waits', async () => (await stalled.metric('mesh_pending')) > 0)
    await until('an operation waits', async () => (await stalled.metric('mesh_queued')) > 0)
    held.add('sync-delivery').add('kube-watch')
    await other.cluster.client.create(WIDGETS, widget('other-2'))
    await stalled.cluster.client.create(WIDGETS, widget('own-2'))

    for (const part of PARTS) {
      await until(
        `${part} is found`,
        async () => (await stalled.readiness()).includes(part),
        FOUND_MS,
      )
    }
    await until('they are counted', async () => (await stalled.metric('part_problems_total')) >= 4)
    for (const part of PARTS) {
      const told = log.filter((line) => line.includes('part of the program has a problem'))
      assert.ok(
        told.some((line) => line.includes(part)),
        `${part}:\n${told.join('\n')}`,
      )
    }
    assert.equal(await other.readiness(), 'ok')

    held.clear()
    release.resolve()
    await until('all is well again', async () => (await stalled.readiness()) === 'ok')
    for (const { cluster } of mesh.zones) {
      await until('nothing was lost', async () => {
        return (await cluster.client.list(WIDGETS, { namespace: 'default' })).items.length === 4
      })
    }
  } finally {
    release.resolve()
    await controller.close()
    await mesh.close()
  }
})
