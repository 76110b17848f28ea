/**
 * `npm run interop -- --measure`: figures of Weir with a Rust peer on loopback, over its own QUIC and over
 * the iroh binding in turns.
 *
 * Each runs in a process of its own, so that the peak is its own. Figures are for reading; nothing fails because of
 * them.
 */
import { spawnSync } from 'node:child_process'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { idHex } from 'weir-mesh/core'
import { Counters, Scope } from 'weir-mesh/runtime'
import type { StoredOperation } from 'weir-mesh/store'
import { RustPeer } from './rust-peer.ts'
import {
  madeAt,
  nowMicros,
  peerArgument,
  planWeir,
  RUST,
  TRANSPORT,
  until,
  WeirPeer,
} from './weir-peer.ts'

const OPERATIONS = 10_000
const LIVE = 300
const MIB = 1024 * 1024

type Measure = () => Promise<string>

const MEASURES: Readonly<Record<string, Measure>> = Object.freeze({
  'Weir pulls 10 000 x 1 KiB from Rust': weirPulls,
  'Rust pulls 10 000 x 1 KiB from Weir': rustPulls,
  'live 1 KiB, Rust to Weir, one per 5 ms': liveToWeir,
  'live 1 KiB, Weir to Rust, one per 5 ms': liveToRust,
})

const [chosen] = process.argv.slice(2)
if (chosen === undefined) runAll()
else {
  const figure = await MEASURES[chosen]!()
  const peak = (process.resourceUsage().maxRSS / 1024).toFixed(0)
  console.log(`${TRANSPORT}: ${chosen}: ${figure}; Weir process peak ${peak} MiB`)
}

function runAll(): void {
  for (const name of Object.keys(MEASURES)) {
    for (const transport of ['quic', 'iroh']) {
      const { status } = spawnSync(
        process.execPath,
        ['--conditions=weir-source', '--expose-gc', import.meta.filename, name],
        {
          stdio: 'inherit',
          timeout: 120_000,
          env: { ...process.env, WEIR_INTEROP_TRANSPORT: transport },
        },
      )
      if (status !== 0) process.exitCode = 1
    }
  }
}

async function withWeir(
  run: (weir: WeirPeer) => Promise<string>,
  onOperation?: (operation: StoredOperation) => void,
): Promise<string> {
  const plan = planWeir()
  const counters = new Counters()
  const ledger = new Ledger(planMemory(plan.terms, { limitBytes: Number.MAX_SAFE_INTEGER }), {
    counters,
  })
  const scope = new Scope('measure', { counters })
  try {
    const weir = await WeirPeer.open({
      ...{ plan, ledger, scope },
      ...(onOperation ? { onOperation } : {}),
    })
    return await run(weir)
  } finally {
    await scope.close()
  }
}

function weirPulls(): Promise<string> {
  return withWeir(async (weir) => {
    await using rust = await RustPeer.start('serve', { ...RUST, prefill: OPERATIONS, size: 1_024 })
    const before = process.memoryUsage.rss()
    const cpu = process.cpuUsage()
    const start = performance.now()
    weir.connect(rust)
    await until(() => weir.taken === OPERATIONS)
    return rate(start, cpu, before)
  })
}

function rustPulls(): Promise<string> {
  return withWeir(async (weir) => {
    await weir.fill(OPERATIONS)
    const cpu = process.cpuUsage()
    const before = process.memoryUsage.rss()
    const start = performance.now()
    await using rust = await RustPeer.start('pull', { ...RUST, peer: peerArgument(weir) })
    const line = await rust.line('sync_finished')
    const counts = await rust.end()
    const ms = Number(line['ms'])
    const inside = `${((OPERATIONS / ms) * 1_000).toFixed(0)} ops/s as Rust counts`
    return `${inside}; with process start ${rate(start, cpu, before)}; Rust peak ${(counts.peak_rss_kib / 1_024).toFixed(0)} MiB`
  })
}

function rate(start: number, cpu: NodeJS.CpuUsage, rssBefore: number): string {
  const seconds = (performance.now() - start) / 1_000
  const { user, system } = process.cpuUsage(cpu)
  const grown = ((process.memoryUsage.rss() - rssBefore) / MIB).toFixed(0)
  const perOperation = ((user + system) / OPERATIONS).toFixed(0)
  return `${(OPERATIONS / seconds).toFixed(0)} ops/s, ${perOperation} µs of CPU each, RSS +${grown} MiB`
}

function liveToWeir(): Promise<string> {
  const ages: number[] = []
  return withWeir(
    async (weir) => {
      await using rust = await RustPeer.start('serve', { ...RUST })
      weir.connect(rust)
      await until(() => weir.all('live').length === 1)
      await rust.line('live_started')
      rust.say(`publish ${LIVE} 1024 5`)
      await until(() => weir.taken === LIVE)
      return spread(ages)
    },
    (operation) => {
      ages.push(nowMicros() - madeAt(operation))
    },
  )
}

function liveToRust(): Promise<string> {
  return withWeir(async (weir) => {
    await using rust = await RustPeer.start('serve', { ...RUST })
    weir.connect(rust)
    await until(() => weir.all('live').length === 1)
    await rust.line('live_started')
    for (let count = 0; count < LIVE; count++) {
      await weir.publish(1)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const author = idHex(weir.id)
    await rust.line('operation', (line) => line['author'] === author && line['seq'] === LIVE - 1)
    return spread(rust.all('operation').map((line) => Number(line['age_us'])))
  })
}

function spread(micros: readonly number[]): string {
  const sorted = [...micros].sort((a, b) => a - b)
  const at = (share: number) =>
    (sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)]! / 1_000).toFixed(2)
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`
}
