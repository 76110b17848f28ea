/**
 * The default strategy: the zone where an object was born owns it, only the owner's changes travel, and a replica that
 * was edited by hand is put back. One pure function from what is known to what has to be written.
 */
import { isAfter, type Position } from './position.ts'
import { type Desired, HELD, type Observed, type Row } from './row.ts'
import type { Zone } from './zone.ts'

export type Action =
  | { readonly type: 'none' }
  | { readonly type: 'create'; readonly desired: Desired; readonly made: Position }
  | {
      readonly type: 'update'
      readonly desired: Desired
      readonly made: Position
      readonly uid: string
    }
  | { readonly type: 'delete'; readonly uid: string; readonly version: string }

const NONE: Action = Object.freeze({ type: 'none' })

/**
 * @param zoneNamed finds a bound zone by its name.
 */
export function decide(row: Row, zoneNamed: (name: string) => Zone | undefined): Action {
  const { observed } = row
  if (row.local) return NONE // An object born here is never overwritten, whatever others say.
  for (let desired = row.desired; desired; desired = desired.next) {
    if (desired.hash === HELD) {
      const itsReplica = observed?.owner === desired.zone.name && observed.uid !== row.goneUid
      if (itsReplica) return NONE
      continue
    }
    const made = desired.zone.position(desired.logKey, desired.seq)
    // Its log was dropped, and with it what would be written: the next life of the zone says what is wanted.
    if (!made || desired.zone.catchingUp) return NONE
    if (!observed) return { type: 'create', desired, made }
    if (isAsDesired(row, observed, desired)) return NONE
    if (isAhead(observed, desired.zone.name, made, zoneNamed)) return NONE
    return { type: 'update', desired, made, uid: observed.uid }
  }
  if (!observed) return NONE
  const zone = zoneNamed(observed.owner)
  if (!zone || zone.overflowed > 0) return NONE
  // Being absent means nothing while the owner is incomplete, or when another cluster speaks than the one it was born in.
  const spoken = zone.complete && zone.cluster === observed.cluster
  const absent = spoken && (!observed.made || zone.hasRead(observed.made))
  if (!absent && row.goneUid !== observed.uid) return NONE
  return { type: 'delete', uid: observed.uid, version: observed.version }
}

/** Whether a replica was made from what its owner's log says later than anything that was read of it. */
function isAhead(
  { owner, made }: Observed,
  zone: string,
  position: Position,
  zoneNamed: (name: string) => Zone | undefined,
): boolean {
  if (!made) return false
  if (owner === zone) return isAfter(made, position)
  // A smaller name wins, whatever the owner still says.
  return owner < zone && zoneNamed(owner)?.hasRead(made) === false
}

function isAsDesired(row: Row, observed: Observed, desired: Desired): boolean {
  if (observed.owner !== desired.zone.name) return false
  if (desired.zone.cluster !== '' && observed.cluster !== desired.zone.cluster) return false
  if (observed.hash === desired.hash) return true
  return row.acceptedFor === desired.hash && row.acceptedHash === observed.hash
}
