/**
 * The library without a cluster: catch-up of a log between two processes over the memory backend, next to what verifying
 * its signatures alone takes in the same run.
 */
import { join } from 'node:path'
import { Child } from './children.ts'
import { Folder } from './folder.ts'
import { type Context, type Measure, median } from './measure.ts'
import { cpuOf } from './proc.ts'

interface Timed {
  readonly wallUs: number
  readonly cpuUs: number
  /** How long a thread of the pool had nothing to do; 0 without a pool. */
  readonly idleUs: number
}

/** What a child says of one round, per operation. */
export interface LibraryRound {
  readonly verify: Timed
  readonly catchUp: Timed
}

interface Mode {
  readonly name: string
  readonly mode: 'here' | 'pool'
  /** Threads of Node's pool. */
  readonly threads: number
  readonly target: boolean
}

const BYTES = 1_024
const CHILD = join(import.meta.dirname, 'library-child.ts')
/** Below this share the library costs more than the signatures explain. */
const SHARE_LEAST = 85

const MODES: readonly Mode[] = Object.freeze([
  { name: 'one verifying thread', mode: 'pool', threads: 1, target: true },
  { name: 'all in one thread', mode: 'here', threads: 1, target: false },
  { name: 'pool of 4 threads', mode: 'pool', threads: 4, target: false },
])

export async function library({ quick, say }: Context): Promise<Measure[]> {
  const operations = quick ? 2_000 : 10_000
  const folder = new Folder()
  const start = (name: string, args: readonly string[], threads = 4) =>
    new Child({
      args: ['--conditions=weir-source', CHILD, ...args],
      logPath: join(folder.path, `${name}.log`),
      env: { UV_THREADPOOL_SIZE: String(threads) },
    })
  const sizes = [String(operations), String(BYTES)]
  const server = start('serve', ['serve', ...sizes])
  try {
    const { port } = JSON.parse(await lineOf(server)) as { port: number }
    const measures: Measure[] = []
    for (const each of MODES) {
      const puller = start(each.name, ['pull', ...sizes, String(port), each.mode], each.threads)
      // The first round compiles; the others take turns with the load of the machine.
      const rounds: LibraryRound[] = []
      const count = quick ? 3 : 6
      const cpuBefore = cpuOf(server.pid)
      for (let at = 0; at < count; at++) {
        puller.write('round')
        const round = JSON.parse(await lineOf(puller)) as LibraryRound
        if (at > 0) rounds.push(round)
      }
      const sendUs = ((cpuOf(server.pid) - cpuBefore) * 1e6) / (count * operations)
      await puller.stop()
      measures.push(...toMeasures(each, operations, rounds, sendUs, say))
    }
    return measures
  } finally {
    await server.stop()
    folder.remove()
  }
}

async function lineOf(child: Child): Promise<string> {
  const line = await child.line()
  if (line === undefined) throw new Error(`a process of the library's bench ended: ${child.end}`)
  return line
}

function toMeasures(
  { name, target }: Mode,
  operations: number,
  rounds: readonly LibraryRound[],
  sendUs: number,
  say: Context['say'],
): Measure[] {
  const of = (value: (round: LibraryRound) => number) => median(rounds.map(value))
  const verify = 1e6 / of((round) => round.verify.wallUs)
  const catchUp = 1e6 / of((round) => round.catchUp.wallUs)
  const share = of((round) => (100 * round.verify.wallUs) / round.catchUp.wallUs)
  const verifyCpuUs = of((round) => round.verify.cpuUs)
  const catchUpCpuUs = of((round) => round.catchUp.cpuUs)
  const idleUs = of((round) => round.catchUp.idleUs)
  const cpu = `CPU per operation: pulling ${Math.round(catchUpCpuUs)} us, verifying alone ${Math.round(verifyCpuUs)} us, sending ${Math.round(sendUs)} us; a verifying thread without work ${idleUs.toFixed(1)} us`
  say(
    `${name}: verify ${Math.round(verify)}/s, catch-up ${Math.round(catchUp)}/s, ${Math.round(share)} %; ${cpu}`,
  )
  const title = `library, ${operations} operations of 1 KiB, ${name}`
  return [
    { name: `${title}: verify alone`, value: verify, unit: 'ops/s', reference: '-' },
    { name: `${title}: catch-up`, value: catchUp, unit: 'ops/s', reference: '-', note: cpu },
    {
      name: `${title}: catch-up of verify rate`,
      value: share,
      unit: '%',
      ...(target ? { target: { least: SHARE_LEAST } } : {}),
      reference: '-',
    },
    {
      // What the busy machine does to both rates is not in it.
      name: `${title}: verifying of the CPU time of a catch-up`,
      value: of((round) => (100 * round.verify.cpuUs) / round.catchUp.cpuUs),
      unit: '%',
      reference: '-',
    },
  ]
}
