/**
 * The metrics that every program has: ledger, pressure, counters, parts, process.
 *
 * Series are summed per term and never split by peer; all names and label values come from the program.
 */
import type { Ledger } from '../bounds/index.ts'
import type { Counters, Heartbeats } from '../runtime/index.ts'
import type { Exposition, Sample } from './exposition.ts'
import type { LoopWatch } from './loop-watch.ts'

/** Parts beyond these have no series of their own; the readiness check knows them all the same. */
const PARTS_MAX = 64

export function collectLedger(exposition: Exposition, ledger: Ledger): void {
  const { plan, pressure } = ledger
  const rows = [...ledger.rows()]
  const perTerm = (read: (row: (typeof rows)[number]) => number): Sample[] =>
    rows.map((row) => ({ labels: [['term', row.term.name]], value: read(row) }))
  const gauge = (name: string, help: string, samples: Iterable<Sample>) =>
    exposition.family(name, 'gauge', help, samples)
  gauge('memory_plan_bytes', 'Parts of the memory plan.', [
    { labels: [['part', 'accounts']], value: plan.accountBytes },
    { labels: [['part', 'program']], value: plan.floorBytes },
    { labels: [['part', 'garbage']], value: plan.garbageBytes },
    { labels: [['part', 'total']], value: plan.totalBytes },
  ])
  gauge('memory_limit_bytes', 'The limit that the plan was made for.', [{ value: plan.limitBytes }])
  gauge('memory_accounts_bytes', 'What all accounts hold.', [{ value: ledger.costBytes }])
  gauge('memory_accounts_peak_bytes', 'The most that all accounts have held.', [
    { value: ledger.peakCostBytes },
  ])
  gauge('memory_pressure_level', '0 normal, 1 tight, 2 severe, 3 critical.', [
    { value: pressure.level },
  ])
  gauge(
    'memory_pressure_share',
    'Share of its limit that each source of pressure uses.',
    pressure.causes.map(({ source, used, limit }) => ({
      labels: [['source', source]],
      value: limit > 0 ? used / limit : 0,
    })),
  )
  gauge(
    'memory_term_bytes',
    'What a term costs now.',
    perTerm((row) => row.costBytes),
  )
  gauge(
    'memory_term_planned_bytes',
    'What the plan has for a term.',
    perTerm((row) => row.plannedBytes),
  )
  gauge(
    'memory_term_peak_bytes',
    'The most that a term has cost.',
    perTerm((row) => row.peakCostBytes),
  )
  gauge(
    'memory_term_entries',
    'Entries of a term.',
    perTerm((row) => row.entries),
  )
  gauge(
    'memory_term_entries_max',
    'The most entries of a term, all instances together.',
    perTerm((row) => row.term.entriesMax * row.term.instancesMax),
  )
  exposition.family(
    'memory_refused_total',
    'counter',
    'Charges that were refused, by what stood in the way.',
    rows.flatMap((row) => perReason(row.term.name, 'reason', row.refused)),
  )
  exposition.family(
    'memory_exits_total',
    'counter',
    'Entries that left, by why.',
    // Most terms have one or two ways out; the others would be a thousand lines of zero.
    rows.flatMap((row) =>
      perReason(row.term.name, 'why', row.exits).filter((sample) => sample.value > 0),
    ),
  )
}

function perReason(
  term: string,
  label: string,
  counts: Readonly<Record<string, number>>,
): Sample[] {
  return Object.entries(counts).map(([reason, value]) => ({
    labels: [
      ['term', term],
      [label, reason],
    ],
    value,
  }))
}

export function collectCounters(exposition: Exposition, counters: Counters): void {
  for (const { name, help, value } of counters) exposition.value(name, 'counter', help, value)
}

export function collectParts(exposition: Exposition, heartbeats: Heartbeats): void {
  const samples: { readonly labels: readonly (readonly [string, string])[]; value: number }[] = []
  for (const heartbeat of heartbeats) {
    const healthy = heartbeat.problem() === undefined ? 1 : 0
    const known = samples.find((sample) => sample.labels[0]![1] === heartbeat.name)
    if (known) known.value = Math.min(known.value, healthy)
    else if (samples.length < PARTS_MAX) {
      samples.push({ labels: [['part', heartbeat.name]], value: healthy })
    }
  }
  exposition.family(
    'part_healthy',
    'gauge',
    'Whether a part of the program makes progress.',
    samples,
  )
}

export function collectProcess(exposition: Exposition, loop: LoopWatch | undefined): void {
  const { rss, heapUsed, heapTotal, external, arrayBuffers } = process.memoryUsage()
  const cpu = process.cpuUsage()
  const plain = ''
  const gauge = (name: string, help: string, value: number) =>
    exposition.value(name, 'gauge', help, value, plain)
  exposition.value(
    'process_cpu_seconds_total',
    'counter',
    'User and system time.',
    (cpu.user + cpu.system) / 1e6,
    plain,
  )
  const started = Math.round(Date.now() / 1000 - process.uptime())
  gauge('process_start_time_seconds', 'When the process started.', started)
  gauge('process_resident_memory_bytes', 'Resident set.', rss)
  gauge('nodejs_heap_size_used_bytes', 'Heap in use.', heapUsed)
  gauge('nodejs_heap_size_total_bytes', 'Heap that is committed.', heapTotal)
  gauge('nodejs_external_memory_bytes', 'Outside the heap, held by objects in it.', external)
  gauge('nodejs_array_buffers_bytes', 'Array buffers; part of external.', arrayBuffers)
  if (!loop) return
  exposition.value('event_loop_delay_ms', 'gauge', 'Last delay of the event loop.', loop.delayMs)
}
