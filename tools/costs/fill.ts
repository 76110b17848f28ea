/**
 * The child of `npm run costs`: fills the accounts of one case and tells what one of them plans and takes.
 *
 * The first few fillings warm up code, feedback and hidden classes; then both sides are measured after forced
 * collections. What belongs to other terms is built as often on its own and taken off.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import {
  type Account,
  type CostCase,
  forceCollection,
  Ledger,
  planMemory,
  type Term,
  tableBytes,
  trimNativeHeap,
} from 'weir-mesh/bounds'

const MIB = 2 ** 20
/** A filling ends within this share of the payload's cap. */
const FILLED = 0.95
const INSTANCES_MAX = 50_000
/** So much is planned at least: above the noise of the heap, and of the resident set. */
const HEAP_BYTES = 8 * MIB
const RESIDENT_BYTES = 32 * MIB
const WARM_UPS = 3
/**
 * And of many small ones so many for each that counts: code and feedback of the first dozen took 60 kB, 0.7 % of what is
 * measured, and the allocator has places left by loading.
 */
const WARM_UP_SHARE = 0.5

export interface Outcome {
  readonly arena: string
  readonly instances: number
  readonly plannedBytes: number
  readonly measuredBytes: number
}

export async function casesOf(file: string): Promise<readonly CostCase[]> {
  const loaded = (await import(pathToFileURL(file).href)) as { costs?: readonly CostCase[] }
  if (!loaded.costs) throw new Error(`${file} exports no 'costs'.`)
  return loaded.costs
}

export async function measureCase(each: CostCase): Promise<Outcome> {
  const { term } = each
  const resident = each.resident ?? term.arena === 'native'
  const plannedBytes =
    tableBytes(term.entriesMax, term.table) +
    term.entriesMax * term.shellBytes +
    term.payloadBytesMax
  const enough = Math.ceil((resident ? RESIDENT_BYTES : HEAP_BYTES) / plannedBytes)
  const instances = Math.min(each.instances ?? enough, INSTANCES_MAX)
  const warmUps = each.warmUps ?? Math.ceil(Math.max(WARM_UPS, instances * WARM_UP_SHARE))
  const counts = { warmUps, instances, resident }
  const ledger = ledgerFor(term, warmUps + instances)
  const [own] = ledger.plan.rows.map((row) => row.term)
  const accounts: Account[] = []
  const fill = (index: number) => {
    const account = ledger.require(own!)
    accounts.push(account)
    return each.fill(account, index)
  }
  const filledBytes = await grownBytes(fill, counts)
  for (const account of accounts) checkFilled(account)
  const { beside } = each
  const besideBytes = beside ? await grownBytes(beside, counts) : 0
  const measuredBytes = (filledBytes - besideBytes) / instances
  return { arena: resident ? 'native' : term.arena, instances, plannedBytes, measuredBytes }
}

interface Counts {
  readonly warmUps: number
  readonly instances: number
  readonly resident: boolean
}

/** What so many builds take, after a few that warm up. */
async function grownBytes(
  build: (index: number) => unknown,
  { warmUps, instances, resident }: Counts,
): Promise<number> {
  const kept: unknown[] = new Array(warmUps + instances)
  for (let at = 0; at < warmUps; at++) kept[at] = await build(at)
  const before = await settledBytes(resident)
  for (let at = warmUps; at < kept.length; at++) kept[at] = await build(at)
  const after = await settledBytes(resident)
  keepAlive.push(kept)
  return after - before
}

/** Nothing may be collected before all is measured. */
const keepAlive: unknown[] = []

/** A ledger over a copy of the term with room for all fillings, and with so much beside that there is no pressure. */
function ledgerFor(term: Term, instances: number): Ledger {
  const pool = term.pool && { ...term.pool, payloadBytesMax: instances * term.payloadBytesMax }
  const copy: Term = { ...term, instancesMax: instances, pool }
  const spare: Term = {
    ...term,
    name: 'cost.spare',
    table: 'none',
    entriesMax: 0,
    instancesMax: 1,
    pool: undefined,
    payloadBytesMax: 2 ** 40,
  }
  return new Ledger(planMemory([copy, spare], { limitBytes: 2 ** 42 }))
}

function checkFilled(account: Account): void {
  const { entriesMax, payloadBytesMax, name } = account.term
  if (account.entries === entriesMax && account.bytes >= FILLED * payloadBytesMax) return
  throw new Error(
    `${name} is not filled: ${account.entries} of ${entriesMax} entries, ${account.bytes} of ${payloadBytesMax} bytes`,
  )
}

/**
 * Heap with everything outside that it accounts for. For native objects, which it does not see, the resident set, with
 * what the heap uses in the place of what it has committed: that holds garbage too.
 */
async function settledBytes(resident: boolean): Promise<number> {
  for (let round = 0; round < 4; round++) {
    forceCollection()
    await sleep(10)
  }
  // What is free and stays resident is taken by one filling and not by the next.
  if (resident) trimNativeHeap()
  const { rss, heapUsed, heapTotal, external } = process.memoryUsage()
  return resident ? rss - heapTotal + heapUsed : heapUsed + external
}
