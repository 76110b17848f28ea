import assert from 'node:assert/strict'
import type { NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import test from 'node:test'
import { ManualClock } from '../../runtime/index.ts'
import { datagramBytesTo, InterfaceMtu } from './interface-mtu.ts'

const address = (internal: boolean) => [{ internal } as NetworkInterfaceInfo]
const interfaces: typeof networkInterfaces = () => ({
  lo: address(true),
  eth0: address(false),
  eth1: address(false),
})
const mtus: Readonly<Record<string, number>> = { lo: 65_536, eth0: 9_000, eth1: 1_500 }
const mtuOf = (name: string) => mtus[name]

test('to this machine the MTU of the loopback counts, to others the narrowest there is', () => {
  assert.equal(datagramBytesTo('127.0.0.1', interfaces, mtuOf), 65_536 - 28)
  assert.equal(datagramBytesTo('::1', interfaces, mtuOf), 65_536 - 48)
  assert.equal(datagramBytesTo('192.0.2.1', interfaces, mtuOf), 1_472)
  assert.equal(datagramBytesTo('2001:db8::1', interfaces, mtuOf), 1_452)
})

test('where the system does not say it, 1200 bytes are all', () => {
  const partly = (name: string) => (name === 'eth1' ? undefined : mtus[name])
  assert.equal(datagramBytesTo('192.0.2.1', interfaces, partly), 1_200)
  assert.equal(
    datagramBytesTo('127.0.0.1', interfaces, () => undefined),
    1_200,
  )
  assert.equal(
    datagramBytesTo('127.0.0.1', () => ({}), mtuOf),
    1_200,
  )
  // A tunnel that carries less than QUIC needs is not our choice to make.
  assert.equal(
    datagramBytesTo('192.0.2.1', interfaces, () => 1_000),
    1_200,
  )
})

test('the system is asked once a minute for each kind of address, however many connections there are', () => {
  const clock = new ManualClock()
  const asked: string[] = []
  const mtu = new InterfaceMtu(clock, (host) => asked.push(host) + 1_200)
  for (let each = 0; each < 1_000; each++) assert.equal(mtu.bytesTo(`127.0.0.${each % 250}`), 1_201)
  assert.equal(mtu.bytesTo('192.0.2.1'), 1_202)
  assert.equal(mtu.bytesTo('::1'), 1_203)
  assert.equal(mtu.bytesTo('2001:db8::1'), 1_204)
  assert.equal(asked.length, 4)
  clock.advance(60_000)
  assert.equal(mtu.bytesTo('127.0.0.1'), 1_205)
})
