/**
 * From which operation of its owner's log a replica was made, as an annotation of the replica says it.
 *
 * A zone that starts again reads the logs of the others from their begin, while its replicas were made from operations
 * that come later in them. What comes before such an operation says nothing of its replica: without this, a restart would
 * delete and make anew, or turn back and forth, what was right all the time.
 *
 * The annotation ends with a check over its owner and name: one that was edited by hand, or copied from another object,
 * counts as none. A replica of an operation that its log never reaches would not be touched any more.
 */
import { blake3 } from 'weir-mesh/core'

/** A place in the logs of one zone. */
export interface Position {
  readonly incarnation: number
  readonly seq: number
}

/** Whose replica it is, and of which object. */
export interface ReplicaName {
  readonly owner: string
  readonly namespace: string
  readonly name: string
}

const CHECK_BYTES = 4
const PATTERN = /^(\d{1,16})\.(\d{1,16})\.([0-9a-f]{8})$/

export function isAfter(position: Position, other: Position): boolean {
  if (position.incarnation !== other.incarnation) return position.incarnation > other.incarnation
  return position.seq > other.seq
}

export function formatPosition(replica: ReplicaName, { incarnation, seq }: Position): string {
  return `${incarnation}.${seq}.${check(replica, incarnation, seq)}`
}

/** @returns undefined for what is not the position of this replica. */
export function parsePosition(replica: ReplicaName, text: string): Position | undefined {
  const match = PATTERN.exec(text)
  if (!match) return undefined
  const position = { incarnation: Number(match[1]), seq: Number(match[2]) }
  if (!Number.isSafeInteger(position.incarnation) || !Number.isSafeInteger(position.seq)) {
    return undefined
  }
  return match[3] === check(replica, position.incarnation, position.seq) ? position : undefined
}

function check({ owner, namespace, name }: ReplicaName, incarnation: number, seq: number): string {
  const text = `${owner} ${namespace} ${name} ${incarnation} ${seq}`
  return Buffer.from(blake3(Buffer.from(text)).subarray(0, CHECK_BYTES)).toString('hex')
}
