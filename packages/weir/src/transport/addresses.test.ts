import assert from 'node:assert/strict'
import test from 'node:test'
import { KeyPair } from '../core/index.ts'
import { isWeirError } from '../runtime/index.ts'
import { FixedAddresses, formatAddress, parseAddress } from './addresses.ts'

test('addresses are IP literals with a port', () => {
  assert.deepEqual(parseAddress('127.0.0.1:9102'), { host: '127.0.0.1', port: 9102 })
  assert.deepEqual(parseAddress('[::1]:0'), { host: '::1', port: 0 })
  for (const address of ['127.0.0.1:9102', '[fe80::1]:65535']) {
    assert.equal(formatAddress(parseAddress(address)), address)
  }
})

test('anything else is refused with what to write', () => {
  const wrong = [
    '',
    ':',
    'localhost:1',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '127.0.0.1:-1',
    '127.0.0.1:1e3',
    '::1:80',
    '[127.0.0.1]:80',
    '[::1]',
    '256.0.0.1:1',
    `${'9'.repeat(10_000)}:1`,
  ]
  for (const address of wrong) {
    assert.throws(
      () => parseAddress(address),
      (error) => isWeirError(error, 'ADDRESS_INVALID') && error.message.length < 250,
      address.slice(0, 30),
    )
  }
})

test('the table gives the addresses of a node, in the order of the configuration', () => {
  const [a, b] = [KeyPair.generate().id, KeyPair.generate().id]
  const table = new FixedAddresses([
    { node: a, addresses: ['127.0.0.1:1', '127.0.0.1:2'] },
    { node: a, addresses: ['127.0.0.1:3'] },
  ])
  assert.deepEqual(table.addresses(a), ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3'])
  assert.deepEqual(table.addresses(b), [])
  assert.throws(
    () => new FixedAddresses([{ node: a, addresses: ['nowhere'] }]),
    (error) => isWeirError(error, 'ADDRESS_INVALID'),
  )
})
