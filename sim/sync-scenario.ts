/**
 * One run of log sync between a few nodes under faults drawn from a seed, and what must hold.
 *
 * Safety, at every step: accounts within the plan; no operation delivered twice or out of the order of its log.
 * Liveness, at every step: time passes. When the faults have ended: within minutes every node has every operation and
 * every consumer got it; when nothing is on its way any more, nothing is left in any queue, and each pair of nodes is
 * down to one session.
 */
import assert from 'node:assert/strict'
import { idKey, type NodeId } from 'weir-mesh/core'
import type { SyncLimits, SyncReport } from 'weir-mesh/sync'
import { keys, LOG, type Logs, logsOf, NODES_MAX, TOPIC } from './logs.ts'
import { logName } from './sim-store.ts'
import { SimNode } from './sync-node.ts'
import { CALM, limitsOf, temperOf } from './temper.ts'
import { World } from './world.ts'

const FAULTS_END_MS = 20_000
const QUIET_MS = 1_800_000
/** By when all have all, the faults being over: a stalled session is given up, and its peer dialled again. */
const HEALED_MS = 180_000
/** How many of the seeds have large bodies: hashing them costs as much as all the rest of a run. */
const LARGE_SHARE = 0.5

export interface Faults {
  /** The n-th effect of the whole run fails; none by default. */
  readonly failAt?: number
  /** No losses, restarts or delays beyond the usual: for the failpoint sweep. */
  readonly calm?: boolean
  readonly nodes?: number
  readonly operations?: number
  /** Else drawn. */
  readonly bodies?: 'small' | 'large'
  /** Hears, in words, what happens. */
  readonly trace?: (line: string) => void
}

export interface Outcome {
  readonly digest: string
  readonly steps: number
  /** Effects that could have failed. */
  readonly effects: number
  readonly delivered: number
  readonly sessions: number
  readonly resyncs: number
  readonly held: number
  readonly overflow: number
  readonly duplicates: number
  /** The most events and effects without time passing. */
  readonly still: number
  /** From the end of the faults until the last operation was kept or delivered, in ms. */
  readonly restMs: number
}

export function runSync(seed: number, faults: Faults = {}): Outcome {
  return new Scenario(seed, faults).run()
}

class Scenario {
  readonly #world: World
  readonly #faults: Faults
  readonly #nodes: SimNode[] = []
  readonly #byId = new Map<string, SimNode>()
  readonly #logs: Logs
  readonly #pruned: boolean
  readonly #limits: SyncLimits
  readonly #published: number[] = []
  readonly #quota: number[] = []
  readonly #restarting = new Set<SimNode>()
  readonly #cut = new Set<string>()
  readonly #baseMs: number
  readonly #jitterMs: number
  #effects = 0
  #over = false
  #restMs = 0

  constructor(seed: number, faults: Faults) {
    this.#world = new World(seed)
    this.#faults = faults
    const { random } = this.#world
    this.#pruned = this.#world.chance(0.3)
    const drawn = this.#world.chance(LARGE_SHARE) ? 'large' : 'small'
    const bodies = faults.bodies ?? (faults.calm ? 'small' : drawn)
    this.#logs = logsOf(bodies, this.#pruned)
    this.#limits = limitsOf(bodies, this.#world)
    this.#baseMs = this.#world.ms(0.05, 40)
    this.#jitterMs = this.#world.ms(0, 40)
    const count = faults.nodes ?? 2 + random.below(NODES_MAX - 1)
    for (let at = 0; at < count; at++) this.#nodes.push(this.#node(at))
    for (const node of this.#nodes) this.#byId.set(idKey(node.id), node)
    this.#world.check = () => this.#check()
  }

  #node(at: number): SimNode {
    const world = this.#world
    const key = keys[at]!
    return new SimNode({
      world,
      name: `node ${at}`,
      id: key.id,
      topic: TOPIC,
      limits: this.#limits,
      temper: this.#faults.calm ? CALM : temperOf(world),
      pruned: this.#pruned,
      calmed: () => this.#over,
      delayMs: (to) =>
        this.#cut.has(`${at} ${to.name}`) ? undefined : this.#baseMs + world.ms(0, this.#jitterMs),
      find: (id) => this.#byId.get(idKey(id)),
      fails: () => this.#fails(),
      signed: () => true,
      onReport: (from, report) => this.#tell(from, report.type, report),
    })
  }

  #tell(node: SimNode, what: string, report?: SyncReport): void {
    const { trace } = this.#faults
    if (!trace) return
    const peer = report && 'peer' in report && report.peer && this.#byId.get(idKey(report.peer))
    const { peer: _, ...rest } = { peer: undefined, ...report }
    const at = (this.#world.now / 1000).toFixed(3)
    trace(
      `${at} ${node.name} ${what} ${peer ? peer.name : ''} ${report ? JSON.stringify(rest) : ''}`,
    )
  }

  #fails(): boolean {
    const at = this.#effects++
    if (this.#over) return false
    if (this.#faults.failAt !== undefined) return at === this.#faults.failAt
    return !this.#faults.calm && this.#world.chance(0.01)
  }

  run(): Outcome {
    const world = this.#world
    for (const node of this.#nodes) node.start()
    this.#connect()
    for (const [at, node] of this.#nodes.entries()) this.#author(at, node)
    if (!this.#faults.calm) this.#trouble()
    world.run(FAULTS_END_MS)
    this.#over = true
    this.#cut.clear()
    assert.ok(world.run(QUIET_MS), 'the nodes never come to rest')
    const last = Math.max(...this.#nodes.map(({ progressAt }) => progressAt))
    this.#restMs = Math.max(Math.round(last / 1000) - FAULTS_END_MS, 0)
    assert.ok(this.#restMs < HEALED_MS, `it takes ${this.#restMs} ms until all have all`)
    this.#checkRest()
    return this.#finish()
  }

  /** A tree that spans all nodes, each edge dialled by one side or by both, and a few edges more. */
  #connect(): void {
    const { random } = this.#world
    for (let at = 1; at < this.#nodes.length; at++) {
      this.#edge(this.#nodes[at]!, this.#nodes[random.below(at)]!)
      if (this.#world.chance(0.4)) this.#edge(this.#nodes[at]!, this.#nodes[random.below(at)]!)
    }
  }

  #edge(a: SimNode, b: SimNode): void {
    const how = this.#world.random.below(3)
    // Both at once is what two nodes with each other in their config do.
    if (how !== 1) a.want(b.id)
    if (how !== 0) b.want(a.id)
  }

  /** Has part of its log in its store already, and publishes the rest over time. */
  #author(at: number, node: SimNode): void {
    const { random } = this.#world
    const quota = this.#faults.operations ?? random.below(this.#logs[at]!.length + 1)
    const first = random.below(quota + 1)
    this.#quota[at] = quota
    this.#published[at] = 0
    // The machine asks for heights when it starts, so these come through it too.
    const spread = this.#world.ms(1, 8_000)
    const next = () => {
      const done = this.#published[at]!
      if (done >= quota) return
      const retry = () => this.#world.after(this.#world.ms(50, 500), next)
      if (!node.running || !node.machine.loaded) return retry()
      // A node that lost its store writes on only when it has its own log back.
      if (node.store.height(this.#name(at)) !== done - 1) return retry()
      node.publish(this.#logs[at]![done]!, (result) => {
        if (result !== 'kept' && result !== 'duplicate') return retry()
        this.#published[at] = Math.max(this.#published[at]!, done + 1)
        if (done < first) next()
        else this.#world.after(this.#world.ms(0, spread / 10), next)
      })
      // An answer that never comes (the node was restarted) is asked for again.
      this.#world.after(15_000, () => {
        if (this.#published[at] === done) next()
      })
    }
    this.#world.after(this.#world.ms(0, 50), next)
  }

  #name(at: number): string {
    return logName({ author: keys[at]!.id as NodeId, logId: LOG })
  }

  #trouble(): void {
    const world = this.#world
    const events = world.random.below(8)
    for (let count = 0; count < events; count++) {
      world.after(world.ms(0, FAULTS_END_MS - 2_000), () => this.#mishap())
    }
  }

  #mishap(): void {
    const world = this.#world
    const at = world.random.below(this.#nodes.length)
    const node = this.#nodes[at]!
    const what = world.random.below(10)
    if (what < 5) {
      const ends = [...node.ends]
      const end = ends[world.random.below(Math.max(ends.length, 1))]
      if (end) node.cut(end)
      this.#tell(node, `link cut: ${end?.other?.node.name}`)
      return
    }
    if (what < 7) {
      const other = this.#nodes[world.random.below(this.#nodes.length)]!
      const name = `${at} ${other.name}`
      this.#cut.add(name)
      this.#tell(node, `nothing gets through to ${other.name}`)
      world.after(world.ms(10, 3_000), () => this.#cut.delete(name))
      return
    }
    if (!node.running || this.#restarting.has(node)) return
    this.#restarting.add(node)
    // What only this node has must not get lost for ever, or there is nothing to agree on.
    const lost = what === 9 && this.#elsewhere(at)
    node.stop(!lost)
    this.#tell(node, lost ? 'stops, its store is lost' : 'stops')
    world.after(world.ms(10, 5_000), () => {
      this.#restarting.delete(node)
      this.#tell(node, 'starts')
      node.start()
    })
  }

  /** Whether every log is whole in some other store, so that nothing is gone for ever with this one. */
  #elsewhere(at: number): boolean {
    const whole = (node: SimNode, log: number) =>
      node.store.height(this.#name(log)) >= this.#published[log]! - 1
    const others = this.#nodes.filter((_, other) => other !== at)
    const logs = [...this.#nodes.keys()]
    return (
      others.every((node) => node.running) &&
      logs.every((log) => others.some((node) => whole(node, log))) &&
      this.#nodes[at]!.store.height(this.#name(at)) === this.#published[at]! - 1
    )
  }

  #check(): void {
    for (const { ledger, running, name } of this.#nodes) {
      if (!running) continue
      const { costBytes, plan } = ledger
      assert.ok(costBytes <= plan.accountBytes, `${name}: ${costBytes} of ${plan.accountBytes}`)
    }
  }

  #checkRest(): void {
    for (const node of this.#nodes) {
      const { ingest, held, locks, deliver, settled } = node.machine.backlog
      assert.deepEqual(
        { name: node.name, ingest, locks, deliver, settled },
        { name: node.name, ingest: 0, locks: 0, deliver: 0, settled: true },
      )
      assert.equal(held, 0, `${node.name} holds ${held} operations`)
      for (const at of this.#nodes.keys()) {
        assert.equal(this.#published[at], this.#quota[at], `node ${at} could not publish all`)
        const height = node.store.height(this.#name(at))
        assert.equal(height, this.#quota[at]! - 1, `${node.name} has ${height} of node ${at}`)
        const got = node.delivered.get(this.#name(at)) ?? -1
        if (this.#nodes[at] !== node) assert.equal(got, height, `${node.name} was given ${got}`)
      }
      for (const peer of node.machine.peers()) {
        assert.ok(peer.live, `${node.name} has a session that is not live`)
        assert.equal(peer.sessions, 1, `${node.name} has two sessions with a peer`)
        assert.equal(peer.queued, 0)
      }
    }
  }

  #finish(): Outcome {
    const world = this.#world
    const sum = (name: string) =>
      this.#nodes.reduce((total, node) => total + node.counters.value(`sync_${name}_total`), 0)
    for (const node of this.#nodes) {
      node.machine.digest(world.digest.fold)
      world.digest.fold(node.deliveredCount)
      node.stop(true)
    }
    return {
      digest: world.digest.toString(),
      steps: world.steps,
      effects: this.#effects,
      delivered: this.#nodes.reduce((total, node) => total + node.deliveredCount, 0),
      sessions: sum('sessions'),
      resyncs: sum('resyncs'),
      held: sum('gaps'),
      overflow: sum('overflow'),
      duplicates: sum('duplicates'),
      still: world.stillMost,
      restMs: this.#restMs,
    }
  }
}
