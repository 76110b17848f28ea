/** Two connected ends, and what tests of their rules need. */
import assert from 'node:assert/strict'
import {
  decodeParameters,
  encodeParameters,
  type TransportParameters,
} from './packet/parameters.ts'
import type { QuicSecurity } from './security.ts'
import { World, type WorldOptions } from './simulation.fixture.ts'
import type { Side } from './simulation-side.fixture.ts'
import { toySecurity } from './toy-tls.fixture.ts'

const CLEAN = Object.freeze({ lost: 0, doubled: 0, damaged: 0, delayUs: 500, jitterUs: 0 })
export const SECOND = 1_000_000

export const made = (options: Partial<WorldOptions> = {}) =>
  new World({ seed: 1, faults: CLEAN, security: toySecurity(), streams: 0, ...options })

export function connected({
  passUs = 200_000,
  ...options
}: Partial<WorldOptions> & { readonly passUs?: number } = {}): World {
  const world = made(options)
  world.run(() => world.a.up && world.b.up)
  pass(world, passUs)
  return world
}

export function pass(world: World, us: number): void {
  const until = world.now + us
  world.at(until, () => {})
  world.run(() => world.now >= until)
}

/** The ids of a long header. */
export function idsOf(bytes: Uint8Array): { destination: Uint8Array; source: Uint8Array } {
  const at = 6 + bytes[5]!
  return { destination: bytes.slice(6, at), source: bytes.slice(at + 1, at + 1 + bytes[at]!) }
}

/** Notes what a side says from now on. */
export function listen(world: World, side: Side): string[] {
  const said: string[] = []
  world.watch = (from, bytes) => {
    if (from === side) said.push(...(world.read(from, bytes) ?? []))
  }
  return said
}

/** A security whose server tells other transport parameters than it was given. */
export function changed(
  side: 'client' | 'server',
  change: (own: TransportParameters) => void,
): QuicSecurity {
  const toy = toySecurity()
  const altered = (bytes: Uint8Array): Uint8Array => {
    const own = decodeParameters(bytes, side === 'client')
    assert.ok(!('reason' in own))
    change(own)
    return encodeParameters(own)
  }
  return {
    ...toy,
    [side]: (
      options: Parameters<QuicSecurity['client']>[0] & Parameters<QuicSecurity['server']>[0],
    ) => toy[side]({ ...options, parameters: altered(options.parameters) }),
  }
}
