/** NewSessionTicket (RFC 8446 section 4.6.1), which we read to refuse what is malformed, and drop. */
import { refuseForQuic } from './alerts.ts'
import { Extension, parseExtension, readExtensions } from './extensions.ts'
import type { TlsReader } from './reader.ts'

/** The only size of early data that QUIC allows (RFC 9001 section 4.6.1). */
const EARLY_DATA_BYTES = 0xffff_ffff

export function readTicket(body: TlsReader): void {
  // Life time and age.
  body.take(8)
  body.vector8()
  body.vector16(1)
  const extensions = readExtensions(body.vector16())
  body.done()
  const early = parseExtension(
    extensions,
    Extension.earlyData,
    (size) => size.uint16() * 0x1_0000 + size.uint16(),
  )
  if (early !== undefined && early !== EARLY_DATA_BYTES) {
    refuseForQuic('a ticket that limits early data (RFC 9001 section 4.6.1)')
  }
}
