/**
 * The default strategy: the zone where an object was born owns it, only the owner's changes travel, and a replica that
 * was edited by hand is put back. One pure function from what is known to what has to be written.
 */
import { type Desired, HELD, type Observed, type Row } from './row.ts'
import type { Zone } from './zone.ts'

export type Action =
  | { readonly type: 'none' }
  | { readonly type: 'create'; readonly desired: Desired }
  | { readonly type: 'update'; readonly desired: Desired; readonly uid: string }
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
    if (!observed) return { type: 'create', desired }
    if (isAsDesired(row, observed, desired)) return NONE
    return { type: 'update', desired, uid: observed.uid }
  }
  if (!observed) return NONE
  const zone = zoneNamed(observed.owner)
  if (!zone || zone.overflowed > 0) return NONE
  // Being absent means nothing while the owner is incomplete, or when another cluster speaks than the one it was born in.
  const absent = zone.complete && zone.cluster === observed.cluster
  if (!absent && row.goneUid !== observed.uid) return NONE
  return { type: 'delete', uid: observed.uid, version: observed.version }
}

function isAsDesired(row: Row, observed: Observed, desired: Desired): boolean {
  if (observed.owner !== desired.zone.name) return false
  if (desired.zone.cluster !== '' && observed.cluster !== desired.zone.cluster) return false
  if (observed.hash === desired.hash) return true
  return row.acceptedFor === desired.hash && row.acceptedHash === observed.hash
}
