/**
 * Zones in virtual time around the real replication machine: API servers, watches, logs and links are lists here, and
 * every delay, failure and restart is drawn from one seed.
 *
 * After `settle`, `check` says whether each zone holds exactly the objects of all zones.
 */
import { blake3 } from 'weir-mesh/core'
import { Digest } from 'weir-mesh/machine'
import { type Random, seededRandom } from 'weir-mesh/runtime'
import { contentHash } from '../src/mesh/content.ts'
import { meshTopic } from '../src/mesh/names.ts'
import { ZoneWorld } from './zone-world.ts'

export interface WorldOptions {
  /** With every other one objects grow too large to travel. */
  readonly seed: number
  readonly zones: number
  readonly objectsMax?: number
  /** Share of writes to an API server that fail, in percent. Default 10. */
  readonly failurePercent?: number
}

export class ReplicationWorld {
  readonly random: Random
  readonly zones: ZoneWorld[] = []
  readonly topic = meshTopic(blake3(new TextEncoder().encode('world')))
  readonly problems = new Map<string, number>()
  nowMs = 1000
  failurePercent: number
  steps = 0
  readonly #grows: boolean

  constructor(options: WorldOptions) {
    this.random = seededRandom(options.seed)
    this.#grows = options.seed % 2 === 0
    this.failurePercent = options.failurePercent ?? 10
    for (let index = 0; index < options.zones; index++) {
      this.zones.push(new ZoneWorld(this, index, options.objectsMax ?? 256))
    }
    for (const zone of this.zones) zone.start()
  }

  /** One random thing happens somewhere. */
  step(): void {
    this.steps++
    this.nowMs += this.random.below(40)
    const zone = this.zones[this.random.below(this.zones.length)]!
    zone.step()
  }

  /** A random change by a user, or a fault. */
  disturb(): void {
    const zone = this.zones[this.random.below(this.zones.length)]!
    const name = `w${this.random.below(12)}`
    const choice = this.random.below(100)
    if (choice < 40) zone.userPut(name, this.random.below(1000))
    else if (choice < 55) zone.userDelete(name)
    else if (choice < 62) zone.userEditAnything(this.random.below(1000))
    else if (choice < 66) zone.userDeleteAnything()
    else if (choice < 70) zone.restart()
    else if (choice < 74) zone.snapshot()
    else if (choice < 80) zone.toggleLink(this.random.below(this.zones.length))
    else if (choice < 88 && this.#grows) zone.userGrow(name, this.random.below(1000))
  }

  /** All that was born in one zone alone grows too large to travel, and its zone says so. */
  growAll(): void {
    const births = this.zones.flatMap((zone) => [...zone.own()])
    for (const zone of this.zones) {
      for (const name of [...zone.own()]) {
        if (births.filter((each) => each === name).length === 1) zone.userGrow(name, 0)
      }
      if (this.random.below(2) === 0) zone.restart()
      else zone.snapshot()
    }
  }

  /** What is too large is small again, and another. */
  shrinkAll(): void {
    for (const zone of this.zones) for (const name of [...zone.own('grown')]) zone.userPut(name, 0)
  }

  /** All replicas as they are. */
  replicas(): string[] {
    return this.zones.flatMap((zone) =>
      [...zone.api]
        .filter(([, object]) => object.owner !== '')
        .map(
          ([key, object]) => `${zone.name} ${key} ${object.owner} ${contentHash(object.content)}`,
        )
        .sort(),
    )
  }

  /** Faults end, links heal, and everything under way is let through. */
  settle(): void {
    this.failurePercent = 0
    for (const zone of this.zones) zone.healLinks()
    for (let quiet = 0; quiet < 3; ) {
      let moved = false
      for (const zone of this.zones) while (zone.progress()) moved = true
      this.nowMs += 31_000
      for (const zone of this.zones) zone.wake()
      quiet = moved ? 0 : quiet + 1
    }
  }

  /** What is not as it should be, in words; empty when all zones agree. */
  check(): string[] {
    const wanted = new Map<string, { zone: string; hash: string }>()
    for (const zone of [...this.zones].sort((a, b) => (a.name < b.name ? 1 : -1))) {
      for (const [key, object] of zone.api) {
        if (object.owner === '')
          wanted.set(key, { zone: zone.name, hash: contentHash(object.content) })
      }
    }
    const faults: string[] = []
    for (const zone of this.zones) {
      for (const [key, want] of wanted) {
        const have = zone.api.get(key)
        if (!have) faults.push(`${zone.name} lacks ${key} of ${want.zone}`)
        else if (have.owner !== '') {
          if (have.owner !== want.zone)
            faults.push(`${zone.name} has ${key} of ${have.owner}, not of ${want.zone}`)
          else if (contentHash(have.content) !== want.hash)
            faults.push(`${zone.name} has another ${key}`)
        }
      }
      for (const [key, have] of zone.api) {
        if (have.owner !== '' && !wanted.has(key))
          faults.push(`${zone.name} still has ${key} of ${have.owner}`)
      }
      if (zone.machine.pending > 0) faults.push(`${zone.name} has ${zone.machine.pending} pending`)
    }
    return faults
  }

  digest(): string {
    const digest = new Digest()
    for (const zone of this.zones) zone.machine.digest(digest.fold)
    return digest.toString()
  }

  problem(name: string): void {
    this.problems.set(name, (this.problems.get(name) ?? 0) + 1)
  }

  close(): void {
    for (const zone of this.zones) zone.stop()
  }
}
