import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { KeyPair } from '../core/index.ts'
import { isWeirError } from '../runtime/index.ts'
import { FixedAddresses } from './addresses.ts'
import { loadPackage, loadTransport, type TransportName } from './load.ts'

test('the memory transport is there by name, and its endpoints meet', async () => {
  const planned = (await loadTransport('memory')).plan({ endpointsMax: 2 })
  await withLedger(planned.terms, async (ledger, scope) => {
    const open = () =>
      planned.open({
        scope,
        ledger,
        keyPair: KeyPair.generate(),
        lookup: new FixedAddresses([]),
        protocols: [Uint8Array.of(1)],
      })
    const [a, b] = [await open(), await open()]
    const dial = a.connect(b.nodeId, Uint8Array.of(1), { addresses: b.localAddresses })
    for await (const incoming of b.incoming) {
      const into = await incoming.accept()
      assert.deepEqual(into.nodeId, a.nodeId)
      break
    }
    await dial
  })
})

test('QUIC is there by name, without another package', async () => {
  const transport = await loadTransport('quic')
  assert.equal(transport.name, 'quic')
  assert.ok(transport.plan({ endpointsMax: 1 }).terms.length > 0)
})

test('a transport whose package is absent is missing, with what to install', async () => {
  await assert.rejects(loadPackage('weir-mesh-nothing'), (error) => {
    assert.ok(isWeirError(error, 'TRANSPORT_MISSING'))
    assert.match(error.message, /install it/)
    return true
  })
})

test('a package that is no transport is missing as well', async () => {
  await assert.rejects(loadPackage('node:path'), (error) => {
    assert.ok(isWeirError(error, 'TRANSPORT_MISSING'))
    return true
  })
})

test('an unknown name is missing', async () => {
  await assert.rejects(loadTransport('pigeon' as TransportName), (error) =>
    isWeirError(error, 'TRANSPORT_MISSING'),
  )
})
