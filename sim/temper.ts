/** What a seed draws for a run, and for each node of it: how tight the caps are, and how slow the parts. */
import { DEFAULT_SYNC_LIMITS, type SyncLimits, syncLimits } from 'weir-mesh/sync'
import type { World } from './world.ts'

const KIB = 1024
const FRAME_BYTES = 64 * KIB
/** What an operation of full length is charged in a queue is less than this. */
const QUEUED_BYTES = FRAME_BYTES + 2 * KIB

/** Small enough that every cap by entries is met in most runs with small bodies. */
const FEW: Partial<SyncLimits> = Object.freeze({
  topicsMax: 1,
  logsMax: 8,
  peersMax: 4,
  targetsMax: 4,
  handshakesMax: 4,
  frameBytesMax: FRAME_BYTES,
  wireBytesMax: 1024 * KIB,
  ingestBytesMax: 128 * KIB,
  ingestMax: 32,
  ingestPerSessionMax: 12,
  sendWindowBytes: 2_048,
  pageBytesMax: 2_048,
  batchMax: 5,
  batchesMax: 3,
  deliverMax: 6,
  liveMax: 4,
  queueBytesMax: QUEUED_BYTES,
  heldMax: 8,
  heldBytesMax: 8 * KIB,
  locksMax: 8,
  seenMax: 16,
})

/** For runs with large bodies: few caps by entries are met before those by bytes, which are as small as they may be. */
function tightBytes(world: World): SyncLimits {
  const some = (least: number, most: number) => Math.round(world.ms(least, most))
  const roomy = world.chance(0.5)
  return syncLimits({
    ...FEW,
    wireBytesMax: some(2 * FRAME_BYTES, 16 * FRAME_BYTES),
    ingestBytesMax: some(2 * FRAME_BYTES, 4 * FRAME_BYTES),
    ingestMax: some(4, 256),
    ingestPerSessionMax: some(2, 64),
    sendWindowBytes: some(1, 2 * FRAME_BYTES),
    pageBytesMax: some(1, 4 * FRAME_BYTES),
    deliverMax: roomy ? DEFAULT_SYNC_LIMITS.deliverMax : some(1, 8),
    liveMax: roomy ? DEFAULT_SYNC_LIMITS.liveMax : some(1, 8),
    queueBytesMax: world.chance(0.3) ? QUEUED_BYTES : some(QUEUED_BYTES, 5 * FRAME_BYTES),
    heldMax: some(1, 64),
    heldBytesMax: some(1, 3 * FRAME_BYTES),
    locksMax: some(1, 8),
  })
}

export const limitsOf = (bodies: 'small' | 'large', world: World): SyncLimits =>
  bodies === 'large' ? tightBytes(world) : syncLimits(FEW)

/** How slow the parts of a node are, in ms, from and below. */
export interface Temper {
  /** Between two takes of the consumer. */
  readonly consumeMs: readonly [number, number]
  /** Chance that the consumer stands still at a take, for seconds. */
  readonly stalls: number
  /** Takes operations one by one and says so seldom, as the shell of the library does; else a few at a time. */
  readonly oneByOne: boolean
  /** Until the store or the verifier answers; at once, without time passing, is what a store in memory does. */
  readonly answerMs: readonly [number, number]
  /** Until the sender hears that what it sent was taken, beyond the way there. */
  readonly creditMs: readonly [number, number]
}

export const CALM: Temper = Object.freeze({
  consumeMs: [0, 1] as const,
  stalls: 0,
  oneByOne: false,
  answerMs: [0, 4] as const,
  creditMs: [0, 0] as const,
})

export function temperOf(world: World): Temper {
  return {
    consumeMs: world.chance(0.3) ? [5, 400] : CALM.consumeMs,
    stalls: world.chance(0.2) ? 0.05 : 0,
    oneByOne: world.chance(0.5),
    answerMs: world.chance(0.4) ? [0, 0] : world.chance(0.2) ? [0, 300] : CALM.answerMs,
    creditMs: world.chance(0.15) ? [20, 2_000] : CALM.creditMs,
  }
}
