/** What sync may hold and how long it waits. All are local policy and invisible on the wire. */
import { assert } from '../runtime/index.ts'
import { OPERATION_SHELL_BYTES, READ_COST_BYTES } from './memory.ts'

export interface SyncLimits {
  /** Topics that are open at once. Default 8. */
  readonly topicsMax: number
  /** Logs per topic, ours and those that peers speak of. Default 256. */
  readonly logsMax: number
  /** Peers with a session, per topic. Default 32; a peer has at most two sessions. */
  readonly peersMax: number
  /** Peers that a topic keeps a session with. Default 32. */
  readonly targetsMax: number
  /** Connections in the topic handshake, of all topics. Default 32. */
  readonly handshakesMax: number
  /** Longest frame: header, body and a few bytes. Default 1 MiB and 128 KiB; at least 64 KiB. */
  readonly frameBytesMax: number
  /** Bytes given to a stream and not yet taken by it, per session. Default 64 KiB. */
  readonly sendWindowBytes: number
  /** Bytes that are read from the store at once, for delivery. Default 64 KiB. */
  readonly pageBytesMax: number
  /** Operations per topic between the wire and the store. Default 512. */
  readonly ingestMax: number
  /** Operations per session between the wire and the store. Default 256. */
  readonly ingestPerSessionMax: number
  /** Their bytes, of all topics. Default 4 MiB; at least two frames. */
  readonly ingestBytesMax: number
  /** Operations in one verification and one append. Default 64. */
  readonly batchMax: number
  /** Batches in verification at once, per topic. Default 4. */
  readonly batchesMax: number
  /**
   * Bytes of unfinished frames and of frames being sent, of all sessions, and 33 KiB to read into for each session. A
   * session that would leave less than one frame of it is refused: with the default there are about 200. Default 8 MiB.
   */
  readonly wireBytesMax: number
  /** Operations that wait for a consumer in memory, per topic; more wait in the store. Default 256. */
  readonly deliverMax: number
  /** Operations that wait for a peer in memory, per peer; more wait in the store. Default 256. */
  readonly liveMax: number
  /** Bytes of both kinds of queue, of all topics. Default 4 MiB; at least one frame and 2 KiB. */
  readonly queueBytesMax: number
  /** Operations that wait for their predecessor, per topic. Default 512. */
  readonly heldMax: number
  /** Their bytes, of all topics. Default 2 MiB. */
  readonly heldBytesMax: number
  /** Locks of the gossip buffer, per topic. Default 256. */
  readonly locksMax: number
  /** Ids that are known to be kept, per topic; twice as many at times. Default 2 048. */
  readonly seenMax: number
  /** Until a dial must have connected. Default 10 s. */
  readonly connectMs: number
  /** Until the topic handshake must be over. Default 5 s. */
  readonly handshakeMs: number
  /**
   * Without a frame during the initial sync, and in live mode from the beginning of a frame to its end. After a third of it
   * an unfinished frame makes room when `wireBytesMax` is used up. Default 30 s.
   */
  readonly silenceMs: number
  /** Without the peer taking a byte that we send. Default 60 s. */
  readonly stallMs: number
  /** Between our Close and the end of the connection. Default 5 s. */
  readonly closeMs: number
  /**
   * The same when the topic closes, after the last that was heard of the peer: one that has vanished holds nobody up,
   * one that still sends or takes has all of `closeMs`. Default 600 ms, and at most `closeMs`.
   */
  readonly farewellMs: number
  /** How long an operation waits for its predecessor. Default 30 s. */
  readonly holdMs: number
  /** Longest life of a lock of the gossip buffer. Default 120 s. */
  readonly lockMs: number
  /** First delay between attempts to reach a peer; doubles up to `retryMostMs`. Default 200 ms. */
  readonly retryFirstMs: number
  /** Default 30 s. */
  readonly retryMostMs: number
  /** First delay until what was lost is fetched by a new session; doubles up to 5 minutes. Default 2 s. */
  readonly resyncMs: number
}

const KIB = 1024
const MIB = 1024 * KIB

export const DEFAULT_SYNC_LIMITS: SyncLimits = Object.freeze({
  topicsMax: 8,
  logsMax: 256,
  peersMax: 32,
  targetsMax: 32,
  handshakesMax: 32,
  frameBytesMax: MIB + 128 * KIB,
  sendWindowBytes: 64 * KIB,
  pageBytesMax: 64 * KIB,
  ingestMax: 512,
  ingestPerSessionMax: 256,
  ingestBytesMax: 4 * MIB,
  batchMax: 64,
  batchesMax: 4,
  wireBytesMax: 8 * MIB,
  deliverMax: 256,
  liveMax: 256,
  queueBytesMax: 4 * MIB,
  heldMax: 512,
  heldBytesMax: 2 * MIB,
  locksMax: 256,
  seenMax: 2_048,
  connectMs: 10_000,
  handshakeMs: 5_000,
  silenceMs: 30_000,
  stallMs: 60_000,
  closeMs: 5_000,
  farewellMs: 600,
  holdMs: 30_000,
  lockMs: 120_000,
  retryFirstMs: 200,
  retryMostMs: 30_000,
  resyncMs: 2_000,
})

/** The least `wireBytesMax` with which that many sessions are admitted. */
export const wireBytesLeast = (frameBytesMax: number, sessions: number): number =>
  frameBytesMax + sessions * READ_COST_BYTES

/** Completes and checks limits; a wrong one is a mistake of the program. */
export function syncLimits(given: Partial<SyncLimits> = {}): SyncLimits {
  for (const name of Object.keys(given)) {
    assert(name in DEFAULT_SYNC_LIMITS, `sync has no limit called ${name}`)
  }
  const limits: SyncLimits = { ...DEFAULT_SYNC_LIMITS, ...given }
  for (const [name, value] of Object.entries(limits)) {
    assert(Number.isSafeInteger(value) && value >= 1, `the sync limit ${name} is ${value}`)
  }
  assert(limits.frameBytesMax >= 64 * KIB, 'frames of 64 KiB must fit: a header may be that long')
  assert(
    limits.ingestBytesMax >= 2 * limits.frameBytesMax,
    'two frames must fit into ingestBytesMax, or one large operation stops everything',
  )
  assert(
    limits.wireBytesMax >= 2 * limits.frameBytesMax,
    'two frames must fit into wireBytesMax: one that comes and one that goes',
  )
  assert(
    limits.queueBytesMax >= limits.frameBytesMax + OPERATION_SHELL_BYTES,
    'a frame must fit into queueBytesMax with 2 KiB to spare, or an operation of full length is never delivered',
  )
  return Object.freeze(limits)
}
