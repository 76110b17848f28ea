/** The reference dies inside in 7 of 40 restarts of a zone that already holds the data. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WIDGETS, widget } from '../../packages/mesh-controller/src/api-server/testing.ts'
import { MeshUnderTest } from '../mesh.ts'
import { until } from '../processes.ts'

const OBJECTS = 200
const RESTARTS = 40

test(`a zone that already holds the data is restarted ${RESTARTS} times and always catches up`, async (context) => {
  const mesh = await MeshUnderTest.open(2)
  try {
    const [a, b] = mesh.zones as [(typeof mesh.zones)[0], (typeof mesh.zones)[0]]
    await mesh.startAll()
    const clients = { a: a.cluster.client, b: b.cluster.client }
    for (let at = 0; at < OBJECTS; at++)
      await clients.a.create(WIDGETS, widget(`w${at}`, { size: at }))
    const inB = async () => (await clients.b.list(WIDGETS, { namespace: 'default' })).items
    await until('all objects in zone-b', async () => (await inB()).length === OBJECTS)
    for (let round = 1; round <= RESTARTS; round++) {
      await b.stop(round % 2 ? 'SIGKILL' : 'SIGTERM')
      await clients.a.delete(WIDGETS, 'default', `w${round - 1}`)
      await clients.a.create(WIDGETS, widget(`new-${round}`, { size: round }))
      if (round % 3 === 0) await clients.b.delete(WIDGETS, 'default', `w${OBJECTS - 1}`)
      mesh.start(b)
      await until(`round ${round}: zone-b caught up`, async () => {
        const names = (await inB()).map(({ metadata }) => metadata.name)
        return (
          names.length === OBJECTS &&
          names.includes(`new-${round}`) &&
          names.includes(`w${OBJECTS - 1}`) &&
          !names.includes(`w${round - 1}`)
        )
      })
    }
    await until('zone-b is ready', async () => (await b.readiness()) === 'ok')
    assert.equal(await a.readiness(), 'ok')
    context.diagnostic(`${RESTARTS} of ${RESTARTS} restarts caught up`)
  } finally {
    await mesh.close()
  }
})
