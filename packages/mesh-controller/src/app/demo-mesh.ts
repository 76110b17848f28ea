/**
 * The zones of a demo, from their folder to the last process: laid out once, started, watched over, and ended.
 *
 * Memory: the terms of `demo-memory.ts`, in the ledger that is made here.
 */
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import type { Scope } from 'weir-mesh/runtime'
import { stringifyJson } from '../kube/index.ts'
import { readConfig } from './config.ts'
import type { DemoChild } from './demo-child.ts'
import { DEMO_LIMIT_BYTES, demoTerms } from './demo-memory.ts'
import { takePorts } from './demo-ports.ts'
import { widget, widgetDefinition } from './demo-widgets.ts'
import { DemoZone, takeSeat } from './demo-zone.ts'
import { planController } from './limits.ts'

export interface DemoMeshOptions {
  readonly scope: Scope
  readonly folder: string
}

const ZONES = Object.freeze(['zone-a', 'zone-b', 'zone-c'])
const PORTS_PER_ZONE = 3

export class DemoMesh {
  readonly folder: string
  readonly scope: Scope
  readonly ledger: Ledger
  readonly terms: ReturnType<typeof demoTerms>
  readonly zones: readonly DemoZone[]
  /** A file with a widget, to be applied by hand. */
  readonly example: string
  readonly tokenFile: string

  private constructor(options: DemoMeshOptions, ports: readonly number[]) {
    const { scope, folder } = options
    this.scope = scope
    this.folder = folder
    this.terms = demoTerms()
    const plan = planMemory(Object.values(this.terms), { limitBytes: DEMO_LIMIT_BYTES })
    this.ledger = new Ledger(plan, { counters: scope.counters })
    const write = (name: string, text: string) => {
      const path = join(folder, name)
      writeFileSync(path, text, { mode: 0o600, flag: 'wx' })
      return path
    }
    const definition = write('widgets.yaml', `${stringifyJson(widgetDefinition())}\n`)
    this.example = write('example.yaml', `${stringifyJson(widget('example', { size: 1 }))}\n`)
    const statusToken = randomBytes(24).toString('base64url')
    this.tokenFile = write('status.token', `${statusToken}\n`)
    const seats = ZONES.map((zone, at) =>
      takeSeat(folder, zone, ports.slice(at * PORTS_PER_ZONE, (at + 1) * PORTS_PER_ZONE)),
    )
    this.zones = Object.freeze(
      seats.map(
        (seat) =>
          new DemoZone({
            scope,
            ledger: this.ledger,
            lines: this.terms.lines,
            seat,
            others: seats.filter((other) => other !== seat),
            definition,
            statusToken,
            statusTokenFile: this.tokenFile,
          }),
      ),
    )
  }

  /** Lays the zones out and plans them; nothing runs yet. */
  static async prepare(options: DemoMeshOptions): Promise<DemoMesh> {
    const mesh = new DemoMesh(options, await takePorts(ZONES.length * PORTS_PER_ZONE))
    for (const zone of mesh.zones) {
      const { plan, limits } = await planController(await readConfig(zone.config))
      zone.plan = plan
      zone.objectsMax = limits.mesh.objectsMax
    }
    return mesh
  }

  zone(name: string): DemoZone {
    return this.zones.find((zone) => zone.name === name)!
  }

  /** All processes that there are. */
  *children(): IterableIterator<DemoChild> {
    for (const zone of this.zones) if (zone.controller) yield zone.controller
    for (const zone of this.zones) if (zone.api) yield zone.api
  }

  /** Ends all in order, controllers first, as they still want to talk to their API; by force after the deadline. */
  async stop(deadlineMs: number): Promise<void> {
    const end = performance.now() + deadlineMs
    const left = () => Math.max(end - performance.now(), 0)
    await Promise.all(this.zones.map((zone) => zone.controller?.stop(left())))
    await Promise.all(this.zones.map((zone) => zone.api?.stop(left())))
    for (const child of this.children()) child[Symbol.dispose]()
  }

  /** At once, by pid. */
  kill(): void {
    for (const child of this.children()) child.kill('SIGKILL')
  }
}
