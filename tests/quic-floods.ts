/**
 * Peers that mean ill, at length: floods against an endpoint in a process of its own, with an honest connection beside
 * them that must keep working. The accounts must stay within the plan and the resident set within its total.
 *
 *     node tools/with-node.js tests/quic-floods.ts                   20 000 packets of each flood, 100 000 spoofed Initials
 *     node tools/with-node.js tests/quic-floods.ts --packets 1000 --initials 5000 --handshakes 500
 *     node tools/with-node.js tests/quic-floods.ts --only gaps
 *
 * The sources of spoofed Initials are addresses of 127/8, one socket each; so it runs on Linux.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { KeyPair, type NodeId } from 'weir-mesh/core'
import { Scope, seededRandom } from 'weir-mesh/runtime'
import { type Connection, FixedAddresses, parseAddress } from 'weir-mesh/transport'
import { mebibytes, memoryOf, resetPeak } from '../bench/proc.ts'
import { spoofedInitial } from '../packages/weir/src/quic/endpoint.fixture.ts'
import { FLOODS, flood } from '../packages/weir/src/quic/floods.fixture.ts'
import { Attacker } from '../packages/weir/src/quic/hostile.fixture.ts'
import { tlsSecurity } from '../packages/weir/src/quic/security.ts'
import { quicTransport } from '../packages/weir/src/quic/transport.ts'
import { PROTOCOL, type ServerReport, serverPlan } from './quic-server.ts'

const { values } = parseArgs({
  options: {
    packets: { type: 'string', default: '20000' },
    initials: { type: 'string', default: '100000' },
    handshakes: { type: 'string', default: '2000' },
    only: { type: 'string', default: '' },
  },
})
const IDLE_MS = 30_000
const security = tlsSecurity()
/** Another one for each attacker: those of one seed would be one connection. */
let seed = 0

interface Victim {
  readonly child: ChildProcess
  readonly node: NodeId
  readonly address: string
}

interface Attack {
  readonly name: string
  run(victim: Victim): Promise<void>
}

async function main(): Promise<number> {
  const { plan } = serverPlan()
  const victim = await start(plan.v8Flags)
  const scope = new Scope('honest')
  const planned = quicTransport.plan()
  const ledger = new Ledger(planMemory(planned.terms, { limitBytes: 2 ** 40 }))
  const endpoint = await planned.open({
    ...{ scope, ledger, keyPair: KeyPair.generate(), protocols: [PROTOCOL] },
    lookup: new FixedAddresses([]),
  })
  console.log(
    `plan: accounts ${mebibytes(plan.accountBytes)} MiB, with the program ${mebibytes(plan.totalBytes)} MiB`,
  )
  let failed = 0
  try {
    const honest = await endpoint.connect(victim.node, PROTOCOL, { addresses: [victim.address] })
    await echo(honest)
    for (const attack of attacks()) {
      if (!attack.name.includes(values.only)) continue
      if (!(await survives(victim, honest, attack, plan.totalBytes))) failed++
    }
    honest.close()
    // Attackers say no goodbye: their connections end by their idle timeout.
    await sleep(IDLE_MS + 5_000)
    const report = await ask(victim, 'collect')
    const held = Object.entries(report.entries).filter(
      ([name, entries]) => entries > 0 && !STANDING.includes(name),
    )
    console.log(held.length === 0 ? 'nothing is left' : `left: ${JSON.stringify(held)}`)
    if (held.length > 0) failed++
  } finally {
    await scope.close()
    victim.child.disconnect()
  }
  console.log(failed === 0 ? 'held' : `${failed} NOT HELD`)
  return failed === 0 ? 0 : 1
}

/** Slabs of the endpoint itself. */
const STANDING: readonly string[] = Object.freeze(['quic.farewells', 'quic.datagrams'])

async function survives(
  victim: Victim,
  honest: Connection,
  attack: Attack,
  totalBytes: number,
): Promise<boolean> {
  const pid = victim.child.pid!
  resetPeak(pid)
  const began = performance.now()
  let rounds = 0
  let broken: unknown
  let over = false
  const work = (async () => {
    while (!over && !broken) {
      await echo(honest).catch((error: unknown) => {
        broken = error
      })
      rounds++
      await sleep(5)
    }
  })()
  await attack.run(victim)
  over = true
  await work
  const seconds = (performance.now() - began) / 1000
  const report = await ask(victim, 'report')
  const { peak } = memoryOf(pid)
  const good = !broken && rounds > 0 && report.over.length === 0 && peak <= totalBytes
  const cells = [
    `${seconds.toFixed(1)} s`,
    `honest rounds ${rounds}`,
    `accounts at most ${mebibytes(report.peakAccountBytes)} MiB`,
    `RSS at most ${mebibytes(peak)} MiB`,
  ]
  console.log(`${good ? 'held  ' : 'BROKEN'} ${attack.name}: ${cells.join(', ')}`)
  if (broken) console.log(`       the honest connection: ${String(broken)}`)
  if (report.over.length > 0) console.log(`       over the plan: ${report.over.join(', ')}`)
  return good
}

function* attacks(): Generator<Attack> {
  yield { name: 'spoofed Initials, each from another address of 127/8', run: spoof }
  yield { name: 'noise', run: noise }
  yield { name: 'handshakes that are begun and left', run: leave }
  for (const each of FLOODS) {
    yield {
      name: each.name,
      async run(victim) {
        const packets = Number(values.packets)
        // One after the other: where the first packets end the connection, another one takes its place.
        for (let sent = 0; sent < packets; ) {
          await using attacker = await Attacker.open({ security, ...victim, seed: ++seed })
          for (let wait = 0; wait < 600 && !attacker.up && !attacker.end; wait++) {
            if (wait % 100 === 99) attacker.wake()
            await sleep(5)
          }
          if (!attacker.up) continue
          const burst = each.ends ? 200 : packets
          await flood(attacker, each, burst, sent)
          sent += burst
        }
      },
    }
  }
}

async function spoof({ address }: Victim): Promise<void> {
  const { host, port } = parseAddress(address)
  const count = Number(values.initials)
  const together = 64
  for (let first = 0; first < count; first += together) {
    const sockets = Array.from({ length: together }, () => createSocket('udp4'))
    const each = async (socket: (typeof sockets)[number], index: number) => {
      const source = first + index
      const own = `127.${1 + ((source >> 16) & 127)}.${(source >> 8) & 255}.${source & 255}`
      await new Promise<void>((bound) => socket.bind(0, own, bound))
      await new Promise((sent) => socket.send(spoofedInitial(source), port, host, sent))
      await new Promise<void>((closed) => socket.close(() => closed()))
    }
    await Promise.all(sockets.map(each))
    // All of that happened within one turn of the event loop; the honest connection lives in the same process.
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function noise({ address }: Victim): Promise<void> {
  const { host, port } = parseAddress(address)
  const random = seededRandom(3)
  const socket = createSocket('udp4')
  for (let each = 0; each < Number(values.packets); each++) {
    const bytes = random.bytes(1 + random.below(each % 3 === 0 ? 60 : 1_500))
    if (bytes.length > 5 && each % 2 === 0) bytes.set([0x80 | bytes[0]!, 0, 0, 0, 1], 0)
    await new Promise((sent) => socket.send(bytes, port, host, sent))
    if (each % 16 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await new Promise<void>((closed) => socket.close(() => closed()))
}

async function leave(victim: Victim): Promise<void> {
  for (let each = 0; each < Number(values.handshakes); each++) {
    const host = `127.2.${(each >> 8) & 255}.${each & 255}`
    await using _ = await Attacker.open({ security, ...victim, seed: ++seed, mute: true, host })
    await sleep(1)
  }
}

/** Sends a kilobyte and waits until it is back. */
async function echo(connection: Connection): Promise<void> {
  const bytes = seededRandom(1).bytes(1_000)
  const { send, receive } = await connection.openBi()
  const write = send.write(bytes).then(() => send.finish())
  const parts: Uint8Array[] = []
  for await (const part of receive) parts.push(part)
  await write
  if (!Buffer.concat(parts).equals(bytes)) throw new Error('other bytes came back')
}

async function start(flags: readonly string[]): Promise<Victim> {
  const child = fork(join(import.meta.dirname, 'quic-server.ts'), {
    execArgv: ['--conditions=weir-source', ...flags],
    env: { ...process.env, WEIR_ASSERT: '0' },
  })
  const hello = await answer<{ node: number[]; address: string }>(child)
  return { child, node: Uint8Array.from(hello.node) as NodeId, address: hello.address }
}

function ask({ child }: Victim, question: string): Promise<ServerReport> {
  child.send(question)
  return answer<ServerReport>(child)
}

function answer<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (code: unknown) => reject(new Error(`the server ended: ${String(code)}`))
    child.once('exit', ended)
    child.once('message', (message) => {
      child.off('exit', ended)
      resolve(message as T)
    })
  })
}

process.exitCode = await main()
