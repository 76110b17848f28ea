/**
 * What the demo does by itself: starts three zones, changes objects in one, kills a controller and lets it come back.
 *
 * Every wait has a zone, a step and a deadline; what does not happen is told with the three.
 */
import { type Clock, describeError, onAbort, WeirError } from 'weir-mesh/runtime'
import type { Ending } from './demo-ending.ts'
import type { DemoMesh } from './demo-mesh.ts'
import type { Supervisor } from './demo-supervisor.ts'
import { ZoneView } from './demo-view.ts'
import type { DemoZone } from './demo-zone.ts'

export interface StoryOptions {
  readonly mesh: DemoMesh
  readonly ending: Ending
  readonly supervisor: Supervisor
  readonly print: (line: string) => void
  /** For all steps together. */
  readonly deadlineMs: number
}

const FIRST = 'zone-a'
const KILLED = 'zone-c'

export class Story {
  readonly #options: StoryOptions
  readonly #clock: Clock
  readonly #endsAt: number
  readonly #print: (line: string) => void
  #views: readonly ZoneView[] = Object.freeze([])

  constructor(options: StoryOptions) {
    this.#options = options
    this.#print = options.print
    this.#clock = options.mesh.scope.clock
    this.#endsAt = performance.now() + options.deadlineMs
  }

  get views(): readonly ZoneView[] {
    return this.#views
  }

  /** @throws {WeirError} `DEMO_FAILED` with zone, step and reason; `DEMO_ENDED` when somebody asked for the end. */
  async tell(): Promise<void> {
    await this.start()
    await this.#changes()
    await this.#outage()
  }

  /** Starts all processes and opens a view of each zone. */
  async start(): Promise<void> {
    const { mesh, supervisor } = this.#options
    const from = performance.now()
    await this.#each('start its API', (zone, signal) => supervisor.startApi(zone, signal))
    for (const zone of mesh.zones) supervisor.startController(zone)
    this.#views = await this.#each('open its API', async (zone, signal) => {
      const view = await ZoneView.open(zone.name, zone.kubeconfig, mesh.scope)
      await view.until((each) => each.synced, signal)
      return view
    })
    await this.#each('join the mesh', (zone, signal) => zone.joined(signal))
    this.#print(`All zones are up and joined after ${since(from)}.`)
  }

  async #changes(): Promise<void> {
    const first = this.#view(FIRST)
    this.#print(`\nChanges in ${FIRST}`)
    await this.#change(
      'created hello',
      () => first.create('hello', { size: 1 }),
      isSize('hello', 1),
    )
    await this.#change('edited  hello', () => first.edit('hello', { size: 2 }), isSize('hello', 2))
    await this.#change('deleted hello', () => first.delete('hello'), isGone('hello'))
  }

  async #outage(): Promise<void> {
    const { mesh, supervisor } = this.#options
    const first = this.#view(FIRST)
    const zone = mesh.zone(KILLED)
    this.#print(`\nAn outage of ${KILLED}`)
    await this.#change(
      'created early',
      () => first.create('early', { size: 1 }),
      isSize('early', 1),
    )
    const killed = zone.controller!
    killed.kill('SIGKILL')
    await this.#in(zone, 'end by SIGKILL', () => killed.ended)
    this.#print(`  killed the controller of ${KILLED} (pid ${killed.pid}) with SIGKILL`)

    const settled = (view: ZoneView) =>
      isSize('late-1', 1)(view) && isSize('late-2', 2)(view) && isGone('early')(view)
    const up = mesh.zones.filter(({ name }) => name !== KILLED)
    await this.#change(
      'created late-1 and late-2, deleted early',
      async () => {
        await first.create('late-1', { size: 1 })
        await first.create('late-2', { size: 2 })
        await first.delete('early')
      },
      settled,
      up,
    )
    const from = performance.now()
    supervisor.startController(zone)
    const at = await this.#in(zone, 'catch up', (signal) =>
      this.#view(KILLED).until(settled, signal),
    )
    this.#print(
      `  ${KILLED} came back and caught up in ${ms(at - from)}, start of the process included`,
    )
    await this.#in(zone, 'join the mesh again', (signal) => zone.joined(signal))
  }

  /** Does something in the first zone and tells when the others had it. */
  async #change(
    what: string,
    run: () => Promise<unknown>,
    holds: (view: ZoneView) => boolean,
    zones: readonly DemoZone[] = this.#options.mesh.zones,
  ): Promise<void> {
    const from = performance.now()
    const others = zones.filter(({ name }) => name !== FIRST)
    const arrivals = Promise.all(
      others.map((zone) =>
        this.#in(zone, `see that ${FIRST} ${what}`, (signal) =>
          this.#view(zone.name).until(holds, signal),
        ),
      ),
    )
    arrivals.catch(() => {}) // the request below may fail first
    await this.#in(this.#options.mesh.zone(FIRST), what, run)
    const times = await arrivals
    const told = others.map(({ name }, at) => `${name} after ${ms(times[at]! - from)}`)
    this.#print(`  ${what}: ${told.join(', ')}`)
  }

  async #each<T>(
    step: string,
    run: (zone: DemoZone, signal: AbortSignal) => Promise<T>,
  ): Promise<T[]> {
    const { zones } = this.#options.mesh
    return Promise.all(zones.map((zone) => this.#in(zone, step, (signal) => run(zone, signal))))
  }

  /** Runs one wait of one zone; what fails is told with the zone and the step. */
  async #in<T>(zone: DemoZone, step: string, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { ending, deadlineMs } = this.#options
    const abort = new AbortController()
    using _ended = onAbort(ending.signal, () => abort.abort(ending.signal.reason))
    const timer = this.#clock.start(Math.max(this.#endsAt - performance.now(), 0), () =>
      abort.abort(new WeirError('TIMEOUT', `not within ${deadlineMs / 1000} s of the start`)),
    )
    try {
      return await run(abort.signal)
    } catch (error) {
      if (ending.askedToEnd) throw ending.signal.reason
      const state = await zone.problem().catch(() => undefined)
      const also = state === undefined ? '' : `; its controller: ${state}`
      throw new WeirError(
        'DEMO_FAILED',
        `${zone.name} did not ${step}: ${describeError(error)}${also}`,
      )
    } finally {
      timer.cancel()
    }
  }

  #view(zone: string): ZoneView {
    return this.#views.find((view) => view.zone === zone)!
  }
}

const isSize = (name: string, size: number) => (view: ZoneView) => view.get(name)?.size === size
const isGone = (name: string) => (view: ZoneView) => view.get(name) === undefined

const ms = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`
const since = (from: number): string => ms(performance.now() - from)
