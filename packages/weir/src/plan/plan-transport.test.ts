import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isWeirError } from '../runtime/index.ts'
import { loadTransport, type TransportName } from '../transport/index.ts'
import { planTransport } from './index.ts'

for (const name of ['quic', 'memory'] as const) {
  test(`the plan of ${name} has the terms of the transport that is loaded by this name`, async () => {
    const limits = { endpointsMax: 1, connectionsMax: 10 }
    const planned = await planTransport(name, limits)
    const loaded = (await loadTransport(name)).plan(limits)
    assert.equal(planned.name, name)
    assert.deepEqual(planned.terms, loaded.terms)
  })
}

test('an unknown transport is missing', async () => {
  await assert.rejects(planTransport('pigeon' as TransportName), (error) =>
    isWeirError(error, 'TRANSPORT_MISSING'),
  )
})
