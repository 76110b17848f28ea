/** Weir's own QUIC with the iroh binding for Node: what takes too long for every run. `npm run interop` runs it. */
import { idleTests } from './idle.suite.ts'
import { lossTests } from './network.suite.ts'
import { BINDING, LONG, sharedPeer } from './sides.ts'
import { bulkTests } from './streams.suite.ts'

const kind = { ...BINDING, skip: LONG }
const stillThere = idleTests(kind)
const peer = sharedPeer(kind)
// The binding hands bytes over as arrays of numbers: 240 µs of its CPU for each KiB that it reads and 120 for each that it
// writes, its main thread always busy, when our loop is idle four fifths of the time. 64 MiB each way are half a minute.
bulkTests(kind, peer, { dials: 64, 'is dialled': 64 })
lossTests(kind, peer, { light: 2, heavy: 1 })
stillThere()
