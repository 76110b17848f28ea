/**
 * What the demo sees of one zone: its objects, by a watch of its API, and a client to change them.
 *
 * Memory: a ledger of its own with the terms of the client; one projection per object.
 */
import { EventEmitter } from 'node:events'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { abortError, onAbort, type Scope } from 'weir-mesh/runtime'
import {
  type JsonObject,
  KubeClient,
  type KubeObject,
  loadKubeconfig,
  Reflector,
  type ReflectorEvent,
} from '../kube/index.ts'
import { OWNER_VERSION_ANNOTATION, OWNER_ZONE_LABEL } from '../mesh/index.ts'
import { DEMO_LIMIT_BYTES, viewTerms } from './demo-memory.ts'
import { NAMESPACE, WIDGETS, widget } from './demo-widgets.ts'

export interface Seen {
  readonly size: number
  readonly color: string
  /** The zone it was born in. */
  readonly owner: string
  /** Which version of the owner's a replica is; empty in the zone of the owner. */
  readonly version: string
}

export type SeenEvent = ReflectorEvent<Seen>

export class ZoneView {
  readonly zone: string
  readonly #client: KubeClient
  readonly #reflector: Reflector<Seen>
  readonly #events = new EventEmitter()

  private constructor(zone: string, client: KubeClient) {
    this.zone = zone
    this.#client = client
    this.#events.setMaxListeners(64)
    this.#reflector = new Reflector<Seen>({
      client,
      resource: WIDGETS,
      namespaces: [NAMESPACE],
      project: (object) => project(object, zone),
      onEvent: (event) => void this.#events.emit('change', event),
      onSynced: () => void this.#events.emit('change'),
      backoffMs: { first: 100, most: 1_000 },
    })
  }

  /** The view is closed with the scope. */
  static async open(zone: string, kubeconfig: string, parent: Scope): Promise<ZoneView> {
    const scope = parent.child(`view of ${zone}`)
    const terms = viewTerms()
    const plan = planMemory(Object.values(terms), { limitBytes: DEMO_LIMIT_BYTES })
    const ledger = new Ledger(plan, { counters: scope.counters })
    const config = await loadKubeconfig(kubeconfig)
    return new ZoneView(zone, new KubeClient({ config, scope, ledger, terms }))
  }

  get synced(): boolean {
    return this.#reflector.synced
  }

  get(name: string): Seen | undefined {
    return this.#reflector.get(NAMESPACE, name)?.projection
  }

  create(name: string, spec: JsonObject): Promise<KubeObject> {
    return this.#client.create(WIDGETS, widget(name, spec))
  }

  edit(name: string, spec: JsonObject): Promise<KubeObject> {
    return this.#client.mergePatch(WIDGETS, NAMESPACE, name, { spec })
  }

  async delete(name: string): Promise<void> {
    await this.#client.delete(WIDGETS, NAMESPACE, name)
  }

  /** Calls back with every change, until disposed. */
  listen(take: (event: SeenEvent) => void): Disposable {
    const listener = (event: SeenEvent | undefined) => event && take(event)
    this.#events.on('change', listener)
    return { [Symbol.dispose]: () => void this.#events.off('change', listener) }
  }

  /** Settles as soon as the condition holds, with the time; looks when something has changed. */
  until(holds: (view: ZoneView) => boolean, signal: AbortSignal): Promise<number> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (!holds(this)) return
        end()
        resolve(performance.now())
      }
      this.#events.on('change', look)
      const aborted = onAbort(signal, () => {
        this.#events.off('change', look)
        reject(abortError(signal))
      })
      const end = () => {
        aborted[Symbol.dispose]()
        this.#events.off('change', look)
      }
      look()
    })
  }
}

function project(object: KubeObject, zone: string): Seen {
  const spec = (object['spec'] ?? {}) as { readonly size?: unknown; readonly color?: unknown }
  return {
    size: Number(spec.size),
    color: String(spec.color).slice(0, 16),
    owner: object.metadata.labels?.[OWNER_ZONE_LABEL]?.slice(0, 63) ?? zone,
    version: object.metadata.annotations?.[OWNER_VERSION_ANNOTATION]?.slice(0, 32) ?? '',
  }
}
