/** Packet numbers on the wire are cut to their lowest bytes (RFC 9000 section 17.1 and appendix A). */

/** Bytes needed so that the peer, who has acknowledged `largestAcked` (-1 for none), reads the number right. */
export function packetNumberLength(packetNumber: number, largestAcked: number): 1 | 2 | 3 | 4 {
  const span = (packetNumber - largestAcked) * 2
  if (span < 0x100) return 1
  if (span < 0x1_0000) return 2
  return span < 0x100_0000 ? 3 : 4
}

/** The number that is nearest to the one after `largest` and ends in these bytes. */
export function fullPacketNumber(largest: number, truncated: number, length: number): number {
  const window = 2 ** (8 * length)
  const expected = largest + 1
  const candidate = expected - (expected % window) + truncated
  if (candidate <= expected - window / 2 && candidate < 2 ** 53 - window) return candidate + window
  if (candidate > expected + window / 2 && candidate >= window) return candidate - window
  return candidate
}
