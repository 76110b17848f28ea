/**
 * Scripts of edits, for a fuzzer that sits inside the protection: what a peer that holds the keys does to its own
 * messages and packets before they are sealed. Any bytes are a script.
 *
 * A script is one byte of flags, and for each edit: where, which occurrence of it, what is done, at which offset (two
 * bytes), how long its payload is, the payload.
 */
import { concatBytes } from '../codec/index.ts'
import type { Random } from '../runtime/index.ts'
import { writeVarint } from './packet/varint.ts'
import {
  type Edit as ExtensionEdit,
  forgeCertificate,
  forgeClientHello,
  forgeExtensions,
  forgeServerHello,
  message,
} from './tls/forge.fixture.ts'
import { HEAD_BYTES, MessageType } from './tls/messages.ts'

/** What an edit changes. */
export const Site = Object.freeze({
  /** A handshake message that the signature and the Finished after it stand for. */
  message: 0,
  /** Handshake bytes of which the transcript of the sender knows nothing. */
  flight: 1,
  initial: 2,
  handshake: 3,
  application: 4,
  /** Handshake bytes that no TLS would send. */
  crypto: 5,
  /** A datagram that was not sealed, or one that is lost, doubled, or from elsewhere. */
  datagram: 6,
})
const SITES = 7
const EDITS_MAX = 8
const BYTES_MAX = 1_200
const EDIT_HEAD_BYTES = 6

export interface Edit {
  site: number
  index: number
  operation: number
  at: number
  payload: Uint8Array
}

export interface Script {
  flags: number
  edits: Edit[]
}

export function readScript(bytes: Uint8Array): Script {
  const edits: Edit[] = []
  for (let at = 1; at + EDIT_HEAD_BYTES <= bytes.length && edits.length < EDITS_MAX; ) {
    const end = at + EDIT_HEAD_BYTES + bytes[at + 5]!
    edits.push({
      site: bytes[at]! % SITES,
      index: bytes[at + 1]! % 8,
      operation: bytes[at + 2]!,
      at: bytes[at + 3]! * 256 + bytes[at + 4]!,
      payload: bytes.slice(at + EDIT_HEAD_BYTES, end),
    })
    at = end
  }
  return { flags: bytes[0] ?? 0, edits }
}

export function writeScript({ flags, edits }: Script): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(flags)]
  let length = 1
  for (const { site, index, operation, at, payload } of edits.slice(0, EDITS_MAX)) {
    const cut = payload.subarray(0, 255)
    length += EDIT_HEAD_BYTES + cut.length
    if (length > BYTES_MAX) break
    parts.push(Uint8Array.of(site, index, operation, at >>> 8, at & 255, cut.length), cut)
  }
  return concatBytes(...parts)
}

/** Bytes with one edit made to them. */
export function edited(bytes: Uint8Array, { operation, at, payload }: Edit): Uint8Array {
  const from = at % (bytes.length + 1)
  const head = bytes.subarray(0, from)
  const tail = bytes.subarray(from)
  const first = payload[0] ?? 0
  switch (operation % 8) {
    case 0:
      return concatBytes(head, Uint8Array.of(first), tail.subarray(1))
    case 1:
      return concatBytes(head, Uint8Array.of((tail[0] ?? 0) ^ (1 << (first & 7))), tail.subarray(1))
    case 2:
      return concatBytes(head, payload, tail)
    case 3:
      return concatBytes(head, tail.subarray(payload.length + 1))
    case 4:
      return concatBytes(head, payload, tail.subarray(payload.length))
    case 5:
      return head.slice()
    case 6:
      return concatBytes(bytes, tail)
    default:
      return payload.slice()
  }
}

/** As the operation of an edit of bytes. */
const INSERT = 2
const STRUCTURED = 0x08
const SAME_LENGTH = 0x10

/**
 * A handshake message with one edit made to it: to its fields and extensions, whose lengths are then right, or to its
 * bytes, with the length in its head put right or not.
 */
export function editedMessage(bytes: Uint8Array, edit: Edit): Uint8Array {
  if ((edit.operation & STRUCTURED) !== 0) {
    const structured = restructured(bytes, edit)
    if (structured) return structured
  }
  if (bytes.length < HEAD_BYTES || (edit.operation & SAME_LENGTH) !== 0) return edited(bytes, edit)
  return message(bytes[0]!, edited(bytes.subarray(HEAD_BYTES), edit))
}

function restructured(bytes: Uint8Array, edit: Edit): Uint8Array | undefined {
  const extensions = (list: ExtensionEdit) => editExtensions(list, edit)
  try {
    switch (bytes[0]) {
      case MessageType.clientHello:
        return forgeClientHello(bytes, (fields, list) => {
          if ((edit.operation & 0x20) === 0) return extensions(list)
          const name = (['random', 'session', 'suites', 'compression', 'trailing'] as const)[
            edit.at % 5
          ]!
          fields[name] = edit.payload
        })
      case MessageType.serverHello:
        return forgeServerHello(bytes, (fields, list) => {
          if ((edit.operation & 0x20) === 0) return extensions(list)
          const number = (edit.payload[0] ?? 0) * 256 + (edit.payload[1] ?? 0)
          if (edit.at % 5 === 0) fields.suite = number
          else if (edit.at % 5 === 1) fields.version = number
          else if (edit.at % 5 === 2) fields.session = edit.payload
          else if (edit.at % 5 === 3) fields.trailing = edit.payload
          else fields.random = RETRY_RANDOM.slice()
        })
      case MessageType.encryptedExtensions:
        return forgeExtensions(bytes, 0, extensions)
      case MessageType.certificateRequest:
        return forgeExtensions(bytes, 1, extensions)
      case MessageType.certificate:
        return forgeCertificate([{ spki: edit.payload }, ...(edit.at % 2 ? [{ spki: bytes }] : [])])
      default:
        return undefined
    }
  } catch {
    // An edit before has left nothing that can be taken apart.
    return undefined
  }
}

function editExtensions({ list }: ExtensionEdit, { operation, at, payload }: Edit): void {
  const which = at % Math.max(list.length, 1)
  const found = list[which]
  switch (operation % 8) {
    case 0:
      list.splice(which, 1)
      return
    case 1:
      list.push([at % 64, payload])
      return
    case 2:
      list.reverse()
      return
    case 3:
      if (found) list.push([found[0], found[1]])
      return
    case 4:
      if (found) found[0] = (payload[0] ?? 0) * 256 + (payload[1] ?? 0)
      return
    case 5:
      if (found) found[1] = payload
      return
    default:
      // The offset within the body comes from the payload, so that the edit is one of bytes again.
      if (!found) return
      found[1] = edited(found[1], {
        ...{ site: 0, index: 0, operation: payload[0] ?? 0, at: payload[1] ?? 0 },
        payload: payload.subarray(2),
      })
  }
}

/** RFC 8446 section 4.1.3: what makes a ServerHello a HelloRetryRequest. */
const RETRY_RANDOM = Buffer.from(
  'cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c',
  'hex',
)

/** Bytes that mean something to somebody: types of frames, of messages and of extensions, edges of varints. */
const WORDS: readonly number[] = Object.freeze([
  ...Array.from({ length: 0x1f }, (_, each) => each),
  ...[0x30, 0x31, 0x33, 0x39, 0x3f, 0x40, 0x41, 0x7f, 0x80, 0xbf, 0xc0, 0xfe, 0xff],
])

/** Another script near this one. */
export function mutatedScript(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const script = readScript(bytes)
  const { edits } = script
  const pick = () => edits[random.below(edits.length)]
  for (let change = 0; change <= random.below(3); change++) {
    const kind = random.below(10)
    const edit = pick()
    if (!edit || kind < 2) edits.splice(random.below(edits.length + 1), 0, made(random))
    else if (kind === 2) edits.splice(edits.indexOf(edit), 1)
    else if (kind === 3) edits.push(...readScript(other).edits)
    else if (kind === 4) edit.index = random.below(8)
    else if (kind === 5) edit.operation = random.below(256)
    else if (kind === 6) edit.at = offset(random)
    else if (kind === 7) script.flags = random.below(256)
    else edit.payload = changedPayload(edit.payload, random)
  }
  return writeScript(script)
}

function made(random: Random): Edit {
  const edit: Edit = {
    site: random.below(SITES),
    index: random.below(8),
    operation: random.below(256),
    at: offset(random),
    payload: words(random, random.below(12)),
  }
  if (random.below(2) === 0) return edit
  if (edit.site === Site.crypto) edit.payload = ticket(random)
  if (edit.site < Site.initial || edit.site > Site.application) return edit
  // A whole frame, in front of those that the packet has.
  edit.operation = INSERT
  edit.at = 0
  edit.payload = frame(random)
  return edit
}

/** The fields of each type of frame: a number, a length and so many bytes, eight bytes, an id with its token. */
const FRAMES: readonly (readonly [type: number, fields: string])[] = Object.freeze([
  ...([
    [0x02, 'nnnn'],
    [0x03, 'nnnnnnn'],
    [0x04, 'nnn'],
    [0x05, 'nn'],
    [0x06, 'nl'],
  ] as const),
  ...([
    [0x07, 'l'],
    [0x0a, 'nl'],
    [0x0b, 'nl'],
    [0x0e, 'nnl'],
    [0x0f, 'nnl'],
  ] as const),
  ...([
    [0x10, 'n'],
    [0x11, 'nn'],
    [0x12, 'n'],
    [0x13, 'n'],
    [0x14, 'n'],
    [0x15, 'nn'],
  ] as const),
  ...([
    [0x16, 'n'],
    [0x17, 'n'],
    [0x18, 'nni'],
    [0x19, 'n'],
    [0x1a, '8'],
    [0x1b, '8'],
  ] as const),
  ...([
    [0x1c, 'nnl'],
    [0x1d, 'nl'],
    [0x1e, ''],
    [0x31, 'l'],
  ] as const),
])

function frame(random: Random): Uint8Array {
  const [type, fields] = FRAMES[random.below(FRAMES.length)]!
  const made = new Uint8Array(120)
  made[0] = type
  let at = 1
  for (const field of fields) {
    if (field === 'n') at = writeVarint(made, at, number(random))
    else if (field === 'l') {
      const length = random.below(12)
      at = writeVarint(made, at, length)
      at += length
    } else if (field === '8') at += 8
    else {
      made[at] = 8
      made.set(random.bytes(24), at + 1)
      at += 25
    }
  }
  return made.slice(0, at)
}

const number = (random: Random): number =>
  random.below([16, 16, 16, 256, 20_000, 2 ** 31][random.below(6)]!) *
  (random.below(20) ? 1 : 2 ** 20)

/** A NewSessionTicket, which a client reads and drops. */
function ticket(random: Random): Uint8Array {
  const [nonce, name] = [random.below(4), 1 + random.below(8)]
  const body = new Uint8Array(8 + 1 + nonce + 2 + name + 2)
  body[8] = nonce
  body[10 + nonce] = name
  return message(MessageType.newSessionTicket, body)
}

/** Small ones more often: what is at the front decides most. */
const offset = (random: Random): number => random.below([8, 64, 512, 65_536][random.below(4)]!)

function words(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () =>
    random.below(3) === 0 ? random.below(256) : WORDS[random.below(WORDS.length)]!,
  )
}

function changedPayload(payload: Uint8Array, random: Random): Uint8Array {
  return edited(payload, {
    ...{ site: 0, index: 0, operation: random.below(7), at: random.below(payload.length + 1) },
    payload: words(random, 1 + random.below(8)),
  })
}
