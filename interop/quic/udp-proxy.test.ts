/** The bad network itself: without weather it changes nothing, and with a seed it always does the same. */
import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { UdpProxy, type Weather } from './udp-proxy.ts'

async function socket(): Promise<Socket> {
  const made = createSocket('udp4')
  await new Promise<void>((resolve) => made.bind(0, '127.0.0.1', resolve))
  return made
}

/** Sends numbered datagrams through a proxy. @returns what arrived, in order, and the proxy's tally */
async function through(weather: Weather, count: number) {
  const [client, server] = [await socket(), await socket()]
  const came: number[] = []
  server.on('message', (bytes) => came.push(bytes.readUInt16LE(0)))
  await using proxy = await UdpProxy.open(`127.0.0.1:${server.address().port}`, weather)
  const port = Number(proxy.address.split(':')[1])
  for (let number = 0; number < count; number++) {
    const bytes = Buffer.alloc(100)
    bytes.writeUInt16LE(number)
    client.send(bytes, port, '127.0.0.1')
    // A turn of the loop for each few: none is lost in a full socket, which would not be the weather's doing.
    if (number % 8 === 0) await new Promise(setImmediate)
  }
  const { toServer } = proxy
  const due = () => (weather.late === 1 ? 0 : count - toServer.lost + toServer.twice)
  const arrived = () => toServer.came === count && came.length >= due()
  for (let round = 0; round < 400 && !arrived(); round++) {
    await sleep(5)
  }
  await sleep(20)
  client.close()
  server.close()
  return { came, toServer: { ...toServer } }
}

test('without weather all datagrams arrive in order, once', async () => {
  const { came, toServer } = await through({}, 200)
  assert.deepEqual(came, [...Array(200).keys()])
  assert.deepEqual(toServer, { came: 200, lost: 0, twice: 0, late: 0, overflow: 0 })
})

test('the same seed loses, doubles and holds the same datagrams', async () => {
  const weather = { seed: 7, loss: 0.05, twice: 0.05, late: 0.1 }
  const [one, two] = [await through(weather, 400), await through(weather, 400)]
  assert.deepEqual(one.toServer, two.toServer)
  assert.deepEqual(new Set(one.came), new Set(two.came))
  const { lost, twice, late } = one.toServer
  assert.ok(lost > 5 && twice > 5 && late > 10, JSON.stringify(one.toServer))
  assert.equal(one.came.length, 400 - lost + twice)
  assert.notDeepEqual(
    one.came,
    [...one.came].sort((a, b) => a - b),
  )
  const other = await through({ ...weather, seed: 8 }, 400)
  assert.notDeepEqual(new Set(other.came), new Set(one.came))
})

test('what does not fit beside those that wait is lost and counted', async () => {
  const { came, toServer } = await through({ late: 1, holdMs: 3_000, seed: 1 }, 1_100)
  assert.equal(came.length, 0)
  assert.equal(toServer.overflow, 1_100 - 1_024)
})

test('a client that has moved is heard from another port, and answered there', async () => {
  const [client, server] = [await socket(), await socket()]
  const from: number[] = []
  server.on('message', (bytes, { port }) => {
    from.push(port)
    server.send(bytes, port, '127.0.0.1')
  })
  await using proxy = await UdpProxy.open(`127.0.0.1:${server.address().port}`)
  const port = Number(proxy.address.split(':')[1])
  const ask = async () => {
    const answer = new Promise((resolve) => client.once('message', resolve))
    client.send('?', port, '127.0.0.1')
    await answer
  }
  await ask()
  await proxy.move()
  assert.equal(proxy.sinceMove, 0)
  await ask()
  assert.equal(from.length, 2)
  assert.notEqual(from[0], from[1])
  assert.equal(proxy.clientAddress, `127.0.0.1:${from[1]}`)
  assert.equal(proxy.sinceMove, 1)
  client.close()
  server.close()
})
